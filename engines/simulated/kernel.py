# SPDX-License-Identifier: GPL-2.0-only
"""The steps that every ioctl is made of: classify, invalidate, prepare, commit.

Faithful to Linux 6.1, virt/kvm/kvm_main.c and arch/x86/kvm/x86.c, function by function. Nothing here knows in which
order an ioctl takes these steps: `serial.py` and `rfc_v1.py` do.
"""

from errno import EEXIST, EINVAL, EIO, ENOMEM

from engines.simulated.objects import Area, Memslots, SlotObject
from engines.simulated.vm import BatchEntry, Vm
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import slot_of
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, U64

CREATE = Change.CREATE
DELETE = Change.DELETE
MOVE = Change.MOVE
FLAGS_ONLY = Change.FLAGS_ONLY


class Kernel(Vm):
    """A VM, and the steps of an update."""

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
        """Publish `invalid` in place of `old` (kvm_invalidate_memslot, first half); releases slots_arch_lock."""
        self.replace(old, invalid)
        self.swap(old.slot.as_id)

    def reacquire(self, old: SlotObject, invalid: SlotObject) -> None:
        """Take slots_arch_lock again and what `invalid` has got meanwhile (kvm_invalidate_memslot, second half).

        In between the shadow pages of `old` are flushed, and a vCPU may allocate arch data lazily.
        """
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
        arrays = Area()
        self.arrays.append(arrays)
        new.arch = arrays
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
