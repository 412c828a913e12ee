# SPDX-License-Identifier: GPL-2.0-only
"""A look at one set of a VM that no state of the VM can turn into a change: every question of it is refused.

An anchor, a page that a spare slot holds, makes that certain: whatever would be put there is refused (EEXIST), after
it was looked up and compared with the slot that stands under its id (EINVAL). So ids and shapes can be told, and
whether a slot logs; where it lies, only readers can tell. A more thorough look takes pages to see whether they are
free: on a set that differs from the other one, that can crash the kernel.
"""

from errno import EEXIST, EINVAL
from itertools import chain
from typing import NamedTuple

from engines.real.list_vm import ListVm
from engines.real.probe import Unexplained
from engines.real.readback import UNKNOWN_HVA, Named
from memslots.machine import Machine
from memslots.slot import Gfn, Slot, SlotSets
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY

Found = frozenset[Gfn]
"""Those of the gfns asked about at which a reader finds memory (`ListVm.finds`)."""


class Shape(NamedTuple):
    """What a slot is like, wherever it lies. npages is 0 where no request explains it."""

    npages: int
    userspace_addr: int
    flags: int


Glance = dict[int, Shape]
"""The slots that are there, by number (address space and id)."""


class Glancing:
    """Looks at a VM whose spare slot stands at the anchor, in each address space."""

    def __init__(self, vm: ListVm, machine: Machine, named: Named, anchor: int) -> None:
        self._vm = vm
        self._page = machine.page_size
        self._numbers = list(named.numbers)
        self._slots = named.slots()
        self._spaces = machine.address_spaces
        self._anchor = anchor * machine.page_size
        self._strange_hva = named.strange_hva()
        self._own: dict[int, list[Slot]] = {}
        for slot in self._slots:
            self._own.setdefault(slot.as_id << 16 | slot.id, []).append(slot)

    def glance(self) -> Glance:
        """What stands in the set that the single ioctl looks at. Raises Unexplained."""
        return {
            number: self._shape(number)
            for number in self._numbers
            if not self._would_be_new(number, 0, self._page, self._strange_hva)
        }

    def _shape(self, number: int) -> Shape:
        log = KVM_MEM_LOG_DIRTY_PAGES if self._vm.logs(number) else 0
        for slot in dict.fromkeys(chain(self._own.get(number, ()), self._slots)):
            readonly = slot.flags & KVM_MEM_READONLY
            if self._would_be_new(number, readonly | log, slot.npages * self._page, slot.userspace_addr):
                return Shape(slot.npages, slot.userspace_addr, readonly | log)
        return Shape(0, UNKNOWN_HVA, log)

    def _would_be_new(self, number: int, flags: int, memory_size: int, userspace_addr: int) -> bool:
        """Whether this would be a CREATE or a MOVE; otherwise a slot stands there that is not like that."""
        errno = self._vm.set(number, flags, self._anchor, memory_size, userspace_addr)
        if errno not in (EEXIST, EINVAL):
            raise Unexplained(f"slot {number:#x} at the anchor", errno)
        return errno == EEXIST

    def slots(self, glance: Glance, found: Found, elsewhere: Found) -> SlotSets:
        """The slots of a glance, each where a request for one of its shape makes it likely, and readers found it.

        That is in this set; or in the other one (`elsewhere`), if they found it nowhere here.
        """
        sets: list[list[Slot]] = [[] for _ in range(self._spaces)]
        for number, (npages, hva, flags) in glance.items():
            alike = [slot for slot in self._own.get(number, ()) if (slot.npages, slot.userspace_addr) == (npages, hva)]
            bases = [slot.base_gfn for slot in alike] or [Gfn(0)]
            base = next((base for where in (found, elsewhere) for base in bases if base in where), bases[0])
            sets[number >> 16].append(Slot(number >> 16, number & 0xFFFF, base, npages, hva, flags))
        return tuple(tuple(sorted(slots)) for slots in sets)
