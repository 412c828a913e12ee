# SPDX-License-Identifier: GPL-2.0-only
"""A simulated kernel as the call under test finds it: `given` applied, counters of the call at zero."""

from errno import errorcode

from engines.protocol import RefusedGiven
from engines.simulated.kernel import Kernel
from engines.simulated.objects import Area, SlotObject
from engines.simulated.plain import PlainVm
from engines.simulated.recorder import RecordingKernel
from engines.simulated.serial import set_memory_region
from memslots.case import Case
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES


def plain_vm(case: Case) -> PlainVm:
    """The slots that `given` leaves. Raises RefusedGiven."""
    vm = PlainVm(case.machine)
    for i, region in enumerate(case.given):
        errno = vm.set_memory_region(region)
        if errno:
            raise RefusedGiven(i, errorcode[errno])
    return vm


def boot(case: Case) -> Kernel:
    """A kernel that holds what `given` leaves, with the faults of the call armed. Raises RefusedGiven.

    Which set is active is a matter of how often it was swapped; it decides where a freed object is met, and
    what closing the VM walks.
    """
    kernel = Kernel(case.machine)
    vm = plain_vm(case)
    kernel.nr_memslot_pages = vm.nr_memslot_pages
    for as_id, slots in enumerate(vm.slots):
        swaps = vm.swaps[as_id]
        kernel.active_idx[as_id] = swaps & 1
        pair = kernel.sets[as_id]
        for slot in slots.values():
            bitmap = None
            if slot.flags & KVM_MEM_LOG_DIRTY_PAGES:
                bitmap = Area()
                kernel.bitmaps.append(bitmap)
            slot_object = SlotObject(slot, bitmap, Area())
            kernel.allocated.append(slot_object)
            for memslots in pair:
                memslots.link(slot_object)
                memslots.insert_gfn(slot_object)
        for memslots in pair:
            memslots.generation = as_id + swaps * len(kernel.sets)
    kernel.faults = dict(case.faults)
    return kernel


def boot_faithfully(case: Case, kernel: Kernel) -> None:
    """Apply `given` to a new `kernel`, ioctl by ioctl, then arm the faults of the call. Raises RefusedGiven.

    The shape of a tree is a matter of its whole history.
    """
    for i, region in enumerate(case.given):
        kernel.index = i
        errno = -set_memory_region(kernel, region)
        if errno:
            raise RefusedGiven(i, errorcode[errno])
    if isinstance(kernel, RecordingKernel):
        kernel.events.clear()
    kernel.publications = 0
    kernel.areas_freed = False
    kernel.entry = None
    kernel.index = 0
    kernel.faults = dict(case.faults)
