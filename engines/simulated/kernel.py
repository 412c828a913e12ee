# SPDX-License-Identifier: GPL-2.0-only
"""One VM's memslots, and the steps that every ioctl is made of: locks, replace, swap, allocator, hooks.

Faithful to Linux 6.1, virt/kvm/kvm_main.c and arch/x86/kvm/x86.c, function by function. Nothing here knows
in which order an ioctl takes these steps: `serial.py` and `rfc_v1.py` do.
"""

from collections.abc import Sequence
from errno import EEXIST, EINVAL, EIO, ENOMEM

from engines.simulated.ended import Ended, Hung, Oops
from engines.simulated.linked import LinkedMemslots
from engines.simulated.objects import Area, Memslots, SlotObject, named
from memslots.machine import Machine
from memslots.outcome import Change, Event
from memslots.region import Region
from memslots.slot import Slot, SlotSets, slot_of
from memslots.uapi import (
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
    KVM_MEMSLOT_INVALID,
    U64,
)

CREATE = Change.CREATE
DELETE = Change.DELETE
MOVE = Change.MOVE
FLAGS_ONLY = Change.FLAGS_ONLY

_UPDATE_IN_PROGRESS = 1 << 63


class BatchEntry:
    """struct kvm_internal_memory_region_list: what one request works with. Zeroed, so `change` is CREATE (sic)."""

    __slots__ = ("asked", "change", "invalid", "new", "old")

    def __init__(self) -> None:
        # What was asked for, as far as it was looked at: for events; the kernel has no such field.
        self.asked = Change.UNKNOWN
        self.old: SlotObject | None = None
        self.new: SlotObject | None = None
        self.invalid: SlotObject | None = None
        self.change = CREATE


class Misused(Exception):
    """Plain `Memslots` were edited in a way that only `LinkedMemslots` can follow. Never leaves an engine."""


class Kernel:
    """A VM, with an allocator that remembers what it gave out.

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
        self.allocated: list[SlotObject] = []
        self.bitmaps: list[Area] = []
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
        return tuple(
            [
                tuple(sorted([o.slot for o in sets[idx ^ which].in_gfn_order()]))
                for sets, idx in zip(self.sets, self.active_idx, strict=True)
            ]
        )

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
        self.slots_arch_lock = False
        # synchronize_srcu_expedited: from here on no reader holds the previous set.
        published.generation = generation + len(self.sets)
        self.publications += 1

    # -- locks -----------------------------------------------------------------------------------------------

    def lock_slots(self) -> None:
        """mutex_lock(&kvm->slots_lock). Raises Hung if it is held: nobody else is there to release it."""
        if self.slots_lock:
            raise Hung
        self.slots_lock = True

    def unlock_slots(self) -> None:
        """mutex_unlock(&kvm->slots_lock)."""
        self.slots_lock = False

    def lock_arch(self) -> None:
        """mutex_lock(&kvm->slots_arch_lock). Raises Hung like `lock_slots`."""
        if self.slots_arch_lock:
            raise Hung
        self.slots_arch_lock = True
        self._arch_lock_taken = (self.phase, self.index, self.entry)

    def unlock_arch(self) -> None:
        """mutex_unlock(&kvm->slots_arch_lock)."""
        self.slots_arch_lock = False

    # -- allocator -------------------------------------------------------------------------------------------

    def fails(self, kind: str) -> bool:
        """Whether this is the one of its kind that the case wants to fail. Counts down."""
        left = self.faults.get(kind)
        if left is None:
            return False
        self.faults[kind] = left - 1
        return left == 0

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

    # -- steps -----------------------------------------------------------------------------------------------

    def classify(self, region: Region, memslots: Memslots, entry: BatchEntry) -> int:
        """0, 1 (already as asked) or -errno: steps 10 to 14, with `memslots` looked at. Fills `entry`.

        __kvm_set_memory_region in Linux 6.1 (the active set), kvm_prepare_batch in patch 5 (from patch 8 on the
        inactive one).
        """
        old = memslots.lookup(region.slot & 0xFFFF)
        entry.old = old
        if not region.memory_size:
            entry.asked = DELETE
            if old is None:
                return self._refusal(EINVAL, "DELETE of a missing slot")
            if self.nr_memslot_pages < old.slot.npages:
                self.warn("nr_memslot_pages < npages")
                return self._refusal(EIO, "nr_memslot_pages < npages")
            entry.change = DELETE
            return 0
        slot = slot_of(region, self.machine.page_shift)
        if old is None:
            if self.nr_memslot_pages + slot.npages > U64:
                return self._refusal(EINVAL, "nr_memslot_pages wraps")
            change = CREATE
        else:
            was = old.slot
            if (
                slot.userspace_addr != was.userspace_addr
                or slot.npages != was.npages
                or (slot.flags ^ was.flags) & KVM_MEM_READONLY
            ):
                return self._refusal(EINVAL, "resize, other userspace_addr or READONLY toggled")
            if slot.base_gfn != was.base_gfn:
                change = MOVE
            elif slot.flags != was.flags:  # INVALID included: a request equal to an INVALID copy is no no-op
                change = FLAGS_ONLY
            else:
                entry.asked = Change.NO_OP
                return 1
        entry.asked = change
        if change is not FLAGS_ONLY and memslots.another_id_in(slot):
            return self._refusal(EEXIST, "overlap")
        new = self.new_slot(slot)
        if new is None:
            return self._refusal(ENOMEM, "no slot object")
        entry.new = new
        entry.change = change
        return 0

    def _refusal(self, errno: int, why: str) -> int:
        self.refused(errno, why)
        return -errno

    def invalidate(self, old: SlotObject, invalid: SlotObject) -> None:
        """Publish `invalid` in place of `old` (kvm_invalidate_memslot); slots_arch_lock is held again after it."""
        self.replace(old, invalid)
        self.swap(old.slot.as_id)
        # Here the shadow pages of `old` are flushed.
        self.lock_arch()
        old.arch = invalid.arch

    def prepare_region(self, old: SlotObject | None, new: SlotObject | None, change: Change) -> int:
        """0 or -errno: dirty bitmap and x86 hook (kvm_prepare_memory_region, kvm_arch_prepare_memory_region)."""
        if change is not DELETE:
            assert new is not None
            if not new.slot.flags & KVM_MEM_LOG_DIRTY_PAGES:
                new.dirty_bitmap = None
            elif old is not None and old.dirty_bitmap is not None:
                new.dirty_bitmap = old.dirty_bitmap
            else:
                if self.faults and self.fails("bitmap"):
                    return self._refusal(ENOMEM, "no dirty bitmap")
                new.dirty_bitmap = Area()
                self.bitmaps.append(new.dirty_bitmap)
        r = self._arch_prepare(old, new, change)
        if r and new is not None and new.dirty_bitmap is not None and (old is None or old.dirty_bitmap is None):
            self.vfree(new.dirty_bitmap)
            new.dirty_bitmap = None
        return r

    def _arch_prepare(self, old: SlotObject | None, new: SlotObject | None, change: Change) -> int:
        if self.faults and self.fails("prepare"):
            return self._refusal(ENOMEM, "prepare hook")
        if change is DELETE:
            return 0
        assert new is not None
        if change is FLAGS_ONLY:
            assert old is not None
            new.arch = old.arch
            return 0
        if new.slot.base_gfn + new.slot.npages - 1 > self.machine.max_gfn:
            return self._refusal(EINVAL, "beyond the maximum gfn")
        new.arch = Area()
        return 0

    def commit(self, old: SlotObject | None, new: SlotObject | None, change: Change) -> None:
        """Count pages and free what the change left over (kvm_commit_memory_region and the x86 hook)."""
        if old is not None and old.freed:
            self.damaged("use-after-free", old)
        if change is CREATE:
            assert new is not None
            self.nr_memslot_pages = (self.nr_memslot_pages + new.slot.npages) & U64
            return
        assert old is not None
        if change is DELETE:
            self.nr_memslot_pages = (self.nr_memslot_pages - old.slot.npages) & U64
            self.vfree(old.dirty_bitmap)
            old.dirty_bitmap = None
            self._free_arch(old)
        else:
            assert new is not None
            if (
                change is FLAGS_ONLY
                and not new.slot.flags & KVM_MEM_READONLY
                and not (old.slot.flags ^ new.slot.flags) & KVM_MEM_LOG_DIRTY_PAGES
            ):
                self.warn("FLAGS_ONLY that toggles no dirty logging")  # kvm_mmu_slot_apply_flags
            if change is MOVE:
                self._free_arch(old)
            if old.dirty_bitmap is not None and new.dirty_bitmap is None:
                self.vfree(old.dirty_bitmap)
                old.dirty_bitmap = None
        self.kfree(old)

    def _free_arch(self, old: SlotObject) -> None:
        self.vfree(old.arch)
        old.arch = None
