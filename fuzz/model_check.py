# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree beside the model: its single ioctl and `serial`, the same requests, every field of both outcomes.

Code that the kernel patches at boot runs unpatched in a build, and may be wrong without a word: so each new build is
checked before anything is believed that it says. A difference is a fault of the shim, of the model, or of the tree.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from engines.simulated.engines import Serial
from engines.tree.built import Built, note
from engines.tree.engine import TreeList, TreeSerial
from engines.tree.worker import Worker
from fuzz.calibration import drawn_sequence
from fuzz.choices import drawn_choices
from fuzz.difference import Difference, difference_on, difference_text, smallest_of
from fuzz.fitted import machines_of
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.machine import Machine
from memslots.region import Region
from memslots.textreader import parse_case

SECONDS = 2.0
ENOUGH = 1000
"""Requests: a clean check of fewer does not vouch for a build. A new build's own does some ten thousand."""
NAMES = ("serial", "the tree")
HEAD = "The kernel tree and serial part here, each entry being a request of its own."
_SEQUENCE_OF = 4
"""One case in so many is a long sequence with values at limits; the others are short and have faults."""
_SHORT = 16
_LOOK_EVERY = 16


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check."""

    requests: int
    cases: int
    seed: int
    seconds: float
    difference: Difference | None
    strict: bool
    """Whether its list ioctl refuses flags in the header that nobody knows."""

    @property
    def settles(self) -> bool:
        """Whether the build can be believed, or not, after this."""
        return self.difference is not None or self.requests >= ENOUGH

    def facts(self) -> dict[str, object]:
        """The same for build.json."""
        found = self.difference
        return {
            "requests": self.requests,
            "cases": self.cases,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "strict": self.strict,
            "difference": None if found is None else {"case": difference_text(found, HEAD), "says": found.words()},
        }


def checked(
    built: Built,
    *,
    seconds: float | None = SECONDS,
    requests: int | None = None,
    seed: int | None = None,
    tick: Callable[[int], None] = lambda requests: None,
) -> Checked:
    """Compare until the time is up, or so many requests are done, or a difference is found, which is made small.

    However short the time is, enough are done to vouch for the build.

    The case that an earlier check has found comes first: as long as it shows a difference, that is the difference.
    """
    drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    # Of its own, and ended here: who checks a build at each save would keep one for each of them.
    worker = Worker(built.library, built.layout, built.environment)
    check = _Check(built, worker)
    rng = Random(drawn)
    begin = time.monotonic()
    try:
        difference = check.again()
        while difference is None:
            if requests is not None and check.requests >= requests:
                break
            if not check.cases % _LOOK_EVERY:
                tick(check.requests)
                late = seconds is not None and time.monotonic() - begin > seconds
                if late and check.requests >= ENOUGH:
                    break
            difference = check.compare(check.drawn(rng))
        if difference is not None:
            difference = check.smallest(difference)
        took = time.monotonic() - begin
        return Checked(check.requests, check.cases, drawn, took, difference, _refuses_unknown_flags(built, worker))
    finally:
        worker.close()


def check_and_note(built: Built, **how: object) -> Checked:
    """The same, put down in the build."""
    found = checked(built, **how)  # type: ignore[arg-type]  # what `checked` takes
    keep(built, found)
    return found


def keep(built: Built, found: Checked) -> None:
    """Put down in the build what settles it. Raises BadInput where that cannot be."""
    if found.settles:
        note(built, checked=found.facts())


class _Check:
    """Both engines, and how much they were asked."""

    def __init__(self, built: Built, worker: Worker) -> None:
        self.requests = 0
        self.cases = 0
        self._machine: Machine = built.vm
        self._machines = machines_of(built)
        self._stored = built.difference
        self._trees = {going: TreeSerial("tree-serial", built, worker, keep_going=going) for going in (False, True)}
        self._models = {going: Serial(keep_going=going) for going in (False, True)}

    def again(self) -> Difference | None:
        """What the case shows that an earlier check has found, if there is one and it still does."""
        return self._differing(parse_case(self._stored.splitlines()).case) if self._stored else None

    def drawn(self, rng: Random) -> Case:
        """The next case."""
        if not self.cases % _SEQUENCE_OF:
            return Case(tuple(drawn_sequence(rng, self._machine)), machine=self._machine)
        return case_of(drawn_choices(rng), None, self._machines)

    def compare(self, case: Case) -> Difference | None:
        """The fields that differ, or None. What is no case differs in nothing."""
        self.cases += 1
        self.requests += len(case.given) + len(case.apply)
        return self._differing(case)

    def _differing(self, case: Case) -> Difference | None:
        going = not (case.given or case.faults or case.nent is not None)
        # What readers see on the way is there where events are asked for, and is much in a long sequence.
        record = len(case.apply) <= _SHORT
        return difference_on(case, self._models[going], self._trees[going], NAMES, record=record)

    def smallest(self, difference: Difference) -> Difference:
        """The fewest and plainest requests that make the first of these fields differ."""
        return smallest_of(difference, self.compare)


def _refuses_unknown_flags(built: Built, worker: Worker) -> bool:
    """Whether the list ioctl refuses header flags that have no meaning: it is held to contract I4 then."""
    if not built.list_ioctl:
        return False
    put = Region(0, 0, 0, built.vm.page_size, 1 << 32)
    outcome = TreeList("tree", built, worker).apply(Case((put,), machine=built.vm, header_flags=1 << 31))
    return outcome.ended == "returned" and bool(outcome.errno) and outcome.active == outcome.before
