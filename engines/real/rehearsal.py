# SPDX-License-Identifier: GPL-2.0-only
"""What the model says of a request before it goes to a real kernel: its answer, and whether it may go at all.

The metadata of a slot takes 10 bytes a page and a MOVE holds two copies: 2^31 - 1 pages would take 20 GiB.
"""

from engines.simulated.plain import PlainVm
from memslots.errors import Unfit
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import SlotSets, slot_of
from memslots.uapi import TASK_SIZE_MAX

MOST_PAGES = 1024
"""The longest slot that a request may make or move on a real kernel, in pages."""


class Rehearsal:
    """The requests so far, played on the model of the case's machine, and on one of the host where they differ."""

    def __init__(self, machine: Machine, host: Machine) -> None:
        if machine.page_size != host.page_size:
            raise Unfit(f"machine: page_size={machine.page_size:#x}, and this host has {host.page_size:#x}")
        self._vm = PlainVm(machine)
        self._host = PlainVm(host) if host != machine else None
        self._vms = (self._vm,) if self._host is None else (self._vm, self._host)
        self._machines = machine, host
        self._page_shift = machine.page_shift
        self.led_astray = False
        """Whether the kernel has answered otherwise than the model: then nothing is certain to be refused."""

    def asked_by(self, region: Region) -> Change:
        """What `region` asks for as things stand."""
        return self._vm.asked_by(region)

    def may_go(self, region: Region) -> bool:
        """Whether `region` is short enough, or certain to be refused before anything is allocated.

        That is by its own fields, by those of its slot, or by an overlap; where an earlier answer was not the
        expected one, nothing is certain. Nor is it by one of two machines alone: a flag or an id that the case's
        machine does not know, the host may, and refuse the request for its last gfn, with the same errno, when the
        metadata is there already.
        """
        if region.memory_size >> self._page_shift <= MOST_PAGES:
            return True
        return not self.led_astray and all(self._refused_at_once(vm, region) for vm in self._vms)

    def _refused_at_once(self, vm: PlainVm, region: Region) -> bool:
        if vm.asked_by(_at_a_low_address(region)) is Change.UNKNOWN:
            return True
        slot = slot_of(region, self._page_shift)
        return vm.sets[slot.as_id].another_id_in(slot.id, slot.base_gfn, slot.npages)

    def answer(self, region: Region, where: str) -> int:
        """0 or the errno (positive) that is to come. Raises Unfit, saying `where`, for a request that may not go."""
        if not self.may_go(region):
            raise Unfit(
                f"{where}: memory_size={region.memory_size:#x}: expected at most {MOST_PAGES} pages on a real kernel,"
                " or a request that is refused before anything is allocated"
            )
        errno = self._vm.set_memory_region(region)
        if self._host is not None and self._host.set_memory_region(region) != errno:
            raise Unfit(
                f"{where}: the case's machine answers otherwise than this host's would: {differences(*self._machines)}"
            )
        return errno

    def slots(self) -> SlotSets:
        """The slots that are to stand now."""
        return self._vm.walk()


def _at_a_low_address(region: Region) -> Region:
    """The request with memory that every kernel takes to be user space, as far off a page as its own.

    Where user space ends depends on levels of page tables and on the version (b.3, step 6): an address behind it is no
    reason to be sure of a refusal.
    """
    if region.userspace_addr + region.memory_size <= TASK_SIZE_MAX:
        return region
    return region._replace(userspace_addr=region.userspace_addr & 0xFFF)


def differences(machine: Machine, host: Machine) -> str:
    """The host's numbers that are not the machine's, in words."""
    ours = machine.numbers()
    return ", ".join(f"{name}={value:#x} on this host" for name, value in host.numbers().items() if ours[name] != value)
