# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a list call, made of what its child told, how the child ended, and what the kernel's log said."""

from collections.abc import Iterator

from engines.real.aftermath import SLOTS_ARCH_LOCK_IS_FREE, SLOTS_LOCK_IS_FREE
from engines.real.kmsg import Heard, Line, kasan_is_here
from engines.real.list_worker import BEGINS, Left, Returned
from engines.real.symptoms import Symptoms, symptoms_in
from engines.real.watched import Failed, Lost, Stuck
from memslots.outcome import AFTERWARDS, GIVEN, UNSEEN, Change, Event, Outcome
from memslots.slot import SlotSets


class Told:
    """What came of one case so far: the child's words, and the kernel's, before the call, in it, and afterwards."""

    def __init__(self) -> None:
        self.steps: list[object] = []
        self.task: int | None = None
        """The number by which the log knows the child; None if that is not known."""
        self.earlier: list[Line] = []
        self.during: list[Line] = []
        self.afterwards: list[Line] = []
        self.log_is_whole = True

    @property
    def answer(self) -> int | None:
        """What the call returned."""
        return next((step.answer for step in self.steps if isinstance(step, Returned)), None)

    def hear(self, heard: Heard) -> None:
        """Take what the kernel has said since the last step."""
        self.log_is_whole &= not heard.lost
        called, returned = BEGINS in self.steps, self.answer is not None
        (self.afterwards if returned else self.during if called else self.earlier).extend(heard.lines)

    @property
    def lines(self) -> list[Line]:
        """All that the kernel has said."""
        return self.earlier + self.during + self.afterwards


def outcome_of(before: SlotSets, told: Told, lost: Lost | None, left: object) -> Outcome:
    """The outcome as far as it is known before the VM is closed, and without mishaps."""
    during, later = symptoms_in(told.during, told.task), symptoms_in(told.afterwards)
    ended, kind = _ending(told, lost, during)
    # KASAN tells of the first error of a boot: where that came with `given`, its silence means nothing.
    heeded = told.log_is_whole and kasan_is_here() and not symptoms_in(told.earlier).damage
    outcome = Outcome(
        ended,
        UNSEEN,
        before,
        kind,
        damage=during.damage or (() if heeded else None),
        warned=bool(during.warnings) or (False if told.log_is_whole else None),
    )
    if told.answer is None:
        return outcome
    slots_lock, slots_arch_lock = _locks(told, lost, later)
    outcome = outcome._replace(
        value=-1 if told.answer < 0 else told.answer,
        errno=max(-told.answer, 0),
        slots_lock=slots_lock,
        slots_arch_lock=slots_arch_lock,
        dangling=True if later.damage else None,
    )
    if isinstance(left, Left) and left.sets is not None:
        active, inactive = left.sets
        return outcome._replace(active=active, inactive=inactive, corrupt=True if left.contradiction else None)
    return outcome._replace(corrupt=None if slots_lock or slots_arch_lock else True)


def _ending(told: Told, lost: Lost | None, during: Symptoms) -> tuple[str, str | None]:
    """How the call ended, and of what it died."""
    if told.answer is not None:
        return "returned", None
    if during.oops is not None:
        return "crashed", during.oops or None
    if isinstance(lost, Stuck):
        return "looped" if lost.running else "hung", None
    if told.log_is_whole:
        raise Failed(f"the child that made the call ended ({lost!r}), and the kernel's log does not say why")
    return "crashed", None


def _locks(told: Told, lost: Lost | None, later: Symptoms) -> tuple[bool | None, bool | None]:
    """Whether slots_lock and slots_arch_lock are still held: the first request that takes a held one hangs."""
    hangs = isinstance(lost, Stuck) and not lost.running and later.oops is None
    if SLOTS_LOCK_IS_FREE not in told.steps:
        return True if hangs else None, None
    if SLOTS_ARCH_LOCK_IS_FREE not in told.steps:
        return False, True if hangs else None
    return False, False


def with_mishaps(outcome: Outcome, told: Told) -> Outcome:
    """The same outcome with all that the log has said so far, as events."""
    # An empty log is no knowledge: a refusal makes no line in it.
    mishaps = tuple(_mishaps(told, outcome.ended)) or None
    return outcome._replace(mishaps=mishaps, events=mishaps)


def _mishaps(told: Told, ended: str) -> Iterator[Event]:
    """What the log says before the call, of it, and after it. Which entry it was about, nobody tells."""
    during = symptoms_in(told.during, told.task)
    yield from _events(symptoms_in(told.earlier, told.task), GIVEN)
    yield from _events(during, "")
    if ended != "returned":
        yield Event(ended, "", 0, Change.UNKNOWN, during.oops_text)
    # Damage that is found then has been done before, and `dangling` says so.
    yield from _events(symptoms_in(told.afterwards, told.task)._replace(damage=()), AFTERWARDS)


def _events(symptoms: Symptoms, phase: str) -> Iterator[Event]:
    def event(kind: str, detail: str) -> Event:
        return Event(kind, phase, 0, Change.UNKNOWN, detail)

    yield from (event("warn", text) for text in symptoms.warnings)
    # An oracle takes the first damage for that of the call.
    yield from (event("log" if phase else "damage", kind) for kind in symptoms.damage)
    yield from (event("log", text) for text in (*symptoms.foreign, *symptoms.lockdep, *symptoms.stuck))
