# SPDX-License-Identifier: GPL-2.0-only
"""What is new from one slot set of an address space to the next, slot by slot, in words."""

from collections.abc import Iterator

from memslots.slot import Slot, SlotSet
from memslots.uapi import KVM_MEMSLOT_INVALID, flag_names


def slot_name(slot: Slot) -> str:
    """`slot 5`, or `slot 1:5` in another address space than 0."""
    return f"slot {slot.as_id}:{slot.id}" if slot.as_id else f"slot {slot.id}"


def place_of(slot: Slot) -> str:
    """`0x10..0x1f`: the first gfn and the last; one alone where they are one."""
    return gfns(slot.base_gfn, slot.npages)


def gfns(first: int, npages: int) -> str:
    """The same of a range that is no slot's; a slot object that nobody has filled in yet has no pages."""
    if not npages:
        return "no gfn"
    return f"{first:#x}" if npages == 1 else f"{first:#x}..{first + npages - 1:#x}"


def news(before: SlotSet, after: SlotSet) -> list[str]:
    """One clause for each slot that is not as it was; empty if nothing is new."""
    clauses: list[str] = []
    for slot_id in sorted({slot.id for slot in (*before, *after)}):
        olds = [slot for slot in before if slot.id == slot_id]
        news = [slot for slot in after if slot.id == slot_id]
        if len(olds) == 1 and len(news) == 1:
            changes = list(_changes(olds[0], news[0]))
            if changes:
                clauses.append(f"{slot_name(news[0])} {' and '.join(changes)}")
            continue
        # An id stands twice in sets that went astray alone.
        clauses += [f"{slot_name(slot)} at {place_of(slot)} is gone" for slot in olds if slot not in news]
        clauses += [
            f"{slot_name(slot)}{_invalid(slot)} is new at {place_of(slot)}" for slot in news if slot not in olds
        ]
    return clauses


def _invalid(slot: Slot) -> str:
    return " INVALID" if slot.flags & KVM_MEMSLOT_INVALID else ""


def _changes(old: Slot, new: Slot) -> Iterator[str]:
    if (old.flags ^ new.flags) & KVM_MEMSLOT_INVALID:
        yield "turns INVALID" if new.flags & KVM_MEMSLOT_INVALID else "is valid again"
    if (old.base_gfn, old.npages) != (new.base_gfn, new.npages):
        yield f"is at {place_of(new)} instead of {place_of(old)}"
    if old.userspace_addr != new.userspace_addr:
        yield f"has userspace_addr {new.userspace_addr:#x}"
    if (old.flags ^ new.flags) & ~KVM_MEMSLOT_INVALID:
        flags = new.flags & ~KVM_MEMSLOT_INVALID
        yield f"has flags {flag_names(flags) if flags else 0}"
