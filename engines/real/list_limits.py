# SPDX-License-Identifier: GPL-2.0-only
"""Which cases a list ioctl may be given: what it could allocate is bounded, and the machine is the one that is here.

Nobody knows in which order an unknown kernel looks at a list, so nothing counts as refused but what its own fields
refuse.
"""

from errno import errorcode

from engines.protocol import RefusedGiven
from engines.real.rehearsal import MOST_PAGES, Rehearsal, differences
from engines.simulated.checks import id_refused, refusal
from memslots.case import Case
from memslots.errors import Unfit
from memslots.list_size import short_enough
from memslots.machine import Machine
from memslots.region import Region
from memslots.slot import SlotSets, slot_of


def rehearsed(case: Case, host: Machine) -> tuple[SlotSets, SlotSets]:
    """What stands before the call, and what serial requests would leave: all of them, or those before a refusal.

    Raises Unfit for a case that may not go, RefusedGiven.
    """
    if case.faults:
        raise Unfit(f"fault {case.faults[0][0]}: a real kernel fails when it likes")
    short_enough(case)
    rehearsal = Rehearsal(case.machine, host)
    for i, region in enumerate(case.given):
        errno = rehearsal.answer(region, f"given {i}")
        if errno:
            raise RefusedGiven(i, errorcode[errno])
    for i, region in enumerate(case.apply[: case.entries]):
        _may_go(region, f"entry {i}", case.machine, host)
    before = rehearsal.slots()
    for i, region in enumerate(case.named()):
        if rehearsal.answer(region, f"entry {i}"):
            break
    return before, rehearsal.slots()


def _may_go(region: Region, where: str, machine: Machine, host: Machine) -> None:
    """Raises Unfit if the entry could become a long slot, or is judged otherwise by the case's machine and the host."""
    refused = [id_refused(each, region) or refusal(each, region) is not None for each in (machine, host)]
    slot = slot_of(region, machine.page_shift)
    if slot.npages > MOST_PAGES and not all(refused):
        raise Unfit(
            f"{where}: memory_size={region.memory_size:#x}: expected at most {MOST_PAGES} pages in a list for a real"
            " kernel, or fields that are refused by themselves"
        )
    beyond = [slot.end_gfn - 1 > each.max_gfn for each in (machine, host)]
    if refused[0] != refused[1] or (not refused[0] and slot.npages and beyond[0] != beyond[1]):
        raise Unfit(
            f"{where}: the case's machine answers otherwise than this host's would: {differences(machine, host)}"
        )
