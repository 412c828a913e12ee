# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel stores: a slot, in the words of struct kvm_memory_slot, and the set of them."""

from typing import NamedTuple, NewType

from memslots.region import Region

Gfn = NewType("Gfn", int)
"""A guest frame number: a guest physical address in pages."""


class Slot(NamedTuple):
    """One stored slot. `base_gfn` and `npages` are in pages, `userspace_addr` in bytes.

    A named tuple for the reason that `Region` is one; as_id and id come first, so slots sort by them.
    """

    as_id: int
    id: int
    base_gfn: Gfn
    npages: int
    userspace_addr: int
    flags: int

    @property
    def end_gfn(self) -> Gfn:
        """The first gfn behind the slot."""
        return Gfn(self.base_gfn + self.npages)

    def overlaps(self, other: "Slot") -> bool:
        """Whether both slots hold some gfn of one address space."""
        return self.as_id == other.as_id and self.base_gfn < other.end_gfn and other.base_gfn < self.end_gfn


SlotSet = tuple[Slot, ...]
"""The slots of one address space, sorted by id."""

SlotSets = tuple[SlotSet, ...]
"""One set for each address space, in their order."""


def slot_of(region: Region, page_shift: int) -> Slot:
    """The slot that `region` asks for: the one place where a request's words become the kernel's.

    Bits below a page are dropped, as __kvm_set_memory_region does after it has checked that there are none.
    """
    slot, flags, gpa, size, hva, _, _ = region
    # What Slot(...) does, at half its price: a campaign makes a slot of every request.
    return tuple.__new__(Slot, (slot >> 16, slot & 0xFFFF, gpa >> page_shift, size >> page_shift, hva, flags))
