# SPDX-License-Identifier: GPL-2.0-only
"""One memslot set without pointers: the slots themselves, by id and by base. Both short cuts are made of it."""

from bisect import bisect_left, bisect_right, insort

from memslots.slot import Slot, SlotSet, SlotSets


class PlainMemslots:
    """Slots of one address space, no two with one id or with one base.

    A `Slot` stands for its object here: two slots that are equal are two objects unless they are identical.
    """

    __slots__ = ("_bases", "by_base", "by_id")

    def __init__(self, by_id: dict[int, Slot], by_base: dict[int, Slot], bases: list[int]) -> None:
        """A set that holds these: all three name the same slots, and the bases are in order."""
        self.by_id = by_id
        self.by_base = by_base
        self._bases = bases

    def copy(self) -> "PlainMemslots":
        """Another set of the same slots."""
        return PlainMemslots(self.by_id.copy(), self.by_base.copy(), self._bases.copy())

    def walk(self) -> SlotSet:
        """The slots by id."""
        by_id = self.by_id
        if len(by_id) < 2:
            return tuple(by_id.values())
        return tuple([by_id[slot_id] for slot_id in sorted(by_id)])

    def holds(self, slot: Slot) -> bool:
        """Whether this very slot is in the set."""
        return self.by_id.get(slot.id) is slot

    def insert(self, new: Slot) -> None:
        """Put a slot in whose id and base are not there yet."""
        _, slot_id, base, _, _, _ = new
        self.by_id[slot_id] = new
        self.by_base[base] = new
        insort(self._bases, base)

    def replace(self, new: Slot) -> None:
        """Put a slot in place of the one with the same id and the same base."""
        _, slot_id, base, _, _, _ = new
        self.by_id[slot_id] = new
        self.by_base[base] = new

    def remove(self, old: Slot) -> None:
        """Take a slot out."""
        _, slot_id, base, _, _, _ = old
        del self.by_id[slot_id]
        del self.by_base[base]
        del self._bases[bisect_left(self._bases, base)]

    def another_id_in(self, slot_id: int, base: int, npages: int) -> bool:
        """Whether a slot with another id intersects these pages, as kvm_check_memslot_overlap finds it.

        `Memslots.another_id_in` says where the search begins, and what it misses where slots overlap one another.
        """
        bases = self._bases
        by_base = self.by_base
        i = bisect_right(bases, base)
        if i:
            _, below_id, below_base, below_npages, _, _ = by_base[bases[i - 1]]
            if below_id != slot_id and below_base + below_npages > base:
                return True
        end = base + npages
        while i < len(bases) and bases[i] < end:
            if by_base[bases[i]].id != slot_id:
                return True
            i += 1
        return False


def walk_since(sets: list[PlainMemslots], walked: SlotSets, now: list[PlainMemslots]) -> SlotSets:
    """The slots of the sets that are there `now`; what is one of `sets` still has been `walked` already."""
    return tuple(
        [known if memslots is old else memslots.walk() for memslots, old, known in zip(now, sets, walked, strict=True)]
    )
