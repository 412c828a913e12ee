# SPDX-License-Identifier: GPL-2.0-only
"""What can be found out about one slot or one page: there is no ioctl that lists a VM's slots.

Two probes answer the same two questions, whether a slot id is taken and whether a page is covered: one by REGION2,
which changes nothing; one by the plain ioctl for kernels before 6.8, which has to take back what it was granted.
"""

from errno import EBADF, EEXIST, EINVAL
from typing import Protocol

from engines.real.vm import Vm
from memslots.errors import BadInput
from memslots.slot import Slot
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_MAX_NR_PAGES


class Probe(Protocol):
    """Answers about one VM. `spare` is an id that no slot has, `strange_hva` an address that no slot has."""

    def taken(self, slot: int, covered_gfn: int = 0) -> bool:
        """Whether a slot stands under this `slot` (address space and id). Faster if `covered_gfn` is covered."""
        ...

    def covered(self, as_id: int, gfn: int) -> bool:
        """Whether some slot of the address space holds the page `gfn`."""
        ...

    def first_covered(self, as_id: int, start: int, end: int) -> int | None:
        """The first page from `start` on and before `end` that is covered; None too if it cannot be searched for."""
        ...


class Unexplained(BadInput):
    """The kernel gave an answer that no state of its slots explains: the VM is suspect."""

    def __init__(self, what: str, errno: int) -> None:
        super().__init__(f"probing the VM: {what} answered errno {errno}, which says nothing of its slots")


class Region2Probe:
    """By KVM_SET_USER_MEMORY_REGION2 with a guest_memfd that is none: refused before anything changes."""

    def __init__(self, vm: Vm, page_size: int, spare: int) -> None:
        self._ask = vm.ask
        self._page = page_size
        self._spare = spare

    def taken(self, slot: int, covered_gfn: int = 0) -> bool:
        errno = self._ask(slot, covered_gfn * self._page, self._page)
        if errno == EINVAL:
            return True
        if errno in (EEXIST, EBADF):
            return False
        raise Unexplained(f"slot {slot:#x}", errno)

    def covered(self, as_id: int, gfn: int) -> bool:
        return self._meets(as_id, gfn, 1)

    def _meets(self, as_id: int, gfn: int, npages: int) -> bool:
        errno = self._ask(as_id << 16 | self._spare, gfn * self._page, npages * self._page)
        if errno == EEXIST:
            return True
        if errno == EBADF:
            return False
        raise Unexplained(f"gfn {gfn:#x}", errno)

    def first_covered(self, as_id: int, start: int, end: int) -> int | None:
        while start < end:
            npages = min(end - start, KVM_MEM_MAX_NR_PAGES)
            if self._meets(as_id, start, npages):
                break
            start += npages
        else:
            return None
        while npages > 1:
            half = npages // 2
            if self._meets(as_id, start, half):
                npages = half
            else:
                start, npages = start + half, npages - half
        return start


class PlainProbe:
    """By KVM_SET_USER_MEMORY_REGION: a page that was free is taken and given back at once.

    To take it publishes a set once, to give it back twice; `steady` makes it four times (one FLAGS_ONLY more).
    """

    def __init__(self, vm: Vm, page_size: int, spare: int, strange_hva: int, *, steady: bool = False) -> None:
        self._set = vm.set
        self._page = page_size
        self._spare = spare
        self._hva = strange_hva
        self._steady = steady

    def taken(self, slot: int, covered_gfn: int = 0) -> bool:
        # A slot that is there has another userspace_addr: EINVAL. One that is not is refused where a page is covered.
        errno = self._set(slot, 0, covered_gfn * self._page, self._page, self._hva)
        if errno == 0:
            self._give_back(slot, covered_gfn)
        elif errno not in (EEXIST, EINVAL):
            raise Unexplained(f"slot {slot:#x}", errno)
        return errno == EINVAL

    def covered(self, as_id: int, gfn: int) -> bool:
        spare = as_id << 16 | self._spare
        errno = self._set(spare, 0, gfn * self._page, self._page, self._hva)
        if errno == 0:
            self._give_back(spare, gfn)
        elif errno not in (EEXIST, EINVAL):  # EINVAL: beyond the maximum gfn, where no slot can be
            raise Unexplained(f"gfn {gfn:#x}", errno)
        return errno == EEXIST

    def first_covered(self, as_id: int, start: int, end: int) -> int | None:
        # Taking a long range to see whether it is free would make the kernel allocate for all of it.
        return None

    def _give_back(self, slot: int, gfn: int) -> None:
        # Where the next set does not hold what was taken in this one, the two differ, and it stays in one of them.
        errno = self._set(slot, KVM_MEM_LOG_DIRTY_PAGES, gfn * self._page, self._page, self._hva) if self._steady else 0
        errno = errno or self._set(slot, 0, 0, 0, 0)
        if errno:
            raise Unexplained(f"slot {slot:#x}, made a moment ago and to be given back,", errno)


def holds(vm: Vm, probe: Probe, slot: Slot, page_size: int) -> bool:
    """Whether exactly this slot is there, LOG_DIRTY_PAGES and READONLY included. Changes nothing.

    A request for what is there already is a no-op, and its answer 0. No other 0 can come: with the dirty bitmap as
    wanted it is no FLAGS_ONLY; with the first page covered, no CREATE; and a MOVE onto both its first and its last
    page covered meets another slot on one of them, whichever way the slot itself lies across the other.
    """
    as_id, slot_id, base, npages, hva, flags = slot
    number = as_id << 16 | slot_id
    if vm.logs(number) != bool(flags & 1) or not probe.covered(as_id, base):
        return False
    if npages > 1 and not probe.covered(as_id, base + npages - 1):
        return False
    return vm.set(number, flags, base * page_size, npages * page_size, hva) == 0
