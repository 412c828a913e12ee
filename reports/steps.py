# SPDX-License-Identifier: GPL-2.0-only
"""What an engine did, step by step, in words: read off its events, and off nothing else.

The two memslot sets of an address space are called A, which is active when the call begins, and B.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

from memslots.outcome import Change, Event, Outcome
from memslots.slot import SlotSet
from reports.news import gfns, news

_OBJECT = re.compile(r"(\d+):(\d+)@0x([0-9a-f]+)\+0x([0-9a-f]+)")
_SLOT = re.compile(r"\bslot ")
_SPACE = re.compile(r"address space (\d+)")
_LOCKS = ("lock", "unlock")
_RELEASED = "released"
"""The release that is part of a swap, told with the publication: its own event may stand behind others."""


class Step(NamedTuple):
    """What the engine did for one entry in one phase, clause by clause; `change` is UNKNOWN where none was known yet.

    `entry` is None where it was no entry's turn: before the first, or where locks alone were taken or released.
    `events` are the step's own.
    """

    phase: str
    entry: int | None
    change: Change
    clauses: tuple[str, ...]
    events: tuple[Event, ...]


def steps_of(outcome: Outcome) -> list[Step]:
    """Every step, in order; none if the outcome has no events."""
    return _steps(outcome, _Reader(outcome))


def never_released(outcome: Outcome) -> list[str]:
    """`slots_arch_lock, taken in P1 for entry 0` for each lock that nobody has released when the call has returned."""
    reader = _Reader(outcome)
    _steps(outcome, reader)
    return [f"{lock}, taken {_when(event)}" for lock, event in reader.held.items()]


def _steps(outcome: Outcome, reader: "_Reader") -> list[Step]:
    steps = []
    for (phase, entry), group in groupby(outcome.events or (), key=lambda event: (event.phase, event.entry)):
        events = tuple(group)
        known = [event.change for event in events if event.change is not Change.UNKNOWN]
        kinds = [event.kind for event in events]
        # A list call that is in no pass yet has come to no entry.
        before_any = not phase and outcome.entry_errnos is None
        between = before_any or (set(kinds) <= set(_LOCKS) and len(set(kinds)) == 1 and bool(phase))
        steps.append(
            Step(
                phase,
                None if between else entry,
                Change.UNKNOWN if between or not known else known[-1],
                tuple(reader.clauses(events)),
                events,
            )
        )
    return steps


def object_words(text: str) -> str:
    """What events write as 0:3@0x10+0x8 as `slot 3 (0x10..0x17)`."""

    def words(match: re.Match[str]) -> str:
        as_id, slot_id, base, npages = match[1], match[2], int(match[3], 16), int(match[4], 16)
        name = slot_id if as_id == "0" else f"{as_id}:{slot_id}"
        return f"slot {name} ({gfns(base, npages)})"

    return _OBJECT.sub(words, _SLOT.sub("", text))


class _Reader:
    """Reads events in order and keeps in mind which set is active, and what it held when it was published last."""

    def __init__(self, outcome: Outcome) -> None:
        self._swapped: dict[int, bool] = {}
        self._seen: dict[int, SlotSet] = dict(enumerate(outcome.before))
        self._published = iter(outcome.published or ())
        self._told_of_hanging = False
        self.held: dict[str, Event] = {}
        """Who holds each lock: the event that took it."""

    def clauses(self, events: Sequence[Event]) -> Iterator[str]:
        """A clause for each event, locks that are taken or released in one go together."""
        for kind, group in groupby(self._worth_telling(events), key=lambda event: event.kind):
            run = list(group)
            if kind in _LOCKS:
                yield f"{'takes' if kind == 'lock' else 'releases'} {' and '.join(event.detail for event in run)}"
            else:
                yield from map(self._clause, run)

    def _worth_telling(self, events: Sequence[Event]) -> Iterator[Event]:
        """The events, a swap's release behind it, but without locks that are told by another: who hangs gets none."""
        for event, following in zip_longest(events, events[1:]):
            if event.kind == "lock" and following is not None and following.kind == "hung":
                yield following._replace(detail=self._waits(event.detail))
            elif event.kind == "hung" and self._told_of_hanging:
                continue
            elif event.kind == "lock":
                self.held[event.detail] = event
                yield event
            elif event.kind == "unlock":
                if self.held.pop(event.detail, None) is not None:
                    yield event
            else:
                yield event
                if event.kind == "publish" and self.held.pop("slots_arch_lock", None) is not None:
                    yield event._replace(kind=_RELEASED, detail="slots_arch_lock")

    def _waits(self, lock: str) -> str:
        self._told_of_hanging = True
        holder = self.held.get(lock)
        return f"waits for ever for {lock}" + (f", taken {_when(holder)} and never released" if holder else "")

    def _clause(self, event: Event) -> str:
        detail = object_words(event.detail)
        match event.kind:
            case "alloc":
                return f"allocates {_article(detail)}"
            case "alloc failed":
                return f"finds no memory for {_article(detail)}"
            case "free":
                return f"frees {_the(detail)}"
            case "replace":
                return self._replace(event)
            case "publish":
                return self._publish(event)
            case "released":
                return f"which releases {detail}"
            case "refuse":
                return f"refuses: {detail}" if detail else "refuses"
            case "stray":
                holds = "holds it already" if detail.startswith("double link") else "does not hold it"
                return f"though that set {holds} ({detail})"
            case "injected":
                return f"meets the failure that the case asks for ({detail})"
        return _MISHAPS.get(event.kind, event.kind).format(detail=detail).rstrip(" :")

    def _replace(self, event: Event) -> str:
        old, _, new = event.detail.partition(" by ")
        found = _OBJECT.search(event.detail)
        space = int(found[1]) if found else 0
        place = f"the inactive set ({'A' if self._swapped.get(space) else 'B'})"
        where = f"in {place}"
        before, after = _the(object_words(old)), _the(object_words(new))
        if new == f"{old} INVALID":
            return f"puts the INVALID copy in the place of {before} {where}"
        if old == "nothing" == new:
            return f"replaces nothing by nothing {where}"
        if old == "nothing":
            return f"links {after} {where}"
        if new == "nothing":
            return f"unlinks {before} from {place}"
        if before == after:
            return f"puts a new object of {after} in the place of the old one {where}"
        return f"puts {after} in the place of {before} {where}"

    def _publish(self, event: Event) -> str:
        found = _SPACE.search(event.detail)
        space = int(found[1]) if found else 0
        self._swapped[space] = not self._swapped.get(space, False)
        told = f"publishes set {'B' if self._swapped[space] else 'A'}"
        if space:
            told += f" of address space {space}"
        publication = next(self._published, None)
        if publication is None:
            return told
        new = news(self._seen.get(space, ()), publication.slots)
        self._seen[space] = publication.slots
        return f"{told} (readers see: {', '.join(new) or 'nothing new'})"


_MISHAPS: Mapping[str, str] = {
    "warn": "WARN: {detail}",
    "damage": "memory error: {detail}",
    "unnoticed": "{detail}, and the code does not notice",
    "early-publish": "has now published half of a list",
    "another-window": "readers meet INVALID slots once more",
    "hung": "{detail}",
    "crashed": "dies there: {detail}",
    "looped": "never ends",
    "log": "the kernel's log: {detail}",
}


def _when(event: Event) -> str:
    """`in P1 for entry 0`."""
    return f"in {event.phase} for entry {event.entry}" if event.phase else f"for entry {event.entry}"


def _the(words: str) -> str:
    """`the INVALID copy of slot 0` for `slot 0 INVALID`."""
    return f"the INVALID copy of {words.removesuffix(' INVALID')}" if words.endswith(" INVALID") else words


def _article(words: str) -> str:
    return f"an {words}" if words.startswith("INVALID copy") else f"an object for {words}"
