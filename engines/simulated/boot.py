# SPDX-License-Identifier: GPL-2.0-only
"""A simulated kernel as the call under test finds it: `given` applied, counters of the call at zero."""

from errno import errorcode
from typing import NamedTuple

from engines.protocol import RefusedGiven
from engines.simulated.kernel import Kernel
from engines.simulated.objects import Area, SlotObject
from engines.simulated.plain import PlainVm
from engines.simulated.published import Published
from engines.simulated.recorder import RecordingKernel
from engines.simulated.serial import set_memory_region
from memslots.case import Case
from memslots.machine import Machine
from memslots.region import Region
from memslots.slot import SlotSets
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES


class Rest(NamedTuple):
    """A VM at rest, for every engine to copy and for none to change, and what a walk of it meets."""

    vm: PlainVm
    walk: SlotSets


class _Latest:
    """What the latest `given` leaves: the engines of a trial ask for it one after the other."""

    def __init__(self) -> None:
        self._known: tuple[Machine, tuple[Region, ...], Rest] | None = None

    def of(self, machine: Machine, given: tuple[Region, ...]) -> Rest | None:
        """The rest after this very `given`, if it was the latest."""
        known = self._known
        return known[2] if known is not None and known[0] is machine and known[1] is given else None

    def keep(self, machine: Machine, given: tuple[Region, ...], rest: Rest) -> None:
        """Know this rest from now on."""
        self._known = (machine, given, rest)


_LATEST = _Latest()


def at_rest(case: Case) -> Rest:
    """The slots that `given` leaves. Raises RefusedGiven."""
    known = _LATEST.of(case.machine, case.given)
    if known is not None:
        return known
    vm = PlainVm(case.machine)
    for i, region in enumerate(case.given):
        errno = vm.set_memory_region(region)
        if errno:
            raise RefusedGiven(i, errorcode[errno])
    rest = Rest(vm, vm.walk())
    _LATEST.keep(case.machine, case.given, rest)
    return rest


def rest_of(vm: PlainVm) -> Rest:
    """What the accepted regions of those that `vm` was given leave.

    Refused ones leave no trace but the swaps of a MOVE that the hook refuses.
    """
    rest = vm.copy()
    for as_id, rollbacks in enumerate(vm.rollbacks):
        rest.swaps[as_id] -= 2 * rollbacks
    return Rest(rest, rest.walk())


def leaves(given: tuple[Region, ...], rest: Rest) -> None:
    """Tell that `given`, by itself, leaves `rest`: whoever draws a case has applied it already."""
    _LATEST.keep(rest.vm.machine, given, rest)


def boot(case: Case) -> Kernel:
    """A kernel that holds what `given` leaves, with the faults of the call armed. Raises RefusedGiven.

    Which set is active is a matter of how often it was swapped; it decides where a freed object is met, and
    what closing the VM walks.
    """
    kernel = Kernel(case.machine)
    vm = at_rest(case).vm
    kernel.nr_memslot_pages = vm.nr_memslot_pages
    for as_id, memslots_at_rest in enumerate(vm.sets):
        swaps = vm.swaps[as_id]
        kernel.active_idx[as_id] = swaps & 1
        pair = kernel.sets[as_id]
        for slot in memslots_at_rest.by_id.values():
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
    kernel.published = Published()
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
    kernel.published = Published()
    kernel.areas_freed = False
    kernel.entry = None
    kernel.index = 0
    kernel.faults = dict(case.faults)
