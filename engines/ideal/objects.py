# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel allocates: slot objects, and areas that have no structure here."""

from memslots.slot import Slot
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEMSLOT_INVALID


class Area:
    """A dirty bitmap, the x86 arrays of a slot as one, or an array of the call."""

    __slots__ = ("freed", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.freed = False

    def __str__(self) -> str:
        return self.what


class SlotObject:
    """One struct kvm_memory_slot. `slot` is what it says, and never changes; the areas are pointers.

    `translated`: a vCPU may have translations to its memory, which must be gone before it is freed.
    """

    __slots__ = ("arch", "dirty_bitmap", "freed", "slot", "translated")

    def __init__(self, slot: Slot, dirty_bitmap: Area | None = None, arch: Area | None = None) -> None:
        self.slot = slot
        self.dirty_bitmap = dirty_bitmap
        self.arch = arch
        self.freed = False
        self.translated = True

    @property
    def usable(self) -> bool:
        """Whether its areas are what its user expects: a dirty bitmap if, and only if, it logs; and arch arrays."""
        logs = self.slot[5] & KVM_MEM_LOG_DIRTY_PAGES != 0
        return self.arch is not None and (self.dirty_bitmap is not None) == logs

    def __str__(self) -> str:
        as_id, slot_id, base, npages, _, flags = self.slot
        copy = " INVALID" if flags & KVM_MEMSLOT_INVALID else ""
        return f"{as_id}:{slot_id}@{base:#x}+{npages:#x}{copy}"


Allocated = Area | SlotObject
