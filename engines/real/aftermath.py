# SPDX-License-Identifier: GPL-2.0-only
"""What a list call has left in a VM: locks, and what both sets hold.

There is no way to look at a set, only at what the kernel makes of requests. So the VM is asked twice, with one
publication more in between: whichever set the single ioctl looks at (the active one in Linux, the inactive one with
patch 8 of the series), it is the other set the second time. What vCPUs find is asked of the active set itself.
"""

from bisect import bisect_left
from dataclasses import dataclass
from errno import EINVAL

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

Found = frozenset[Gfn]
"""Those of the gfns asked about at which a reader finds memory (`ListVm.finds`)."""


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
        self._named = named
        self._strange_hva = named.strange_hva()
        self._spaces = min(machine.address_spaces, host.machine.address_spaces)
        self._readback = Readback(vm, machine, named, region2=host.region2, steady=True)
        slots = named.slots()
        ends = {gfn for slot in slots if slot.as_id == 0 for gfn in (slot.base_gfn, Gfn(slot.end_gfn - 1))}
        self._asked = sorted(gfn for gfn in ends if gfn <= host.machine.max_gfn)
        self._free_gfn = _free_gfn(machine, host.machine, slots)

    def seen(self, likely: tuple[SlotSets, ...], tell: Tell) -> tuple[View, View]:
        """Both views, the first of what the single ioctl finds now. `likely` are the states to try first.

        Raises Unexplained where the kernel contradicts itself.
        """
        first = self._found()
        # Refused for its unaligned address alone, which is not before slots_lock is taken.
        self._expected(EINVAL, self._vm.set(self._named.spare, 0, 1, self._page, 0), "an unaligned request")
        tell(SLOTS_LOCK_IS_FREE)
        self._publish(even=True)
        tell(SLOTS_ARCH_LOCK_IS_FREE)
        if any(first == self._readable(slots) for slots in likely):
            ours = self._slots(likely)
            self._publish(even=False)
            second = self._found()
        else:
            # Readers are asked of both sets first: where a slot is INVALID, to ask for it as it is mends it.
            self._publish(even=False)
            second = self._found()
            self._publish(even=False)
            ours = self._slots(likely)
            self._publish(even=False)
        return View(ours, first), View(self._slots((ours, *likely)), second)

    def sets(self, first: View, second: View) -> tuple[SlotSets, SlotSets]:
        """The active and the inactive sets of the moment when the call had returned, as far as two views tell.

        Where both hold the same, there is no question. Where not, that view is of the active set which is like what
        readers found; the first, if neither is, as in another address space. A slot that may be written and that no
        reader found is INVALID. Raises Unexplained where readers found what neither view holds.
        """
        as_seen = self._unlike(first.found, first.slots) + self._unlike(second.found, second.slots)
        crossed = self._unlike(first.found, second.slots) + self._unlike(second.found, first.slots)
        active, inactive = (second, first) if crossed < as_seen else (first, second)
        return self._marked(active.slots, first.found), self._marked(inactive.slots, second.found)

    def _unlike(self, found: Found, slots: SlotSets) -> int:
        return len(found ^ self._readable(slots))

    def _readable(self, slots: SlotSets) -> Found:
        """At which gfns of those asked about readers ought to find memory."""
        asked, found = self._asked, set[Gfn]()
        for slot in slots[0]:
            if not slot.flags & (KVM_MEM_READONLY | KVM_MEMSLOT_INVALID):
                found.update(asked[bisect_left(asked, slot.base_gfn) : bisect_left(asked, slot.end_gfn)])
        return frozenset(found)

    def _marked(self, slots: SlotSets, found: Found) -> SlotSets:
        """The same slots, those INVALID that no reader found."""
        strange = found - self._readable(slots)
        if strange:
            raise Unexplained(f"gfn {min(strange):#x}, which readers find and no slot holds,", 0)
        lost = self._readable(slots) - found
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

    def _publish(self, *, even: bool) -> None:
        """Publish sets in every address space: an odd number of times, or an `even` one. Their slots stay as they are.

        A slot is made where none is and deleted: one and two publications, and one between them if `even`.
        """
        place = self._free_gfn * self._page, self._page, self._strange_hva
        for as_id in range(self._spaces):
            slot = as_id << 16 | self._named.spare
            self._expected(0, self._vm.set(slot, 0, *place), f"a new slot {slot:#x}")
            if even:
                self._expected(0, self._vm.set(slot, KVM_MEM_LOG_DIRTY_PAGES, *place), f"new flags of slot {slot:#x}")
            self._expected(0, self._vm.set(slot, 0, 0, 0, 0), f"the end of slot {slot:#x}")

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
