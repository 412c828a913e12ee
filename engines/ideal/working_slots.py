# SPDX-License-Identifier: GPL-2.0-only
"""The slots of one address space as the entries so far would leave them."""

from bisect import bisect_left, insort

from memslots.slot import Slot, SlotSet


class WorkingSlots:
    """Slots that are values: no object is allocated for them, no reader sees them.

    No two of them have an id or a gfn in common: nobody puts in what has not been validated.
    """

    __slots__ = ("_spans", "by_id")

    def __init__(self, slots: SlotSet = ()) -> None:
        self.by_id: dict[int, Slot] = {}
        self._spans: list[tuple[int, ...]] = []
        if slots:
            self.by_id = {slot[1]: slot for slot in slots}
            self._spans = sorted([(base, base + npages, slot_id) for _, slot_id, base, npages, _, _ in slots])

    def put(self, slot: Slot) -> None:
        """Add a slot."""
        _, slot_id, base, npages, _, _ = slot
        self.by_id[slot_id] = slot
        insort(self._spans, (base, base + npages, slot_id))

    def take(self, slot: Slot) -> None:
        """Remove a slot that is there."""
        del self.by_id[slot[1]]
        del self._spans[bisect_left(self._spans, (slot[2],))]

    def exchange(self, slot: Slot) -> None:
        """Put a slot where one with the same id stands at the same place."""
        self.by_id[slot[1]] = slot

    def walk(self) -> SlotSet:
        """The slots by id."""
        return tuple(sorted(self.by_id.values()))

    def others_hold(self, wanted: Slot) -> bool:
        """Whether a slot with another id holds some gfn of `wanted`.

        Slots that do not overlap end in the order in which they begin. So if any reaches into the range, the last one
        does that begins before the range ends: its own old place aside.
        """
        _, wanted_id, wanted_base, npages, _, _ = wanted
        spans = self._spans
        at = bisect_left(spans, (wanted_base + npages,))
        while at:
            at -= 1
            _, end, slot_id = spans[at]
            if slot_id != wanted_id:
                return end > wanted_base
        return False
