# SPDX-License-Identifier: GPL-2.0-only
"""One VM's memslots: the sets, the locks, an allocator that remembers, and what goes wrong.

Faithful to Linux 6.1, virt/kvm/kvm_main.c, function by function. `kernel.py` has the steps that ioctls are made of.
"""

from collections.abc import Sequence

from engines.simulated.ended import Ended, Hung, Oops
from engines.simulated.linked import LinkedMemslots
from engines.simulated.objects import Area, Memslots, SlotObject, named
from engines.simulated.published import Published
from memslots.machine import Machine
from memslots.outcome import Change, Event
from memslots.slot import Slot, SlotSet, SlotSets
from memslots.uapi import (
    KVM_MEMSLOT_INVALID,
)

_UPDATE_IN_PROGRESS = 1 << 63


class BatchEntry:
    """struct kvm_internal_memory_region_list: what one request works with. Zeroed, so `change` is CREATE (sic)."""

    __slots__ = ("asked", "batch", "change", "invalid", "is_move_delete", "new", "old")

    def __init__(self) -> None:
        # What was asked for, as far as it was looked at: for events; the kernel has no such field.
        self.asked = Change.UNKNOWN
        self.old: SlotObject | None = None
        self.new: SlotObject | None = None
        self.invalid: SlotObject | None = None
        self.change = Change.CREATE
        self.batch = False
        """Patch 9: what is edited will be published later, with the rest of a list."""
        self.is_move_delete = False
        """Patch 9: the first pass is at work on it."""


class Misused(Exception):
    """Plain `Memslots` were edited in a way that only `LinkedMemslots` can follow. Never leaves an engine."""


class Vm:
    """A VM's memslots, with an allocator that remembers what it gave out.

    `phase`, `index` and `entry` say what is being done: events carry them, no step depends on them.
    """

    def __init__(self, machine: Machine, memslots: type[Memslots] = Memslots) -> None:
        self.machine = machine
        spaces = machine.address_spaces
        self.sets = [(memslots(0, as_id), memslots(1, as_id)) for as_id in range(spaces)]
        self.active_idx = [0] * spaces
        self.slots_lock = False
        self.slots_arch_lock = False
        self.nr_memslot_pages = 0
        self.publications = 0
        self.published: Published | None = None
        self.inhibited = False
        """Whether readers are kept out, as QEMU does it."""
        self.allocated: list[SlotObject] = []
        self.bitmaps: list[Area] = []
        self.arrays: list[Area] = []
        self.batch: Sequence[BatchEntry] = ()
        self.faults: dict[str, int] = {}
        self.warned = False
        self.corrupt = False
        self.areas_freed = False
        self.damage: set[str] = set()
        self.phase = ""
        self.index = 0
        self.entry: BatchEntry | None = None
        self.mishaps: list[Event] = []
        self._arch_lock_taken: tuple[str, int, BatchEntry | None] = ("", 0, None)

    # -- sets ------------------------------------------------------------------------------------------------

    def active(self, as_id: int) -> Memslots:
        """The set that readers see."""
        return self.sets[as_id][self.active_idx[as_id]]

    def inactive(self, as_id: int) -> Memslots:
        """The set that updates edit."""
        return self.sets[as_id][1 - self.active_idx[as_id]]

    def as_id_of(self, a: SlotObject | None, b: SlotObject | None) -> int:
        """The address space of two slot objects of which one may be missing (kvm_memslots_get_as_id).

        If both are, a WARN, and 0.
        """
        known = a or b
        if known is None:
            self.warn("neither an old nor a new slot")
            return 0
        return known.slot.as_id

    def walk(self, which: int) -> SlotSets:
        """What a walk of the gfn trees reaches: of the active sets (0) or the inactive ones (1)."""
        return tuple([_walk(sets[idx ^ which]) for sets, idx in zip(self.sets, self.active_idx, strict=True)])

    def replace(self, old: SlotObject | None, new: SlotObject | None) -> None:
        """Put `new` where `old` is in the inactive set (kvm_replace_memslot), in the kernel's order of steps.

        Nothing checks that `old` is linked or that `new` is not: sic. The first such edit makes the VM corrupt.
        """
        memslots = self.inactive(self.as_id_of(old, new))
        if old is not None:
            if old.freed:
                # KASAN keeps a freed object's contents but for the first 16 bytes, its hash node for set index 0.
                self.damaged("use-after-free", old)
                if memslots.node_idx == 0:
                    raise Oops("use-after-free")
            if not memslots.holds(old):
                self.stray("stale unlink", old)
            memslots.unlink(old)
            if new is None:
                memslots.erase_gfn(old)
                return
        elif new is None:
            raise Oops("null-dereference")
        if memslots.holds(new):
            self.stray("double link", new)
        memslots.link(new)
        if old is not None:
            if old.slot.base_gfn == new.slot.base_gfn:
                memslots.replace_gfn(old, new)
                return
            memslots.erase_gfn(old)
        if not memslots.insert_gfn(new):
            raise Oops("bug")

    def swap(self, as_id: int) -> None:
        """Publish the inactive set and release slots_arch_lock (kvm_swap_active_memslots)."""
        idx = self.active_idx[as_id]
        sets = self.sets[as_id]
        generation = sets[idx].generation
        published = sets[1 - idx]
        published.generation = generation | _UPDATE_IN_PROGRESS
        self.active_idx[as_id] = 1 - idx
        self._release_arch()
        # synchronize_srcu_expedited: from here on no reader holds the previous set.
        published.generation = generation + len(self.sets)
        self.publications += 1
        if self.published is not None and not self.published.too_much:
            self.published.add(as_id, _walk(published), self.inhibited)

    # -- locks -----------------------------------------------------------------------------------------------

    def lock_slots(self) -> None:
        """mutex_lock(&kvm->slots_lock). Raises Hung if it is held: nobody else is there to release it."""
        if self.slots_lock:
            raise Hung
        self.slots_lock = True

    def unlock_slots(self) -> None:
        """mutex_unlock(&kvm->slots_lock)."""
        if not self.slots_lock:
            self.warn("slots_lock is released and not held")
        self.slots_lock = False

    def lock_arch(self) -> None:
        """mutex_lock(&kvm->slots_arch_lock). Raises Hung like `lock_slots`."""
        if self.slots_arch_lock:
            raise Hung
        self.slots_arch_lock = True
        self._arch_lock_taken = (self.phase, self.index, self.entry)

    def unlock_arch(self) -> None:
        """mutex_unlock(&kvm->slots_arch_lock)."""
        self._release_arch()

    def _release_arch(self) -> None:
        if not self.slots_arch_lock:
            self.warn("slots_arch_lock is released and not held")  # lockdep
        self.slots_arch_lock = False

    # -- allocator -------------------------------------------------------------------------------------------

    def fails(self, kind: str) -> bool:
        """Whether this is the one of its kind that the case wants to fail. Counts down."""
        left = self.faults.get(kind)
        if left is None:
            return False
        self.faults[kind] = left - 1
        if left == 0:
            self.injected(kind)
        return left == 0

    def injected(self, kind: str) -> None:
        """A fault of the case is met."""
        entry = self.entry
        change = Change.UNKNOWN if entry is None else entry.asked
        self.mishaps.append(Event("injected", self.phase, self.index, change, kind))

    def new_slot(self, slot: Slot) -> SlotObject | None:
        """A new slot object, or None: no memory."""
        if self.faults and self.fails("slot"):
            return None
        new = SlotObject(slot)
        self.allocated.append(new)
        return new

    def new_invalid(self, old: SlotObject) -> SlotObject | None:
        """A copy of `old` marked INVALID, sharing its bitmap and arch pointers (kvm_copy_memslot), or None."""
        if self.faults and self.fails("invalid"):
            return None
        as_id, slot_id, base, npages, hva, flags = old.slot
        slot = Slot(as_id, slot_id, base, npages, hva, flags | KVM_MEMSLOT_INVALID)
        invalid = SlotObject(slot, old.dirty_bitmap, old.arch)
        self.allocated.append(invalid)
        return invalid

    def kfree(self, slot_object: SlotObject | None) -> None:
        """Free a slot object. Freeing one twice is damage; freeing NULL is nothing."""
        if slot_object is None:
            return
        if slot_object.freed:
            self.damaged("double-free", slot_object)
        slot_object.freed = True

    def vfree(self, area: Area | None) -> None:
        """Free a vmalloc area. Freeing one twice is a WARN and no memory error."""
        if area is None:
            return
        if area.freed:
            self.warn("vfree of a freed area")
        area.freed = True
        self.areas_freed = True

    # -- what goes wrong -------------------------------------------------------------------------------------

    def mishap(self, kind: str, detail: str = "") -> None:
        """Something that a smooth update does not meet happens at the present step. `detail` is for who records."""
        entry = self.entry
        self.mishaps.append(Event(kind, self.phase, self.index, Change.UNKNOWN if entry is None else entry.asked))

    def warn(self, why: str) -> None:
        """A WARN fired."""
        self.warned = True
        self.mishap("warn", why)

    def damaged(self, kind: str, victim: SlotObject | None) -> None:
        """A memory error that KASAN would report."""
        self.damage.add(kind)
        self.mishap("damage", kind if victim is None else f"{kind} of {named(victim)}")

    def stray(self, kind: str, victim: SlotObject) -> None:
        """An object was unlinked from a set that does not hold it, or linked twice.

        Raises Misused where the sets cannot follow what that does to them.
        """
        self.corrupt = True
        self.mishap("stray", f"{kind} of {named(victim)}")
        if not isinstance(self.sets[0][0], LinkedMemslots):
            raise Misused

    def refused(self, errno: int, why: str) -> None:
        """A request is refused."""
        self.mishap("refuse", why)

    def call_ends(self, end: Ended | None = None) -> None:
        """The call has returned, or ends otherwise: note that, and a slots_arch_lock that nobody released."""
        if end is not None:
            self.mishap(end.ended, end.kind or "")
        if self.slots_arch_lock:
            phase, index, entry = self._arch_lock_taken
            self.mishaps.append(Event("lock", phase, index, Change.UNKNOWN if entry is None else entry.asked))


def _walk(memslots: Memslots) -> SlotSet:
    """What a walk of the gfn tree reaches, by id."""
    return tuple(sorted([o.slot for o in memslots.in_gfn_order()]))
