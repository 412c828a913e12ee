# SPDX-License-Identifier: GPL-2.0-only
"""Dirty bitmaps without pointers, for the short cut of the list ioctl: who has one, and what nobody reaches."""

from engines.simulated.plain_memslots import PlainMemslots
from memslots.slot import Slot
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES


class PlainMemory:
    """The dirty bitmap of each slot that logs. A bitmap goes by the slot that it was allocated for."""

    __slots__ = ("_bitmaps", "_rest")

    def __init__(self, rest: list[PlainMemslots]) -> None:
        """In the sets `rest` each slot that logs has a bitmap of its own."""
        self._rest = rest
        self._bitmaps: dict[int, Slot] = {}

    def bitmap_of(self, slot: Slot) -> Slot | None:
        """The bitmap that a slot points to; None if it does not log, or is not prepared yet."""
        if not slot.flags & KVM_MEM_LOG_DIRTY_PAGES:
            return None
        if self._rest[slot.as_id].holds(slot):
            return slot
        return self._bitmaps.get(id(slot))

    def shares(self, invalid: Slot, old: Slot) -> None:
        """Let `invalid` point to the bitmap of `old`."""
        bitmap = self.bitmap_of(old)
        if bitmap is not None:
            self._bitmaps[id(invalid)] = bitmap

    def prepare(self, old: Slot | None, new: Slot) -> None:
        """Let `new` have the bitmap of `old`, or else one of its own, if it logs (kvm_prepare_memory_region)."""
        if new.flags & KVM_MEM_LOG_DIRTY_PAGES:
            inherited = None if old is None else self.bitmap_of(old)
            self._bitmaps[id(new)] = new if inherited is None else inherited

    def leaked(self, slots: list[Slot], sets: list[PlainMemslots]) -> int:
        """How many of `slots`, and how many of their bitmaps, cannot be reached from `sets`."""
        lost = {id(slot): slot for slot in slots if not any(memslots.holds(slot) for memslots in sets)}
        bitmaps = {id(bitmap) for slot in lost.values() if (bitmap := self.bitmap_of(slot)) is not None}
        if bitmaps:
            bitmaps -= {id(self.bitmap_of(slot)) for memslots in sets for slot in memslots.by_id.values()}
        return len(lost) + len(bitmaps)
