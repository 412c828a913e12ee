# SPDX-License-Identifier: GPL-2.0-only
"""Cases drawn once and judged for any number of engines with a mistake, until a mismatch is found."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from random import Random
from typing import NamedTuple

from engines.protocol import Engine, RefusedGiven
from fuzz import choices
from fuzz.grammar import case_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.outcome import Outcome


class Found(NamedTuple):
    """How a mistake was looked for, and what found it."""

    oracle: str
    """The first oracle that had something to say, and what: `balance leaked`. Empty if none had."""
    executions: int
    seconds: float
    """CPU time of all these executions, drawing and reference included."""


class Shared:
    """Cases with what the reference makes of them: what all mistakes are judged by, made once."""

    def __init__(self, cases: Iterator[Case], most: int) -> None:
        self._source = cases
        self.cases: list[Case] = []
        self._drawn: list[float] = []
        begin = time.process_time()
        for _, case in zip(range(most), cases, strict=False):
            self.cases.append(case)
            now = time.process_time()
            self._drawn.append(now - begin)
            begin = now
        self._spent: dict[str, list[float]] = {}
        self._known: dict[str, dict[int, Outcome]] = {}

    def prepare(self, key: str, reference: Engine) -> None:
        """Have this reference judge all cases, if it has not yet."""
        if key in self._known:
            return
        known: dict[int, Outcome] = {}
        spent: list[float] = []
        for case, drawn in zip(self.cases, self._drawn, strict=True):
            begin = time.process_time()
            known[id(case)] = reference.apply(case)
            spent.append(drawn + time.process_time() - begin)
        self._known[key] = known
        self._spent[key] = [0.0, *accumulate(spent)]

    def spent(self, key: str, executions: int) -> float:
        """Seconds that drawing so many cases and the reference took."""
        return self._spent[key][executions]

    def remembering(self, key: str, reference: Engine) -> Engine:
        """The reference, as it was."""
        return _Remembering(reference, self._known[key])


class _Remembering:
    """An engine that has seen the cases before; a case that it has not seen it applies."""

    def __init__(self, engine: Engine, known: dict[int, Outcome]) -> None:
        self._engine = engine
        self._known = known
        self.name = engine.name
        self.shows = engine.shows

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What became of `case`."""
        known = self._known.get(id(case))
        return self._engine.apply(case) if known is None else known


def drawn(seed: int) -> Iterator[Case]:
    """The cases of a seed, as a campaign's random backend draws them."""
    return map(case_of, choices.drawn(Random(seed)))


Judged = tuple[Outcome, Outcome]


def finding(trial: Trial, case: Case) -> tuple[str, Judged | None]:
    """What the first oracle finds, in words, and both outcomes.

    The words are empty if all is well. There are no outcomes if the engine refuses what was given, or makes an outcome
    that no oracle can even read (no slots where slots should be), which would end a campaign like a crash.
    """
    try:
        reference, outcome, judgement = trial.judge(case)
    except RefusedGiven:
        return "", None
    except Exception:  # noqa: BLE001 - what a mistake makes of an outcome may be anything
        return "survival unreadable", None
    for mismatch in judgement.mismatches:
        return f"{mismatch.oracle} {mismatch.what}".strip(), (reference, outcome)
    return "", (reference, outcome)


def searched(trial: Trial, cases: Iterable[Case], spent: Callable[[int], float]) -> Found:
    """Tries the cases in their order until an oracle finds something."""
    begin = time.process_time()
    executions = 0
    for executions, case in enumerate(cases, 1):
        oracle, _ = finding(trial, case)
        if oracle:
            return Found(oracle, executions, time.process_time() - begin + spent(executions))
    return Found("", executions, time.process_time() - begin + spent(executions))
