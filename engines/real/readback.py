# SPDX-License-Identifier: GPL-2.0-only
"""The slots of a real VM: whether they are what one expects, and if not, what they are."""

from collections.abc import Iterable
from itertools import chain

from engines.real.probe import PlainProbe, Probe, Region2Probe, holds
from engines.real.rehearsal import MOST_PAGES
from engines.real.vm import Vm
from memslots.machine import Machine
from memslots.region import Region
from memslots.slot import Gfn, Slot, SlotSets, slot_of
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX, U64

UNKNOWN_HVA = U64
"""userspace_addr of a slot that was found, of which no request tells where its memory is."""


class Named:
    """What some requests name: the slots that can be there, and where, as far as a sound kernel goes."""

    def __init__(self, machine: Machine, host: Machine, regions: Iterable[Region]) -> None:
        ids, spaces = min(machine.user_slots, host.user_slots), min(machine.address_spaces, host.address_spaces)
        legal = [region for region in regions if region.id < ids and region.as_id < spaces]
        slots = [slot_of(region, machine.page_shift) for region in legal]
        self.numbers = dict.fromkeys(region.slot for region in legal)
        """The `slot` of each that can be there."""
        self.slots = [slot for slot in dict.fromkeys(slots) if 0 < slot.npages <= MOST_PAGES]
        taken = {region.id for region in legal}
        self.spare = next(i for i in range(host.user_slots - 1, -1, -1) if i not in taken)
        hvas = {slot.userspace_addr for slot in slots}
        pages = range(TASK_SIZE_MAX - machine.page_size, 0, -machine.page_size)
        self.strange_hva = next(hva for hva in pages if hva not in hvas)


class Readback:
    """Reads the slots of one VM, of which `named` tells the slots that may be there."""

    def __init__(self, vm: Vm, machine: Machine, named: Named, *, region2: bool) -> None:
        page = machine.page_size
        self._vm = vm
        self._machine = machine
        self._named = named
        self._probe: Probe = (
            Region2Probe(vm, page, named.spare) if region2 else PlainProbe(vm, page, named.spare, named.strange_hva)
        )

    def equal(self, expected: SlotSets) -> bool:
        """Whether the VM holds these slots, and none under any other number that was named.

        About one ioctl for each number that is free, and four for each slot. Nothing is changed by it.
        """
        page = self._machine.page_size
        for slots in expected:
            for slot in slots:
                if not holds(self._vm, self._probe, slot, page):
                    return False
        there = {slot.as_id << 16 | slot.id for slots in expected for slot in slots}
        # A page known to be covered, for each address space: what is asked there is refused and costs the least.
        at = [slots[0].base_gfn if slots else 0 for slots in expected]
        return not any(
            self._probe.taken(number, at[number >> 16]) for number in self._named.numbers if number not in there
        )

    def slots(self) -> SlotSets:
        """The slots that the VM holds under the numbers that were named, whatever they are."""
        found: list[list[Slot]] = [[] for _ in range(self._machine.address_spaces)]
        for number in self._named.numbers:
            if self._probe.taken(number):
                found[number >> 16].append(self._found(number))
        return tuple([tuple(sorted(slots)) for slots in found])

    def _found(self, number: int) -> Slot:
        """The slot that stands under `number`, by trying out what the requests make likely."""
        page = self._machine.page_size
        as_id, slot_id = number >> 16, number & 0xFFFF
        log = KVM_MEM_LOG_DIRTY_PAGES if self._vm.logs(number) else 0
        own = [slot for slot in self._named.slots if (slot.as_id, slot.id) == (as_id, slot_id)]
        shapes = dict.fromkeys((slot.npages, slot.userspace_addr) for slot in chain(own, self._named.slots))
        bases = dict.fromkeys(slot.base_gfn for slot in chain(own, self._named.slots))
        for base in bases:
            if not self._probe.covered(as_id, base):
                continue
            for npages, hva in shapes:
                for readonly in (0, KVM_MEM_READONLY) if self._machine.readonly else (0,):
                    slot = Slot(as_id, slot_id, base, npages, hva, log | readonly)
                    if holds(self._vm, self._probe, slot, page):
                        return slot
        return Slot(as_id, slot_id, Gfn(0), 0, UNKNOWN_HVA, log)
