# SPDX-License-Identifier: GPL-2.0-only
"""The slots of a real VM: whether they are what one expects, and if not, what they are."""

from collections.abc import Iterable, Iterator
from itertools import chain

from engines.real.probe import PlainProbe, Probe, Region2Probe, holds
from engines.real.rehearsal import MOST_PAGES
from engines.real.vm import Vm
from memslots.machine import Machine
from memslots.region import Region
from memslots.slot import Gfn, Slot, SlotSets, slot_of
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX, U64

UNKNOWN_HVA = U64
"""userspace_addr of a slot that is there, and of which no request tells what it is like."""
_MOST_SEARCHED = 4 * MOST_PAGES


class Named:
    """What some requests name: the slots that can be there, and where, as far as a sound kernel goes."""

    def __init__(self, machine: Machine, host: Machine, regions: Iterable[Region]) -> None:
        ids, spaces = min(machine.user_slots, host.user_slots), min(machine.address_spaces, host.address_spaces)
        self._machine = machine
        self._regions = [region for region in regions if region.slot & 0xFFFF < ids and region.slot >> 16 < spaces]
        self.numbers = dict.fromkeys([region.slot for region in self._regions])
        """The `slot` of each that can be there."""
        taken = {number & 0xFFFF for number in self.numbers}
        self.spare = host.user_slots - 1
        """An id that none of them has."""
        while self.spare in taken:
            self.spare -= 1

    def slots(self) -> list[Slot]:
        """The slots that they ask for, as far as one may be that long here."""
        slots = dict.fromkeys(slot_of(region, self._machine.page_shift) for region in self._regions)
        return [slot for slot in slots if 0 < slot.npages <= MOST_PAGES]

    def strange_hva(self) -> int:
        """A userspace_addr that none of them has, with a page of memory behind it."""
        hvas = {region.userspace_addr for region in self._regions}
        pages = range(TASK_SIZE_MAX - self._machine.page_size, 0, -self._machine.page_size)
        return next(hva for hva in pages if hva not in hvas)


class Readback:
    """Reads the slots of one VM, of which `named` tells the slots that may be there.

    `steady`: with an even number of publications for each question, so that all are asked of the same set.
    """

    def __init__(self, vm: Vm, machine: Machine, named: Named, *, region2: bool, steady: bool = False) -> None:
        page = machine.page_size
        self._vm = vm
        self._machine = machine
        self._named = named
        self._probe: Probe = (
            Region2Probe(vm, page, named.spare)
            if region2
            else PlainProbe(vm, page, named.spare, named.strange_hva(), steady=steady)
        )

    def equal(self, expected: SlotSets) -> bool:
        """Whether the VM holds these slots, and none under any other number that was named.

        About one ioctl for each number that is free, and four for each slot. Nothing is changed by it.
        """
        page = self._machine.page_size
        for as_id, slots in enumerate(expected):
            for slot in slots:
                # What no kernel could have is not to be asked about: its answer would say nothing.
                if slot.as_id != as_id or not holds(self._vm, self._probe, slot, page):
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
        """The slot that stands under `number`: where the requests make it likely, else wherever it is."""
        as_id, slot_id = number >> 16, number & 0xFFFF
        log = KVM_MEM_LOG_DIRTY_PAGES if self._vm.logs(number) else 0
        slots = self._named.slots()
        own = [slot for slot in slots if (slot.as_id, slot.id) == (as_id, slot_id)]
        shapes = dict.fromkeys((slot.npages, slot.userspace_addr) for slot in chain(own, slots))
        likely = dict.fromkeys(slot.base_gfn for slot in chain(own, slots))
        for base in chain(likely, self._covered_pages(as_id)):
            for npages, hva in shapes:
                for readonly in (0, KVM_MEM_READONLY) if self._machine.readonly else (0,):
                    slot = Slot(as_id, slot_id, Gfn(base), npages, hva, log | readonly)
                    if holds(self._vm, self._probe, slot, self._machine.page_size):
                        return slot
        return Slot(as_id, slot_id, Gfn(0), 0, UNKNOWN_HVA, log)

    def _covered_pages(self, as_id: int) -> Iterator[int]:
        """Every page that a slot holds, the first few thousand of them, where they can be searched for."""
        gfn, end = -1, self._machine.max_gfn + 1
        for _ in range(_MOST_SEARCHED):
            found = self._probe.first_covered(as_id, gfn + 1, end)
            if found is None:
                return
            yield found
            gfn = found
