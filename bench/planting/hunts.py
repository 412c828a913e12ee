# SPDX-License-Identifier: GPL-2.0-only
"""The backends that look for a planted mistake: lists drawn at random, libFuzzer's, and all of a small scope."""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, islice

from bench.planting.subjects import Planted
from bench.planting.trials import Found, Shared, drawn, finding, searched
from engines.catalogue import engine_named
from engines.protocol import Engine
from fuzz.enumeration import Enumeration
from fuzz.scope import Scope
from fuzz.trial import Trial
from memslots.case import FAULT_KINDS, Case

SEED = 1
EXECUTIONS = 20_000
"""What random may try for one mistake, before it goes on."""
FURTHER = 100_000
"""Up to where random goes on for one that is not found by then."""
EXECUTIONS_OF_OTHERS = 2_000
"""What atheris and enumerate may try."""
EXECUTIONS_OF_PROVED = 1_000
"""What random tries for a mistake that is proved equivalent."""
EXECUTIONS_OF_PROVED_OF_OTHERS = 250
SCOPE = Scope(entries=3, slots=2, gfns=4, invalidate=(0,))
"""Neither serial nor ideal reads invalidate_slot, but for a value that has no meaning."""

Task = tuple[Planted, int]
"""A mistake, and how much may be tried."""
Tell = Callable[[Found], None]


class Listed:
    """A backend that has one sequence of cases for all mistakes: random, enumerate."""

    def __init__(self, cases: Callable[[], Iterator[Case]], most: int, most_of_proved: int, further: int = 0) -> None:
        """`most` may be tried for a mistake, and `further` if it is not found by then."""
        self._cases = cases
        self.most = most
        self.most_of_proved = most_of_proved
        self._further = further
        self._shared: Shared | None = None

    def prepare(self, those: Sequence[Planted]) -> None:
        """Draw the cases and apply the references, once for all of these mistakes."""
        self._shared = Shared(self._cases(), self.most)
        for form in {each.form for each in those}:
            self._shared.prepare(form.reference.__name__, form.reference())
        compile_once(those)
        gc.collect()
        gc.freeze()  # what is inherited by many processes is not walked in each

    def hunt(self, task: Task, tell: Tell) -> None:
        """Tell what finds a mistake."""
        assert self._shared is not None
        each, most = task
        shared, key = self._shared, each.form.reference.__name__
        trial = Trial(shared.remembering(key, each.form.reference()), each.engine())
        found = searched(trial, shared.cases[:most], lambda executions: shared.spent(key, executions))
        if not found.oracle and most == self.most < self._further:
            begin = time.process_time()
            rest = searched(trial, islice(self._cases(), found.executions, self._further), lambda _: 0.0)
            took = found.seconds + time.process_time() - begin
            found = Found(rest.oracle, found.executions + rest.executions, took)
        tell(found)


class Atheris:
    """libFuzzer with the campaign's mutator and features, from an empty corpus, anew for each mistake."""

    most = EXECUTIONS_OF_OTHERS
    most_of_proved = EXECUTIONS_OF_PROVED_OF_OTHERS

    def prepare(self, those: Sequence[Planted]) -> None:
        """Import it once for all."""
        import atheris  # noqa: F401 - for the processes that inherit it

        compile_once(those)

    def hunt(self, task: Task, tell: Tell) -> None:
        """Tell what finds a mistake; never returns."""
        each, most = task
        import atheris

        from fuzz.choices import MOST_BYTES, choices_from_bytes
        from fuzz.features import COUNTERS, Features
        from fuzz.grammar import case_of
        from fuzz.mutate import crossed_over, mutated

        _quiet()
        trial = Trial(each.form.reference(), each.engine())
        features = Features()
        counters = [atheris._reserve_counter() for _ in range(COUNTERS)]
        executions = 0
        begin = time.process_time()

        def test_one_input(data: bytes) -> None:
            nonlocal executions
            executions += 1
            case = case_of(choices_from_bytes(data))
            oracle, judged = finding(trial, case)
            if oracle or executions == most:
                tell(Found(oracle, executions, time.process_time() - begin))
                os._exit(0)
            if judged is not None:
                for feature in features.of(case, *judged):
                    atheris._trace_branch(counters[feature])

        def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
            return mutated(data, max_size, seed, atheris.Mutate)

        arguments = [sys.argv[0], "-len_control=0", f"-max_len={MOST_BYTES}", f"-seed={SEED}"]
        atheris.Setup(arguments, test_one_input, custom_mutator=custom_mutator, custom_crossover=crossed_over)
        atheris.Fuzz()


def compile_once(those: Sequence[Planted]) -> None:
    """Have all modules compiled that the processes of these mistakes will share."""
    for each in {each.form: each for each in those}.values():
        each.engine()


def _quiet() -> None:
    """What libFuzzer writes is nobody's concern here."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def random(subject: str) -> Listed:
    """The cases that a campaign draws."""
    return Listed(lambda: drawn(SEED), EXECUTIONS, EXECUTIONS_OF_PROVED, FURTHER)


def atheris(subject: str) -> Atheris:
    """libFuzzer."""
    return Atheris()


def enumerated(subject: str) -> Listed:
    """The lists of a small scope in their order, each once more for every failure that the sound engine meets.

    That order begins with the shortest, from every given state.
    """
    cases = partial(_of_a_scope, engine_named(subject))
    return Listed(cases, EXECUTIONS_OF_OTHERS, EXECUTIONS_OF_PROVED_OF_OTHERS)


def _of_a_scope(engine: Engine) -> Iterator[Case]:
    enumeration = Enumeration(SCOPE)
    for case in enumeration.cases(0, enumeration.total):
        yield case
        for kind in FAULT_KINDS:
            for n in count():
                failing = replace(case, faults=((kind, n),))
                if not engine.apply(failing).failed:
                    break
                yield failing
