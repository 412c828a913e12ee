# SPDX-License-Identifier: GPL-2.0-only
"""The serial ioctl without pointers: a short cut for speed that must equal `serial.set_memory_region`.

At rest both sets of an address space hold the same slots, so one of them says everything: the slots, how often the
sets were swapped, and the pages. A test holds it against the faithful kernel, boundary values included.
"""

from errno import EEXIST, EINVAL

from engines.simulated.checks import id_refused, refusal
from engines.simulated.plain_memslots import PlainMemslots
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import Slot, SlotSets, slot_of
from memslots.uapi import KVM_MEM_MAX_NR_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX, U64

CREATE = Change.CREATE
DELETE = Change.DELETE
MOVE = Change.MOVE
FLAGS_ONLY = Change.FLAGS_ONLY
NO_OP = Change.NO_OP
UNKNOWN = Change.UNKNOWN


class PlainVm:
    """A VM's slots, and what swapping has left: all that serial updates without faults can change."""

    __slots__ = ("machine", "nr_memslot_pages", "rollbacks", "sets", "swaps")

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.sets = [PlainMemslots({}, {}, []) for _ in range(machine.address_spaces)]
        self.swaps = [0] * machine.address_spaces
        self.rollbacks = [0] * machine.address_spaces
        """How many MOVEs the hook has refused: there and back again, two swaps each."""
        self.nr_memslot_pages = 0

    def copy(self) -> "PlainVm":
        """Another VM with the same slots, none of whose MOVEs has been refused."""
        other = PlainVm(self.machine)
        other.sets = [memslots.copy() for memslots in self.sets]
        other.swaps = self.swaps.copy()
        other.nr_memslot_pages = self.nr_memslot_pages
        return other

    def slot(self, as_id: int, slot_id: int) -> Slot | None:
        """The slot with this id."""
        return self.sets[as_id].by_id.get(slot_id)

    def walk(self) -> SlotSets:
        """The slots of each address space, by id."""
        return tuple([memslots.walk() for memslots in self.sets])

    def walk_since(self, rest: "PlainVm", walked: SlotSets) -> SlotSets:
        """The same, for a copy of `rest`, whose slots are `walked`: every change of a slot comes with a swap."""
        if self.swaps == rest.swaps:
            return walked
        return self.walk()

    def set_memory_region(self, region: Region) -> int:
        """0 or an errno (positive)."""
        request, flags, gpa, size, hva, _, _ = region
        machine = self.machine
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
        memslots = self.sets[as_id]
        old = memslots.by_id.get(slot_id)
        if not size:
            if old is None:
                return EINVAL
            memslots.remove(old)
            self.swaps[as_id] += 2
            self.nr_memslot_pages -= old.npages
            return 0
        # What `slot_of` will say: a request that is refused, or asks for nothing new, is spared the slot.
        base, npages = gpa >> machine.page_shift, size >> machine.page_shift
        if old is not None:
            _, _, old_base, old_npages, old_hva, old_flags = old
            if hva != old_hva or npages != old_npages or (flags ^ old_flags) & KVM_MEM_READONLY:
                return EINVAL
            if base == old_base:
                if flags != old_flags:
                    memslots.replace(slot_of(region, machine.page_shift))
                    self.swaps[as_id] += 1
                return 0
        if memslots.another_id_in(slot_id, base, npages):
            return EEXIST
        beyond = base + npages - 1 > machine.max_gfn
        if old is not None:
            self.swaps[as_id] += 2
            if beyond:
                self.rollbacks[as_id] += 1
                return EINVAL
            memslots.remove(old)
        else:
            if beyond:
                return EINVAL
            self.swaps[as_id] += 1
            self.nr_memslot_pages += npages
        memslots.insert(slot_of(region, machine.page_shift))
        return 0

    def asked_by(self, region: Region) -> Change:
        """What `region` asks for in the present state, refused or not; UNKNOWN if the kernel would not get as far."""
        machine = self.machine
        if id_refused(machine, region) or refusal(machine, region) is not None:
            return UNKNOWN
        old = self.slot(region.as_id, region.id)
        if not region.memory_size:
            return DELETE
        if old is None:
            return CREATE
        new = slot_of(region, machine.page_shift)
        if new[3:5] != old[3:5] or (new.flags ^ old.flags) & KVM_MEM_READONLY:
            return UNKNOWN
        if new.base_gfn != old.base_gfn:
            return MOVE
        return FLAGS_ONLY if new.flags != old.flags else NO_OP
