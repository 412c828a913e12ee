# SPDX-License-Identifier: GPL-2.0-only
"""A VM as the call under test finds it: what `given` leaves, each region applied as a list of one entry."""

from errno import errorcode
from typing import NamedTuple

from engines.ideal.journal import Journal
from engines.ideal.memory import Memory
from engines.ideal.memslots import Memslots
from engines.ideal.objects import Allocated, Area, SlotObject
from engines.ideal.validation import CREATE, DELETE, FLAGS_ONLY, MOVE, NO_OP, Working
from engines.ideal.vm import Vm
from engines.ideal.working_slots import WorkingSlots
from engines.protocol import RefusedGiven
from memslots.case import Case
from memslots.slot import SlotSets
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES

_PUBLICATIONS = {CREATE: 1, FLAGS_ONLY: 1, NO_OP: 0, DELETE: 2, MOVE: 2}
"""How often a list of one entry publishes a set: INVALID ones come before the final one."""


class Rest(NamedTuple):
    """A VM at rest, as values: its slots, how often each address space was published, and all pages."""

    walk: SlotSets
    publications: tuple[int, ...]
    nr_memslot_pages: int


def at_rest(case: Case) -> Rest:
    """What `given` leaves. Raises RefusedGiven."""
    spaces = case.machine.address_spaces
    working = Working(case.machine, [WorkingSlots() for _ in range(spaces)], 0)
    publications = [0] * spaces
    for i, region in enumerate(case.given):
        change, errno, _, _ = working.enter(region)
        if errno:
            raise RefusedGiven(i, errorcode[errno])
        publications[region[0] >> 16] += _PUBLICATIONS[change]
    return Rest(tuple([slots.walk() for slots in working.spaces]), tuple(publications), working.nr_memslot_pages)


def vm_at(case: Case, rest: Rest, *, record: bool) -> Vm:
    """A VM with its objects in both sets of each address space, and the failures of the call still to come."""
    journal = Journal(record=record)
    memory = Memory(journal, case.faults)
    live: list[Allocated] = []
    sets: list[tuple[Memslots, Memslots]] = []
    for as_id, slots in enumerate(rest.walk):
        objects: list[SlotObject] = []
        for slot in slots:
            bitmap = None
            if slot[5] & KVM_MEM_LOG_DIRTY_PAGES:
                bitmap = Area("dirty bitmap")
                live.append(bitmap)
            arch = Area("arch arrays")
            live.append(arch)
            objects.append(SlotObject(slot, bitmap, arch))
        live += objects
        generation = as_id + rest.publications[as_id] * len(rest.walk)
        memslots = Memslots(generation, objects, slots)
        sets.append((memslots, memslots.twin()))
    memory.live.update(live)
    return Vm(case.machine, sets, [n & 1 for n in rest.publications], rest.nr_memslot_pages, memory, journal)
