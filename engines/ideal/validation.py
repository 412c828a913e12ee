# SPDX-License-Identifier: GPL-2.0-only
"""What one entry asks for and whether it may, in the state that the entries before it would leave (I2).

Steps 3 to 13 of b.3 and the x86 hook's test of the maximum gfn, read from the specification. The single ioctl tests
the gfn last of all; here as well, entry by entry: then the first entry that is refused is the single ioctl's, too.
"""

from errno import EEXIST, EINVAL, EIO
from typing import NamedTuple

from engines.ideal.request import request_refused
from engines.ideal.working_slots import WorkingSlots
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import Slot, slot_of
from memslots.uapi import KVM_MEM_READONLY, U64


class Validated(NamedTuple):
    """What becomes of an entry. `slot` is what it leaves under its id: None for a DELETE, and where it is refused."""

    change: Change
    errno: int = 0
    why: str = ""
    slot: Slot | None = None


_NO_OP = Validated(Change.NO_OP)


class Working:
    """The working state: all slots, and how many pages they have."""

    __slots__ = ("machine", "nr_memslot_pages", "spaces")

    def __init__(self, machine: Machine, spaces: list[WorkingSlots], nr_memslot_pages: int) -> None:
        self.machine = machine
        self.spaces = spaces
        self.nr_memslot_pages = nr_memslot_pages

    def enter(self, region: Region) -> Validated:
        """Validate one request, and let the working state have it if it is not refused."""
        why = request_refused(self.machine, region)
        if why is not None:
            return Validated(Change.UNKNOWN, EINVAL, why)
        slots = self.spaces[region[0] >> 16]
        old = slots.by_id.get(region[0] & 0xFFFF)
        if region[3] == 0:
            return self._delete(slots, old)
        new = slot_of(region, self.machine.page_shift)
        if old is None:
            return self._create(slots, new)
        _, _, base, npages, hva, flags = old
        if new[3] != npages:
            return Validated(Change.UNKNOWN, EINVAL, "a slot cannot be resized")
        if new[4] != hva:
            return Validated(Change.UNKNOWN, EINVAL, "a slot's memory cannot be exchanged")
        if (new[5] ^ flags) & KVM_MEM_READONLY:
            return Validated(Change.UNKNOWN, EINVAL, "READONLY cannot be toggled")
        if new[2] != base:
            return self._move(slots, old, new)
        if new[5] == flags:
            return _NO_OP
        slots.take(old)
        slots.put(new)
        return Validated(Change.FLAGS_ONLY, slot=new)

    def _delete(self, slots: WorkingSlots, old: Slot | None) -> Validated:
        if old is None:
            return Validated(Change.DELETE, EINVAL, "there is no such slot")
        if self.nr_memslot_pages < old[3]:
            return Validated(Change.DELETE, EIO, "nr_memslot_pages is less than the slot's pages")
        slots.take(old)
        self.nr_memslot_pages -= old[3]
        return Validated(Change.DELETE)

    def _create(self, slots: WorkingSlots, new: Slot) -> Validated:
        if self.nr_memslot_pages + new[3] > U64:
            return Validated(Change.CREATE, EINVAL, "nr_memslot_pages wraps")
        if slots.others_hold(new):
            return Validated(Change.CREATE, EEXIST, "overlaps another slot")
        if self._beyond(new):
            return Validated(Change.CREATE, EINVAL, "beyond the maximum gfn")
        slots.put(new)
        self.nr_memslot_pages += new[3]
        return Validated(Change.CREATE, slot=new)

    def _move(self, slots: WorkingSlots, old: Slot, new: Slot) -> Validated:
        if slots.others_hold(new):
            return Validated(Change.MOVE, EEXIST, "overlaps another slot")
        if self._beyond(new):
            return Validated(Change.MOVE, EINVAL, "beyond the maximum gfn")
        slots.take(old)
        slots.put(new)
        return Validated(Change.MOVE, slot=new)

    def _beyond(self, new: Slot) -> bool:
        return new[2] + new[3] > self.machine.max_gfn + 1
