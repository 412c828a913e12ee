# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree beside the model: its single ioctl and `serial`, the same requests, every field of both outcomes.

Code that the kernel patches at boot runs unpatched in a build, and may be wrong without a word: so each new build is
checked before anything is believed that it says. A difference is a fault of the shim, of the model, or of the tree.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from engines.simulated.engines import Serial
from engines.simulated.objects import written
from engines.tree.built import Built, note
from engines.tree.engine import TreeList, TreeSerial
from fuzz.calibration import drawn_sequence
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.casefile import case_file
from memslots.errors import BadCase, Unfit
from memslots.machine import Machine
from memslots.outcome import Event, Outcome
from memslots.region import Region
from memslots.slot import Slot
from memslots.textwriter import text_of
from reducers.reduce import reduced

SECONDS = 2.0
_SEQUENCE_OF = 4
"""One case in so many is a long sequence with values at limits; the others are short and have faults."""
_LOOK_EVERY = 16


class Difference(NamedTuple):
    """A case on which tree and model part, and in which fields of the outcome."""

    case: Case
    fields: tuple[str, ...]
    expected: Outcome
    got: Outcome

    def words(self) -> list[str]:
        """What each of the two says, a line a field."""
        return [f"{name}: serial {_of(self.expected, name)}, the tree {_of(self.got, name)}" for name in self.fields]


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

    def facts(self) -> dict[str, object]:
        """The same for build.json."""
        found = self.difference
        return {
            "requests": self.requests,
            "cases": self.cases,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "strict": self.strict,
            "difference": None if found is None else {"case": difference_text(found), "says": found.words()},
        }


def checked(
    built: Built,
    *,
    seconds: float | None = SECONDS,
    requests: int | None = None,
    seed: int | None = None,
    tick: Callable[[int], None] = lambda requests: None,
) -> Checked:
    """Compare until the time is up, or so many requests are done, or a difference is found, which is made small."""
    drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    check = _Check(built)
    rng = Random(drawn)
    begin = time.monotonic()
    difference: Difference | None = None
    while difference is None:
        if requests is not None and check.requests >= requests:
            break
        if not check.cases % _LOOK_EVERY:
            tick(check.requests)
            if seconds is not None and time.monotonic() - begin > seconds:
                break
        difference = check.compare(check.drawn(rng))
    if difference is not None:
        difference = check.smallest(difference)
    took = time.monotonic() - begin
    return Checked(check.requests, check.cases, drawn, took, difference, refuses_unknown_flags(built))


def check_and_note(built: Built, **how: object) -> Checked:
    """The same, put down in the build."""
    found = checked(built, **how)  # type: ignore[arg-type]  # what `checked` takes
    note(built.folder, checked=found.facts())
    return found


class _Check:
    """Both engines, and how much they were asked."""

    def __init__(self, built: Built) -> None:
        self.requests = 0
        self.cases = 0
        self._machine: Machine = built.vm
        self._trees = {going: TreeSerial("tree-serial", built, keep_going=going) for going in (False, True)}
        self._models = {going: Serial(keep_going=going) for going in (False, True)}

    def drawn(self, rng: Random) -> Case:
        """The next case."""
        if not self.cases % _SEQUENCE_OF:
            return Case(tuple(drawn_sequence(rng, self._machine)), machine=self._machine)
        # With its own machine a case has no faults, so the machine is put in afterwards, where that makes a case.
        case = case_of(drawn_choices(rng))
        return replace(case, machine=replace(self._machine, max_gfn=case.machine.max_gfn))

    def compare(self, case: Case) -> Difference | None:
        """The fields that differ, or None. What is no case differs in nothing."""
        going = not (case.given or case.faults or case.nent is not None)
        self.cases += 1
        try:
            expected = self._models[going].apply(case)._replace(published=None)
            got = self._trees[going].apply(case)
        except Unfit as unfit:
            return _refused_given(case, unfit)
        except BadCase:
            return None
        self.requests += len(case.given) + len(expected.entry_errnos or ())
        fields = tuple(name for name in Outcome._fields if getattr(expected, name) != getattr(got, name))
        return Difference(case, fields, expected, got) if fields else None

    def smallest(self, difference: Difference) -> Difference:
        """The fewest and plainest requests that make the first of these fields differ."""

        def still(case: Case) -> bool:
            found = self.compare(case)
            return found is not None and difference.fields[0] in found.fields

        return self.compare(reduced(difference.case, still).case) or difference


def _refused_given(case: Case, unfit: Unfit) -> Difference:
    """The difference where the tree does not even take what the model accepts."""
    nothing = Outcome("unknown", (), (), kind=str(unfit))
    return Difference(case, ("kind",), nothing._replace(kind="takes what is given"), nothing)


def refuses_unknown_flags(built: Built) -> bool:
    """Whether the list ioctl refuses header flags that have no meaning: it is held to contract I4 then."""
    if not built.list_ioctl:
        return False
    put = Region(0, 0, 0, built.vm.page_size, 1 << 32)
    outcome = TreeList("tree", built).apply(Case((put,), machine=built.vm, header_flags=1 << 31))
    return outcome.ended == "returned" and bool(outcome.errno) and outcome.active == outcome.before


def difference_text(difference: Difference) -> str:
    """The case file of a difference."""
    head = "The kernel tree and serial part here, each entry being a request of its own."
    return text_of(case_file(difference.case, [], comment="\n".join((head, *difference.words()))))


def _of(outcome: Outcome, name: str) -> str:
    value: object = getattr(outcome, name)
    match name:
        case "active" | "inactive" | "before" | "at_first_refusal" if value is not None:
            assert isinstance(value, tuple)
            return " ".join(_slot_words(slot) for slots in value for slot in slots) or "no slots"
        case "mishaps" | "events" if value is not None:
            assert isinstance(value, tuple)
            return ", ".join(_event_words(event) for event in value) or "none"
    return str(value)


def _slot_words(slot: Slot) -> str:
    return f"{written(slot)} hva={slot.userspace_addr:#x} flags={slot.flags:#x}"


def _event_words(event: Event) -> str:
    return " ".join(filter(None, (event.kind, f"at {event.entry}", event.change.name, event.detail)))
