# SPDX-License-Identifier: GPL-2.0-only
"""What one entry asks for and whether it may, in the state that the entries before it would leave (I2).

Steps 3 to 13 of b.3 and the x86 hook's test of the maximum gfn, read from the specification. The single ioctl tests
the gfn last of all; here as well, entry by entry: then the first entry that is refused is the single ioctl's, too.
"""

from errno import EEXIST, EINVAL, EIO

from engines.ideal.request import request_refused
from engines.ideal.working_slots import WorkingSlots
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import Slot, slot_of
from memslots.uapi import KVM_MEM_READONLY, U64

CREATE = Change.CREATE
DELETE = Change.DELETE
MOVE = Change.MOVE
FLAGS_ONLY = Change.FLAGS_ONLY
NO_OP = Change.NO_OP
UNKNOWN = Change.UNKNOWN

Validated = tuple[Change, int, str, Slot | None]
"""What becomes of an entry: what it asks for, 0 or an errno and the reason, and the slot that it leaves under its id.

A plain tuple, since it is made of every entry.
"""


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
            return UNKNOWN, EINVAL, why, None
        slots = self.spaces[region[0] >> 16]
        old = slots.by_id.get(region[0] & 0xFFFF)
        if region[3] == 0:
            return self._delete(slots, old)
        new = slot_of(region, self.machine.page_shift)
        if old is None:
            return self._create(slots, new)
        _, _, base, npages, hva, flags = old
        if new[3] != npages:
            return UNKNOWN, EINVAL, "a slot cannot be resized", None
        if new[4] != hva:
            return UNKNOWN, EINVAL, "a slot's memory cannot be exchanged", None
        if (new[5] ^ flags) & KVM_MEM_READONLY:
            return UNKNOWN, EINVAL, "READONLY cannot be toggled", None
        if new[2] != base:
            return self._move(slots, old, new)
        if new[5] == flags:
            return NO_OP, 0, "", old
        slots.exchange(new)
        return FLAGS_ONLY, 0, "", new

    def _delete(self, slots: WorkingSlots, old: Slot | None) -> Validated:
        if old is None:
            return DELETE, EINVAL, "there is no such slot", None
        if self.nr_memslot_pages < old[3]:
            return DELETE, EIO, "nr_memslot_pages is less than the slot's pages", None
        slots.take(old)
        self.nr_memslot_pages -= old[3]
        return DELETE, 0, "", None

    def _create(self, slots: WorkingSlots, new: Slot) -> Validated:
        if self.nr_memslot_pages + new[3] > U64:
            return CREATE, EINVAL, "nr_memslot_pages wraps", None
        if slots.others_hold(new):
            return CREATE, EEXIST, "overlaps another slot", None
        if self._beyond(new):
            return CREATE, EINVAL, "beyond the maximum gfn", None
        slots.put(new)
        self.nr_memslot_pages += new[3]
        return CREATE, 0, "", new

    def _move(self, slots: WorkingSlots, old: Slot, new: Slot) -> Validated:
        if slots.others_hold(new):
            return MOVE, EEXIST, "overlaps another slot", None
        if self._beyond(new):
            return MOVE, EINVAL, "beyond the maximum gfn", None
        slots.take(old)
        slots.put(new)
        return MOVE, 0, "", new

    def _beyond(self, new: Slot) -> bool:
        return new[2] + new[3] > self.machine.max_gfn + 1
