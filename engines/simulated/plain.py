# SPDX-License-Identifier: GPL-2.0-only
"""The serial ioctl without pointers: a short cut for speed that must equal `serial.set_memory_region`.

At rest both sets hold the same slots, so one dictionary an address space says everything: the slots, how often
the set was swapped, and the pages. A test holds it against the faithful kernel, boundary values included.
"""

from bisect import bisect_left, bisect_right, insort
from errno import EEXIST, EINVAL

from engines.simulated.checks import Limits
from memslots.machine import Machine
from memslots.region import Region
from memslots.slot import Slot, SlotSets, slot_of
from memslots.uapi import KVM_MEM_READONLY


class PlainVm:
    """A VM's slots by id, and what swapping has left: all that serial updates without faults can change."""

    __slots__ = ("_bases", "_limits", "_max_gfn", "_user_slots", "nr_memslot_pages", "slots", "swaps")

    def __init__(self, machine: Machine, limits: Limits) -> None:
        self._limits = limits
        self._max_gfn = machine.max_gfn
        self._user_slots = machine.user_slots
        self.slots: list[dict[int, Slot]] = [{} for _ in range(machine.address_spaces)]
        # For each address space the bases in order, and the slot that stands at each.
        self._bases: list[tuple[list[int], dict[int, Slot]]] = [([], {}) for _ in range(machine.address_spaces)]
        self.swaps = [0] * machine.address_spaces
        self.nr_memslot_pages = 0

    def walk(self) -> SlotSets:
        """The slots of each address space, by id."""
        return tuple([tuple(sorted(slots.values())) for slots in self.slots])

    def set_memory_region(self, region: Region) -> int:
        """0 or an errno (positive)."""
        request = region.slot
        slot_id = request & 0xFFFF
        if slot_id >= self._user_slots or self._limits.refusal(region) is not None:
            return EINVAL
        as_id = request >> 16
        slots = self.slots[as_id]
        old = slots.get(slot_id)
        if not region.memory_size:
            if old is None:
                return EINVAL
            del slots[slot_id]
            self._erase(old)
            self.swaps[as_id] += 2
            self.nr_memslot_pages -= old.npages
            return 0
        new = slot_of(region, self._limits.page_shift)
        if old is None:
            if self._overlaps(new):
                return EEXIST
            if new.base_gfn + new.npages - 1 > self._max_gfn:
                return EINVAL
            self.nr_memslot_pages += new.npages
            self.swaps[as_id] += 1
        else:
            _, _, base, npages, hva, flags = old
            if new.userspace_addr != hva or new.npages != npages or (new.flags ^ flags) & KVM_MEM_READONLY:
                return EINVAL
            if new.base_gfn == base:
                if new.flags == flags:
                    return 0
                self.swaps[as_id] += 1
            else:
                if self._overlaps(new):
                    return EEXIST
                self.swaps[as_id] += 2  # also where the hook refuses: there and back again
                if new.base_gfn + new.npages - 1 > self._max_gfn:
                    return EINVAL
            self._erase(old)
        slots[slot_id] = new
        bases, by_base = self._bases[as_id]
        insort(bases, new.base_gfn)
        by_base[new.base_gfn] = new
        return 0

    def _erase(self, old: Slot) -> None:
        bases, by_base = self._bases[old.as_id]
        del by_base[old.base_gfn]
        del bases[bisect_left(bases, old.base_gfn)]

    def _overlaps(self, new: Slot) -> bool:
        """Whether a slot with another id intersects `new`; slots never overlap one another here."""
        bases, by_base = self._bases[new.as_id]
        i = bisect_right(bases, new.base_gfn) - 1
        if i >= 0:
            below = by_base[bases[i]]
            if below.base_gfn + below.npages > new.base_gfn and below.id != new.id:
                return True
        end = new.base_gfn + new.npages
        i += 1
        while i < len(bases) and bases[i] < end:
            if by_base[bases[i]].id != new.id:
                return True
            i += 1
        return False
