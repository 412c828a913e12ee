# SPDX-License-Identifier: GPL-2.0-only
"""The slots of one address space as the entries so far would leave them."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from memslots.slot import Slot, SlotSet


class WorkingSlots:
    """Slots that are values: no object is allocated for them, no reader sees them.

    No two of them have an id or a gfn in common: nobody puts in what has not been validated.
    """

    __slots__ = ("_bases", "_by_base", "by_id")

    def __init__(self, slots: Iterable[Slot] = ()) -> None:
        self.by_id = {slot[1]: slot for slot in slots}
        self._by_base = {slot[2]: slot for slot in self.by_id.values()}
        self._bases = sorted(self._by_base)

    def put(self, slot: Slot) -> None:
        """Add a slot."""
        self.by_id[slot[1]] = slot
        self._by_base[slot[2]] = slot
        insort(self._bases, slot[2])

    def take(self, slot: Slot) -> None:
        """Remove a slot that is there."""
        del self.by_id[slot[1]]
        del self._by_base[slot[2]]
        del self._bases[bisect_left(self._bases, slot[2])]

    def walk(self) -> SlotSet:
        """The slots by id."""
        return tuple(sorted(self.by_id.values()))

    def others_hold(self, wanted: Slot) -> bool:
        """Whether a slot with another id holds some gfn of `wanted`.

        Slots that do not overlap end in the order in which they begin. So if any reaches into the range, the last one
        does that begins before the range ends: its own old place aside.
        """
        bases = self._bases
        at = bisect_left(bases, wanted[2] + wanted[3])
        while at:
            at -= 1
            _, slot_id, base, npages, _, _ = self._by_base[bases[at]]
            if slot_id != wanted[1]:
                return base + npages > wanted[2]
        return False
