# SPDX-License-Identifier: GPL-2.0-only
"""What a call has left that it should not: locks, lost objects, sets that differ, in sentences."""

import re
from collections import Counter
from collections.abc import Iterator

from memslots.outcome import UNSEEN, Outcome
from memslots.slot import Slot
from memslots.uapi import KVM_MEMSLOT_INVALID
from reports.news import place_of, slot_name
from reports.steps import never_released, object_words

_MOST_NAMED = 6
_OBJECT = re.compile(r"\d+:\d+@0x[0-9a-f]+\+0x[0-9a-f]+(?: INVALID)?")


def leftovers(outcome: Outcome) -> Iterator[str]:
    """A sentence for each thing that is left behind by a call that has returned; nothing of one that has not."""
    if outcome.ended != "returned":
        return
    if outcome.corrupt:
        yield "The sets went astray: what they hold is not vouched for."
        return
    locks = never_released(outcome)
    for lock in ("slots_lock", "slots_arch_lock"):
        if getattr(outcome, lock):
            taken = next((each for each in locks if each.partition(",")[0] == lock), lock)
            yield f"{taken}, is held when the call has returned."
    invalid = [slot for of_space in outcome.active for slot in of_space if slot.flags & KVM_MEMSLOT_INVALID]
    if invalid:
        places = _few([f"{slot_name(slot)} ({place_of(slot)})" for slot in invalid])
        yield f"{_capital(places)} stay{'s' if len(invalid) == 1 else ''} INVALID for readers."
    if outcome.inactive is not None and outcome.active not in (UNSEEN, outcome.inactive):
        yield from _sets_differ(outcome)
    if outcome.dangling:
        yield "A freed object is still linked."
    if outcome.leaked:
        objects = lost_objects(outcome)
        named = f": {_few(objects)}" if objects else ""
        yield f"{outcome.leaked} object{'s are' if outcome.leaked > 1 else ' is'} in no set and never freed{named}."


def lost_objects(outcome: Outcome) -> list[str]:
    """The slot objects that the call has lost, read off its events; empty if those do not account for all of them."""
    there: Counter[str] = Counter(_written(slot) for of_space in outcome.before for slot in of_space)
    for event in outcome.events or ():
        found = _OBJECT.search(event.detail)
        if found and event.kind == "alloc":
            there[found[0] + (" INVALID" if event.detail.startswith("INVALID") else "")] += 1
        elif found and event.kind == "free":
            there[found[0]] -= 1
    linked: Counter[str] = Counter()
    for active, inactive in zip(outcome.active, outcome.inactive or (), strict=False):
        linked |= Counter(map(_written, active)) | Counter(map(_written, inactive))
    lost = there - linked
    if lost.total() != outcome.leaked:
        return []  # dirty bitmaps count as objects too, and two objects may look alike
    return [
        f"the INVALID copy of {words.removesuffix(' INVALID')}" if words.endswith(" INVALID") else words
        for words in map(object_words, sorted(lost.elements()))
    ]


def _written(slot: Slot) -> str:
    """A slot as events write it."""
    invalid = " INVALID" if slot.flags & KVM_MEMSLOT_INVALID else ""
    return f"{slot.as_id}:{slot.id}@{slot.base_gfn:#x}+{slot.npages:#x}{invalid}"


def _sets_differ(outcome: Outcome) -> Iterator[str]:
    for active, inactive in zip(outcome.active, outcome.inactive or (), strict=True):
        alone = [_named(slot) for slot in active if slot not in inactive]
        other = [_named(slot) for slot in inactive if slot not in active]
        if alone or other:
            yield (
                f"The two sets differ: only the active one holds {_few(alone)}, only the inactive one {_few(other)}."
                " Each later publication shows the other one."
            )


def _few(names: list[str]) -> str:
    """The names, of many the first ones and how many more there are."""
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
    return ", ".join(names) or "nothing"


def _named(slot: Slot) -> str:
    return f"{slot_name(slot)}{' INVALID' if slot.flags & KVM_MEMSLOT_INVALID else ''} ({place_of(slot)})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
