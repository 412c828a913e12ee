# SPDX-License-Identifier: GPL-2.0-only
"""The panels of a memory map: each a slot set at one moment, with what is wrong in it.

A set at rest is compared with the one that is right. A set that was published on the way may be the one before or the
one after; what is in neither was never asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from memslots.outcome import UNSEEN, Outcome, Publication
from memslots.slot import Slot, SlotSet
from memslots.uapi import KVM_MEMSLOT_INVALID
from oracles.backing import unbacked_gfns
from oracles.policy import Policy, expected_active
from reports.held_to import Held, right_for
from reports.memory_map import rows_of
from reports.news import news

INVALID, LEFT, PHANTOM, CHANGED, LOST = "INVALID", "left INVALID", "phantom", "other flags or hva", "lost"
MARKS = (INVALID, LEFT, PHANTOM, CHANGED, LOST)
_MOST_PUBLICATIONS = 12
"""More publications than this of one engine are told by the first and the last of them."""

Ranges = tuple[tuple[int, int], ...]
"""Ranges of gfns, [first, end)."""


class Box(NamedTuple):
    """A slot, and what is to be said of it: of `MARKS`. A lost one is not there."""

    slot: Slot
    marks: tuple[str, ...] = ()


class Panel(NamedTuple):
    """One set. `overlaps`: gfns that two slots hold; `unbacked`: that none holds, the same memory before and after."""

    title: str
    notes: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    overlaps: Ranges = ()
    unbacked: Ranges = ()


class Heading(NamedTuple):
    """What the panels below it show."""

    text: str


def panels_of(
    as_id: int, outcomes: Mapping[str, Outcome], policy: Policy, page_size: int, held: Held
) -> list[Panel | Heading]:
    """All panels of one address space. The first of `outcomes` is the reference's."""
    [(name, reference), *others] = outcomes.items()
    rights = {each: expected_active(right_for(each, outcomes, held), policy)[as_id] for each, _ in others}
    refused = reference.at_first_refusal is not None
    measured = any(each not in held for each, _ in others) or not others
    restored = "; right, since the list is refused" if refused and measured and policy is Policy.ATOMIC else ""
    panels: list[Panel | Heading] = [Heading("Before and after the call")]
    panels.append(_at_rest("before", f"both sets{restored}", reference.before[as_id]))
    done = "what was done before the refusal" if refused else "this is right" if measured else ""
    panels.append(_at_rest(f"after {name}", done, reference.active[as_id]))
    for name, outcome in others:
        if name in held:
            panels.append(_at_rest(f"right for {name}", held[name].name, rights[name]))
        panels += _after(name, outcome, as_id, rights[name])
    published = [
        *_published(next(iter(outcomes)), reference, as_id, reference.active[as_id], page_size),
        *(panel for name, outcome in others for panel in _published(name, outcome, as_id, rights[name], page_size)),
    ]
    return [*panels, Heading("What readers saw on the way: each set published, in order"), *published]


def slot_sets_of(panels: Sequence[Panel | Heading]) -> list[SlotSet]:
    """The sets that the panels draw, lost slots among them: what an axis has to have room for."""
    return [tuple(box.slot for box in panel.boxes) for panel in panels if isinstance(panel, Panel)]


def _at_rest(title: str, note: str, slots: SlotSet, right: SlotSet | None = None) -> Panel:
    boxes = [Box(slot, tuple(_marks(slot, None if right is None else [right], LEFT))) for slot in slots]
    if right is not None:
        there = {_place(slot) for slot in slots}
        boxes += [Box(slot, (LOST,)) for slot in right if _place(slot) not in there]
    notes = [note] if note else []
    return Panel(title, tuple(notes), tuple(boxes), _overlaps(slots))


def _after(name: str, outcome: Outcome, as_id: int, right: SlotSet) -> Iterator[Panel]:
    if outcome.active == UNSEEN:
        yield Panel(f"after {name}", ("not shown",))
        return
    note = "corrupt: not vouched for" if outcome.corrupt else ""
    if outcome.ended != "returned":
        note = f"when it {outcome.ended}" + (f"; {note}" if note else "")
    active = outcome.active[as_id]
    inactive = None if outcome.inactive is None else outcome.inactive[as_id]
    if inactive is None or inactive == active:
        both = "active; the inactive set is not shown" if inactive is None else "both sets"
        yield _at_rest(f"after {name}", "; ".join(filter(None, (both, note))), active, right)
        return
    yield _at_rest(f"after {name}, active set", note, active, right)
    yield _at_rest(f"after {name}, inactive set", "not what is active", inactive, right)


def _published(name: str, outcome: Outcome, as_id: int, after: SlotSet, page_size: int) -> Iterator[Panel]:
    if outcome.published is None:
        yield Panel(name, ("its publications are not shown",))
        return
    own = [publication for publication in outcome.published if publication.as_id == as_id]
    before = last = outcome.before[as_id]
    if not own:
        yield Panel(name, ("published nothing here",))
    for number, publication in enumerate(own, 1):
        if _MOST_PUBLICATIONS - 4 < number <= len(own) - 4 and len(own) > _MOST_PUBLICATIONS:
            if number == len(own) - 4:
                yield Panel(name, (f"{len(own) - _MOST_PUBLICATIONS} publications are left out here",))
        else:
            yield _publication(f"{name}, {number} of {len(own)}", publication, before, last, after, page_size)
        last = publication.slots


def _publication(
    title: str, publication: Publication, before: SlotSet, last: SlotSet, after: SlotSet, page_size: int
) -> Panel:
    slots = publication.slots
    notes = news(last, slots) or ["nothing new"]
    if publication.inhibited:
        notes.append("readers are kept out")
    boxes = tuple(Box(slot, tuple(_marks(slot, [before, after]))) for slot in slots)
    lost = unbacked_gfns(publication.as_id, before, after, [publication], page_size)
    unbacked = _merged((loss.base_gfn, loss.base_gfn + loss.npages) for loss in lost)
    return Panel(title, tuple(notes), boxes, _overlaps(slots), unbacked)


def _place(slot: Slot) -> tuple[int, int, int]:
    return slot.id, slot.base_gfn, slot.npages


def _marks(slot: Slot, rights: Sequence[SlotSet] | None, invalid: str = INVALID) -> Iterator[str]:
    if slot.flags & KVM_MEMSLOT_INVALID:
        yield invalid
    if rights is None:
        return
    same = [other for right in rights for other in right if _place(other) == _place(slot)]
    valid = slot._replace(flags=slot.flags & ~KVM_MEMSLOT_INVALID)
    if not same:
        yield PHANTOM
    elif valid not in same:
        yield CHANGED


def _overlaps(slots: SlotSet) -> Ranges:
    return _merged((row.first, row.end) for row in rows_of([slots]) if len(row.cells[0]) > 1)


def _merged(ranges: Iterator[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for first, end in ranges:
        if merged and merged[-1][1] == first:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((first, end))
    return tuple(merged)
