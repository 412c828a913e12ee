# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a list call, made of what its child told, how the child ended, and what the kernel's log said."""

from collections.abc import Iterator

from engines.real.aftermath import SLOTS_ARCH_LOCK_IS_FREE, SLOTS_LOCK_IS_FREE
from engines.real.kmsg import Heard, kasan_is_here
from engines.real.list_worker import Left, Returned
from engines.real.symptoms import Symptoms, symptoms_in
from engines.real.watched import Failed, Lost, Stuck
from memslots.outcome import UNSEEN, Change, Event, Outcome
from memslots.slot import SlotSets


class Told:
    """What came of one case so far: the child's words, and the kernel's, before and after the call returned."""

    def __init__(self) -> None:
        self.steps: list[object] = []
        self.during: list[str] = []
        self.afterwards: list[str] = []
        self.log_is_whole = True

    @property
    def answer(self) -> int | None:
        """What the call returned."""
        return next((step.answer for step in self.steps if isinstance(step, Returned)), None)

    def hear(self, heard: Heard) -> None:
        """Take what the kernel has said since the last step."""
        self.log_is_whole &= not heard.lost
        (self.during if self.answer is None else self.afterwards).extend(heard.lines)


def outcome_of(before: SlotSets, told: Told, lost: Lost | None, left: object) -> Outcome:
    """The outcome as far as it is known before the VM is closed."""
    during, later = symptoms_in(told.during), symptoms_in(told.afterwards)
    ended, kind = _ending(told, lost, during)
    # An empty log is no knowledge: a refusal makes no line in it.
    mishaps = tuple(_mishaps(during, ended)) or None
    outcome = Outcome(
        ended,
        UNSEEN,
        before,
        kind,
        damage=during.damage or (() if told.log_is_whole and kasan_is_here() else None),
        warned=bool(during.warnings) or (False if told.log_is_whole else None),
        mishaps=mishaps,
        events=mishaps,
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


def _mishaps(during: Symptoms, ended: str) -> Iterator[Event]:
    """What the log says of the call, as events. Which entry it was about, nobody tells."""

    def event(kind: str, detail: str) -> Event:
        return Event(kind, "", 0, Change.UNKNOWN, detail)

    yield from (event("warn", text) for text in during.warnings)
    yield from (event("damage", kind) for kind in during.damage)
    yield from (event("log", text) for text in (*during.lockdep, *during.stuck))
    if ended != "returned":
        yield event(ended, during.oops_text)
