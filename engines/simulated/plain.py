# SPDX-License-Identifier: GPL-2.0-only
"""The serial ioctl without pointers: a short cut for speed that must equal `serial.set_memory_region`.

At rest both sets hold the same slots, so one dictionary an address space says everything: the slots, how often
the set was swapped, and the pages. A test holds it against the faithful kernel, boundary values included.
"""

from bisect import bisect_left, bisect_right, insort
from errno import EEXIST, EINVAL

from engines.simulated.checks import id_refused, refusal
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import Slot, SlotSets, slot_of
from memslots.uapi import KVM_MEM_MAX_NR_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX, U64


class PlainVm:
    """A VM's slots by id, and what swapping has left: all that serial updates without faults can change."""

    __slots__ = ("_bases", "_machine", "nr_memslot_pages", "slots", "swaps")

    def __init__(self, machine: Machine) -> None:
        spaces = range(machine.address_spaces)
        self._machine = machine
        self.slots: list[dict[int, Slot]] = [{} for _ in spaces]
        # For each address space the bases in order, and the slot that stands at each.
        self._bases: list[tuple[list[int], dict[int, Slot]]] = [([], {}) for _ in spaces]
        self.swaps = [0 for _ in spaces]
        self.nr_memslot_pages = 0

    def walk(self) -> SlotSets:
        """The slots of each address space, by id."""
        return tuple([tuple(sorted(slots.values())) for slots in self.slots])

    def set_memory_region(self, region: Region) -> int:
        """0 or an errno (positive)."""
        request, flags, gpa, size, hva, _, _ = region
        machine = self._machine
        as_id = request >> 16
        slot_id = request & 0xFFFF
        # Every check that looks at the request alone answers EINVAL and changes nothing: their order cannot show.
        if (
            slot_id >= machine.user_slots
            or as_id >= machine.address_spaces
            or flags & ~machine.known_flags
            or (size | gpa | hva) & (machine.page_size - 1)
            or hva + size > TASK_SIZE_MAX
            or gpa + size > U64
            or size >> machine.page_shift > KVM_MEM_MAX_NR_PAGES
        ):
            return EINVAL
        slots = self.slots[as_id]
        old = slots.get(slot_id)
        if not size:
            if old is None:
                return EINVAL
            del slots[slot_id]
            self._erase(old)
            self.swaps[as_id] += 2
            self.nr_memslot_pages -= old.npages
            return 0
        new = slot_of(region, machine.page_shift)
        _, _, base, npages, _, _ = new
        if old is None:
            if self._overlaps(new):
                return EEXIST
            if base + npages - 1 > machine.max_gfn:
                return EINVAL
            self.nr_memslot_pages += npages
            self.swaps[as_id] += 1
        else:
            _, _, old_base, old_npages, old_hva, old_flags = old
            if hva != old_hva or npages != old_npages or (flags ^ old_flags) & KVM_MEM_READONLY:
                return EINVAL
            if base == old_base:
                if flags == old_flags:
                    return 0
                self.swaps[as_id] += 1
            else:
                if self._overlaps(new):
                    return EEXIST
                self.swaps[as_id] += 2  # where the hook refuses, too: there and back again
                if base + npages - 1 > machine.max_gfn:
                    return EINVAL
            self._erase(old)
        slots[slot_id] = new
        bases, by_base = self._bases[as_id]
        insort(bases, base)
        by_base[base] = new
        return 0

    def asked_by(self, region: Region) -> Change:
        """What `region` asks for in the present state, refused or not; UNKNOWN if the kernel would not get as far."""
        machine = self._machine
        if id_refused(machine, region) or refusal(machine, region) is not None:
            return Change.UNKNOWN
        old = self.slots[region.as_id].get(region.id)
        if not region.memory_size:
            return Change.DELETE
        if old is None:
            return Change.CREATE
        new = slot_of(region, machine.page_shift)
        if new[3:5] != old[3:5] or (new.flags ^ old.flags) & KVM_MEM_READONLY:
            return Change.UNKNOWN
        if new.base_gfn != old.base_gfn:
            return Change.MOVE
        return Change.FLAGS_ONLY if new.flags != old.flags else Change.NO_OP

    def _erase(self, old: Slot) -> None:
        bases, by_base = self._bases[old.as_id]
        del by_base[old.base_gfn]
        del bases[bisect_left(bases, old.base_gfn)]

    def _overlaps(self, new: Slot) -> bool:
        """Whether a slot with another id intersects `new`; slots never overlap one another here."""
        as_id, slot_id, base, npages, _, _ = new
        bases, by_base = self._bases[as_id]
        i = bisect_right(bases, base)
        if i:
            _, below_id, below_base, below_npages, _, _ = by_base[bases[i - 1]]
            if below_base + below_npages > base and below_id != slot_id:
                return True
        end = base + npages
        while i < len(bases) and bases[i] < end:
            if by_base[bases[i]].id != slot_id:
                return True
            i += 1
        return False
