# SPDX-License-Identifier: GPL-2.0-only
"""What a list call has left in a VM: locks, and what both sets hold.

There is no way to look at a set, only at what the kernel makes of requests. So the VM is asked twice, with one
publication more in between: whichever set the single ioctl looks at (the active one in Linux, the inactive one with
patch 8 of the series), it is the other set the second time. What vCPUs find is asked of the active set itself.
"""

from bisect import bisect_left
from dataclasses import dataclass
from errno import EINVAL

from engines.real.glance import Found, Glance, Glancing
from engines.real.host import Host
from engines.real.list_vm import ListVm
from engines.real.probe import Unexplained
from engines.real.readback import Named, Readback
from engines.real.watched import Tell
from memslots.machine import Machine
from memslots.slot import Gfn, Slot, SlotSets
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEMSLOT_INVALID

# How far it has come, as it is told to the parent.
SLOTS_LOCK_IS_FREE = "slots_lock is free"
SLOTS_ARCH_LOCK_IS_FREE = "slots_arch_lock is free"


@dataclass(frozen=True, slots=True)
class View:
    """One set of each address space: its slots as the single ioctl finds them, and what a reader found meanwhile."""

    slots: SlotSets
    found: Found


class Aftermath:
    """Asks one VM what a call has left in it. Every step may hang or crash a kernel that is wrecked."""

    def __init__(self, vm: ListVm, machine: Machine, host: Host, named: Named) -> None:
        self._vm = vm
        self._page = machine.page_size
        self._spare = named.spare
        self._spaces = min(machine.address_spaces, host.machine.address_spaces)
        self._readback = Readback(vm, machine, named, region2=host.region2, steady=True)
        slots = named.slots()
        ends = {gfn for slot in slots if slot.as_id == 0 for gfn in (slot.base_gfn, Gfn(slot.end_gfn - 1))}
        self._asked = sorted(gfn for gfn in ends if gfn <= host.machine.max_gfn)
        free = _free_gfn(machine, host.machine, slots)
        self._anchor = free * self._page, self._page, named.strange_hva()
        self._glancing = Glancing(vm, machine, named, free)

    def sets(self, likely: tuple[SlotSets, ...], tell: Tell) -> tuple[SlotSets, SlotSets]:
        """The active and the inactive sets of the moment when the call had returned, as far as can be told.

        `likely` are the states to try first. Where both sets hold the same, that is all. Where not, that one is the
        active set which is like what readers found; or that which the single ioctl looks at, if neither is, as in
        another address space. Slots that no reader found, and that may be written, are INVALID.
        Raises Unexplained where the kernel contradicts itself.
        """
        active, inactive = self._seen(likely, tell)
        return self._marked(active), self._marked(inactive)

    def _seen(self, likely: tuple[SlotSets, ...], tell: Tell) -> tuple[View, View]:
        """Views of the active and of the inactive set."""
        found = self._found()
        # Refused for its unaligned address alone, which is not before slots_lock is taken.
        self._expected(EINVAL, self._vm.set(self._spare, 0, 1, self._page, 0), "an unaligned request")
        tell(SLOTS_LOCK_IS_FREE)
        self._everywhere(0, self._anchor, "a new slot")
        tell(SLOTS_ARCH_LOCK_IS_FREE)
        # One publication: the other set is looked at, and found by readers.
        there, found_there = self._glancing.glance(), self._found()
        self._everywhere(KVM_MEM_LOG_DIRTY_PAGES, self._anchor, "new flags")
        here = self._glancing.glance()
        if here != there or found != found_there:
            as_seen, crossed = (
                self._views(here, found, there, found_there),
                self._views(there, found, here, found_there),
            )
            return crossed if self._unlike(crossed) < self._unlike(as_seen) else as_seen
        # The sets are alike, and what would wreck sets that differ cannot do harm.
        self._everywhere(0, (0, 0, 0), "the end")
        ours = self._slots(likely)
        self._everywhere(0, self._anchor, "a new slot")
        self._everywhere(0, (0, 0, 0), "the end")
        return View(ours, found), View(self._slots((ours, *likely)), found_there)

    def _views(self, active: Glance, found: Found, inactive: Glance, found_there: Found) -> tuple[View, View]:
        slots = self._glancing.slots
        return View(slots(active, found, found_there), found), View(slots(inactive, found_there, found), found_there)

    def _unlike(self, views: tuple[View, View]) -> int:
        return sum(len(view.found ^ self._readable(view.slots)) for view in views)

    def _readable(self, slots: SlotSets) -> Found:
        """At which gfns of those asked about readers ought to find memory."""
        asked, found = self._asked, set[Gfn]()
        for slot in slots[0]:
            if not slot.flags & (KVM_MEM_READONLY | KVM_MEMSLOT_INVALID):
                found.update(asked[bisect_left(asked, slot.base_gfn) : bisect_left(asked, slot.end_gfn)])
        return frozenset(found)

    def _marked(self, view: View) -> SlotSets:
        """The slots of a view, those INVALID that no reader found."""
        slots, readable = view.slots, self._readable(view.slots)
        strange = view.found - readable
        if strange:
            raise Unexplained(f"gfn {min(strange):#x}, which readers find and no slot holds,", 0)
        lost = readable - view.found
        return (
            tuple(
                slot._replace(flags=slot.flags | KVM_MEMSLOT_INVALID) if slot.base_gfn in lost else slot
                for slot in slots[0]
            ),
            *slots[1:],
        )

    def _found(self) -> Found:
        return frozenset(gfn for gfn in self._asked if self._vm.finds(gfn * self._page))

    def _slots(self, likely: tuple[SlotSets, ...]) -> SlotSets:
        for slots in likely:
            if self._readback.equal(slots):
                return slots
        return self._readback.slots()

    def _everywhere(self, flags: int, place: tuple[int, int, int], what: str) -> None:
        """Make, change or delete the spare slot in each address space: one publication, one, and two."""
        for as_id in range(self._spaces):
            slot = as_id << 16 | self._spare
            self._expected(0, self._vm.set(slot, flags, *place), f"{what} of slot {slot:#x}")

    @staticmethod
    def _expected(expected: int, errno: int, what: str) -> None:
        if errno != expected:
            raise Unexplained(what, errno)


def _free_gfn(machine: Machine, host: Machine, slots: list[Slot]) -> int:
    """The last gfn that none of these slots holds."""
    gfn = min(machine.max_gfn, host.max_gfn)
    for slot in sorted(slots, key=lambda slot: slot.end_gfn, reverse=True):
        if slot.base_gfn <= gfn < slot.end_gfn:
            gfn = slot.base_gfn - 1
    return gfn
