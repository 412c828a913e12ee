# SPDX-License-Identifier: GPL-2.0-only
"""An allocator that remembers what it gave out, and that finds no memory where the case says so."""

from collections.abc import Set as AbstractSet

from engines.ideal.journal import Journal
from engines.ideal.objects import Allocated, Area, SlotObject
from memslots.case import Faults
from memslots.slot import Slot
from memslots.uapi import KVM_MEMSLOT_INVALID


class Memory:
    """All that is allocated, and the failures of the call that are still to come."""

    __slots__ = ("_journal", "_left", "live")

    def __init__(self, journal: Journal, faults: Faults) -> None:
        self.live: set[Allocated] = set()
        self._journal = journal
        self._left = dict(faults)

    def fails(self, kind: str) -> bool:
        """Whether this one of its kind is to fail; counts them."""
        if kind not in self._left:
            return False
        self._left[kind] -= 1
        if self._left[kind] >= 0:
            return False
        del self._left[kind]
        self._journal.injected(kind)
        return True

    def area(self, what: str, kind: str = "") -> Area | None:
        """A new area, or None: no memory. One of no kind is never made to fail."""
        if self.fails(kind):
            self._journal.note("alloc failed", what)
            return None
        area = Area(what)
        self.live.add(area)
        self._journal.note("alloc", what)
        return area

    def slot(self, slot: Slot) -> SlotObject | None:
        """A new slot object, or None."""
        return self._slot_object("slot", SlotObject(slot))

    def invalid_copy(self, old: SlotObject) -> SlotObject | None:
        """A copy of `old` that says INVALID and shares its areas, or None."""
        as_id, slot_id, base, npages, hva, flags = old.slot
        slot = Slot(as_id, slot_id, base, npages, hva, flags | KVM_MEMSLOT_INVALID)
        return self._slot_object("invalid", SlotObject(slot, old.dirty_bitmap, old.arch))

    def _slot_object(self, kind: str, slot_object: SlotObject) -> SlotObject | None:
        if self.fails(kind):
            self._journal.note("alloc failed", str(slot_object))
            return None
        self.live.add(slot_object)
        if self._journal.events is not None:
            self._journal.note("alloc", str(slot_object))
        return slot_object

    def free(self, allocated: Allocated | None) -> None:
        """Give back an object (kfree) or an area (vfree); nothing is nothing.

        Twice is a memory error of an object, and a WARN of an area.
        """
        if allocated is None:
            return
        if allocated.freed:
            if isinstance(allocated, SlotObject):
                self._journal.damaged("double-free", str(allocated))
            else:
                self._journal.warn(f"{allocated} is freed twice")
        allocated.freed = True
        self.live.discard(allocated)
        if self._journal.events is not None:
            self._journal.note("free", str(allocated))

    def lost(self, reached: AbstractSet[Allocated]) -> int:
        """How much is allocated that is not among what is `reached`."""
        return len(self.live - reached)

    def dangling(self, reached: AbstractSet[Allocated]) -> bool:
        """Whether something of what is `reached` has been given back."""
        return not reached <= self.live
