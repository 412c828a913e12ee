# SPDX-License-Identifier: GPL-2.0-only
"""Inside a guest whose kernel has examples/atomic.patch: what is dirty stays dirty where the memory lives on.

`python -m tests.guest.dirty_pages`: each line of the table is a list; before it, KVM itself writes to a page of a slot
that logs. Ends with 1 if a dirty page is lost, or one is dirty that should not be.
"""

import os
import sys
from struct import Struct
from typing import NamedTuple

from engines.real.device import Memory, ioctl, opened
from engines.real.list_vm import ListVm, packed_list
from memslots.case import Case
from memslots.errors import Missing
from memslots.region import Region
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY

PAGE = 4096
PAGES = 200
LOG = KVM_MEM_LOG_DIRTY_PAGES
_GET_DIRTY_LOG = 0x4010_AE42
_DIRTY_LOG = Struct("=IIQ")
_SET_MSRS = 0x4008_AE89
_ONE_MSR = Struct("=IIIIQ")
_MSR_WALL_CLOCK = 0x4B56_4D00
"""MSR_KVM_WALL_CLOCK_NEW: KVM writes the time to the address that it is set to, at once."""


class Kept(NamedTuple):
    """A list, with userspace_addr counted from the begin of the memory, and the pages that are dirty behind it."""

    name: str
    list: tuple[Region, ...]
    dirty: dict[int, set[int]]
    """By slot. The pages 3, 130 and 199 of slot 0 have been written to."""


def region(slot: int, first: int, pages: int, flags: int = LOG, at: int | None = None) -> Region:
    """A slot on these pages of the memory, at the gfn of the same number unless `at` says another one."""
    return Region(slot, flags, (first if at is None else at) * PAGE, pages * PAGE, first * PAGE)


GONE = Region(0)
WRITTEN = (3, 130, 199)
KEPT = (
    Kept("nothing changes", (), {0: {3, 130, 199}}),
    Kept("moved", (region(0, 0, PAGES, at=1000),), {0: {3, 130, 199}}),
    Kept("logging off and on", (region(0, 0, PAGES, 0), region(0, 0, PAGES)), {0: {3, 130, 199}}),
    Kept("deleted and created", (GONE, region(0, 0, PAGES)), {0: {3, 130, 199}}),
    Kept("created again elsewhere", (GONE, region(9, 0, PAGES, at=5000)), {9: {3, 130, 199}}),
    Kept("READONLY", (GONE, region(0, 0, PAGES, LOG | KVM_MEM_READONLY)), {0: {3, 130, 199}}),
    Kept("cut off", (GONE, region(0, 0, 130)), {0: {3}}),
    Kept("beheaded", (GONE, region(0, 3, 197)), {0: {0, 127, 196}}),
    Kept("split", (GONE, region(0, 0, 4), region(1, 4, 126), region(2, 130, 70)), {0: {3}, 1: set(), 2: {0, 69}}),
    Kept("a hole", (GONE, region(0, 0, 3), region(1, 131, 69)), {0: set(), 1: {68}}),
    Kept("other memory", (GONE, region(0, PAGES, PAGES, at=0)), {0: set()}),
    Kept("does not log any more", (GONE, region(0, 0, 100, 0), region(1, 100, 100)), {1: {30, 99}}),
    Kept("refused", (GONE, region(1, 0, PAGES), region(2, 0, PAGES)), {0: {3, 130, 199}}),
)


class LoggedVm(ListVm):
    """A VM whose KVM writes to guest memory and tells which pages are dirty."""

    def write(self, guest_phys_addr: int) -> bool:
        """Let KVM write there."""
        asked = bytearray(_ONE_MSR.pack(1, 0, _MSR_WALL_CLOCK, 0, guest_phys_addr))
        return ioctl(self._vcpu, _SET_MSRS, asked) == 1

    def dirty_pages(self, slot: int, bitmap: Memory) -> set[int] | None:
        """KVM_GET_DIRTY_LOG; None where there is no such slot, or it does not log."""
        bitmap.bytes[:] = bytes(len(bitmap.bytes))
        if ioctl(self.fd, _GET_DIRTY_LOG, _DIRTY_LOG.pack(slot, 0, bitmap.address)):
            return None
        bits = int.from_bytes(bitmap.bytes[:], "little")
        return {page for page in range(bits.bit_length()) if bits >> page & 1}


def told(kvm: int, kept: Kept, memory: Memory, bitmap: Memory) -> dict[int, set[int] | None]:
    """What is dirty when the list has been applied."""

    def placed(each: Region) -> Region:
        return each._replace(userspace_addr=memory.address + each.userspace_addr)

    vm = LoggedVm(kvm)
    with vm:
        if vm.set_memory_region(placed(region(0, 0, PAGES))):
            raise Missing("KVM_SET_USER_MEMORY_REGION refuses the slot")
        for page in WRITTEN:
            if not vm.write(page * PAGE):
                raise Missing("MSR_KVM_WALL_CLOCK_NEW is refused")
        vm.set_list(packed_list(Case(tuple(map(placed, kept.list)))))
        return {slot: vm.dirty_pages(slot, bitmap) for slot in kept.dirty}


def main() -> int:
    """Try every list; a line each."""
    kvm = opened()
    memory, bitmap = Memory(2 * PAGES * PAGE), Memory(PAGE)
    wrong = 0
    for kept in KEPT:
        dirty = told(kvm, kept, memory, bitmap)
        right = dirty == kept.dirty
        wrong += not right
        print(f"{kept.name:24} {'dirty pages as expected' if right else f'{dirty}: expected {kept.dirty}'}")
    os.close(kvm)
    print(f"{len(KEPT)} lists, {wrong} of them wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
