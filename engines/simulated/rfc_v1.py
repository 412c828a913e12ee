# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl of "kvm: implement atomic memslot updates" (RFC, 9 Sep 2022) on the simulated kernel, as posted.

Every fault of the posted code is kept; "sic" marks where. The function names are those of patches 4 to 9.
Each function is a generator that pauses where another thread can fall in: `UNLOCKED`, slots_lock is dropped;
`PUBLISHED`, a set has been swapped in.
"""

from collections.abc import Iterator
from errno import EFAULT, ENOMEM

from engines.simulated.checks import REFUSED, id_refused, refusal
from engines.simulated.ended import Ended, Oops
from engines.simulated.kernel import CREATE, DELETE, FLAGS_ONLY, MOVE, Kernel
from engines.simulated.vm import BatchEntry
from memslots.case import Case
from memslots.region import ZERO_REGION, Region
from memslots.uapi import BATCH_BYTES, ENTRY_BYTES, INT_MAX, KMALLOC_MAX_BYTES

UNLOCKED = "unlocked"
PUBLISHED = "published"

Pauses = Iterator[str]

_MOST_ZERO_ENTRIES = 1024


class ListCall:
    """One KVM_SET_USER_MEMORY_REGION_LIST. Run `steps` to its end, then `r` is what it returned: 0, 1 or -errno.

    1 is the answer to a flagged no-op: sic. Iterating raises Ended if the call never returns.
    """

    def __init__(self, kernel: Kernel, case: Case) -> None:
        self.kernel = kernel
        self.apply = case.apply
        self.nent = case.entries
        self.batch: list[BatchEntry] = []
        self.batch_is_null = False
        self.r = 0

    def steps(self) -> Pauses:
        """kvm_vm_ioctl and kvm_vm_ioctl_set_memory_region_list (patch 9)."""
        kernel = self.kernel
        if kernel.faults and kernel.fails("copy"):
            self._refuse(EFAULT, "copy of the header")
            return
        if self.nent == 0:
            return
        if self.nent * ENTRY_BYTES > INT_MAX:
            kernel.warn("kvmalloc of more than INT_MAX bytes")
            self._refuse(ENOMEM, "too many entries")
            return
        if kernel.faults and self._copy_fails():
            return
        # sic: kcalloc answers NULL, the code tests IS_ERR. The NULL is used as if it were an array.
        batch_fails = bool(kernel.faults) and kernel.fails("array")
        if batch_fails or self.nent * BATCH_BYTES > KMALLOC_MAX_BYTES:
            self.batch_is_null = True
            kernel.mishap("unnoticed", "batch is NULL")
        swap_is_null = bool(kernel.faults) and kernel.fails("array")
        if swap_is_null:
            kernel.mishap("unnoticed", "as_to_swap is NULL")
        kernel.batch = self.batch

        kernel.phase = "P1"
        yield from self._first_pass()
        if self.r:
            return
        kernel.phase = "P2"
        as_to_swap = [False] * kernel.machine.address_spaces
        yield from self._second_pass(as_to_swap, swap_is_null)
        if self.r < 0:
            return
        kernel.phase = "P3"
        yield from self._third_pass(as_to_swap)

    def _refuse(self, errno: int, why: str) -> None:
        self.kernel.refused(errno, why)
        self.r = -errno

    def _copy_fails(self) -> bool:
        """Whether vmemdup_user fails."""
        if self.kernel.fails("array"):
            self._refuse(ENOMEM, "no memory for the entries")
        elif self.kernel.fails("copy"):
            self._refuse(EFAULT, "copy of the entries")
        return self.r != 0

    def _entry(self, i: int) -> BatchEntry:
        """b[i], for the code to write to."""
        if self.batch_is_null:
            raise Oops("null-dereference")
        return self.batch[i]

    def _first_pass(self) -> Pauses:
        """Invalidate what the flagged entries delete or move, one publication each."""
        kernel = self.kernel
        batch = self.batch
        kernel.lock_slots()
        for i, region in enumerate(self.apply[: self.nent]):
            kernel.index = i
            entry = kernel.entry = BatchEntry()
            batch.append(entry)
            if id_refused(kernel.machine, region):
                self._refuse(REFUSED, "id out of range")
                return  # sic: slots_lock stays held
            if not region.invalidate_slot:
                continue
            r = self._check_memory_region(region, entry)
            if r:
                if r == 1:
                    kernel.refused(0, "flagged no-op")
                self.r = r  # sic: 1 for a no-op, what was invalidated before stays INVALID
                kernel.unlock_slots()
                return
            if entry.change is not DELETE and entry.change is not MOVE:
                kernel.warn("flagged entry is neither DELETE nor MOVE")
            yield from self._prepare_memslot(entry, is_move_delete=True)
            if self.r < 0:
                kernel.unlock_slots()
                return
        # What nent names beyond the entries given reads as zero bytes, which the first pass passes over.
        kernel.unlock_slots()
        yield UNLOCKED

    def _second_pass(self, as_to_swap: list[bool], swap_is_null: bool) -> Pauses:
        """Edit the inactive sets. An entry is looked up here unless the first pass has dealt with it."""
        kernel = self.kernel
        apply = self.apply
        batch = self.batch
        for i in range(self.nent):
            kernel.index = i
            if i < len(apply):
                region = apply[i]
            else:
                # A sound set has slot 0 once: at most one DELETE is accepted and the next refused. Sets that have
                # gone astray can bring it back for every one of the up to 131,072 entries that nent may name; we
                # follow that for a while and call it a loop (docs/decisions/zero-entries-without-end.md).
                if i - len(apply) >= _MOST_ZERO_ENTRIES:
                    raise Ended("looped")
                region = ZERO_REGION
                batch.append(BatchEntry())
            entry = kernel.entry = self._entry(i)
            if swap_is_null:
                raise Oops("null-dereference")
            as_id = region.slot >> 16
            if as_id < len(as_to_swap):
                as_to_swap[as_id] = True
            else:
                kernel.damaged("out-of-bounds", None)  # sic: the index is not tested
            yield from self._set_memory_region(region, entry)
            if self.r < 0:
                return  # sic: nothing is undone
            yield UNLOCKED

    def _third_pass(self, as_to_swap: list[bool]) -> Pauses:
        """Publish each address space once and repeat each change in the set that was active."""
        kernel = self.kernel
        kernel.lock_slots()
        kernel.lock_arch()
        for i, entry in enumerate(self.batch):
            kernel.index = i
            kernel.entry = entry
            as_id = kernel.as_id_of(entry.old, entry.new)
            if as_to_swap[as_id]:
                kernel.swap(as_id)
                yield PUBLISHED
                kernel.lock_arch()
                as_to_swap[as_id] = False
            self._finish_memslot(entry)
        kernel.unlock_arch()
        kernel.unlock_slots()

    def _set_memory_region(self, region: Region, entry: BatchEntry) -> Pauses:
        """kvm_set_memory_region, __kvm_set_memory_region and kvm_set_memslot with batch set; leaves its answer in r."""
        kernel = self.kernel
        kernel.lock_slots()
        if entry.old is None and entry.new is None and entry.invalid is None:
            r = self._check_memory_region(region, entry)
            if r:
                # sic: a no-op keeps `old` and change CREATE, which the third pass takes at its word
                self.r = min(r, 0)
                kernel.unlock_slots()
                return
        yield from self._prepare_memslot(entry, is_move_delete=False)
        if self.r < 0:
            kernel.unlock_slots()
            return
        if entry.change is DELETE or entry.change is MOVE:
            kernel.replace(entry.invalid, entry.new)
        else:
            kernel.replace(entry.old, entry.new)
        kernel.unlock_arch()  # sic: what was prepared is published later, without the lock in between
        kernel.unlock_slots()

    def _check_memory_region(self, region: Region, entry: BatchEntry) -> int:
        """0, 1 or -errno: kvm_check_memory_region (patch 5), looking at the inactive set (patch 8)."""
        kernel = self.kernel
        why = refusal(kernel.machine, region)
        if why is not None:
            kernel.refused(REFUSED, why)
            return -REFUSED
        if self.batch_is_null:
            raise Oops("null-dereference")
        return kernel.classify(region, kernel.inactive(region.slot >> 16), entry)

    def _prepare_memslot(self, entry: BatchEntry, *, is_move_delete: bool) -> Pauses:
        """kvm_prepare_memslot (patches 4, 7, 9). slots_arch_lock stays held, but for a flagged DELETE or MOVE."""
        kernel = self.kernel
        old, new, change = entry.old, entry.new, entry.change
        self.r = 0
        invalid_slot = None
        kernel.lock_arch()
        if change is DELETE or change is MOVE:
            assert old is not None
            if entry.invalid is None:
                invalid_slot = kernel.new_invalid(old)
                if invalid_slot is None:
                    self._refuse(ENOMEM, "no INVALID copy")
                    kernel.unlock_arch()
                    return
                entry.invalid = invalid_slot
                kernel.invalidate(old, invalid_slot)
                if not is_move_delete:
                    kernel.mishap("early-publish", "in the second pass")
                yield PUBLISHED
                kernel.reacquire(old, invalid_slot)
                kernel.replace(old, invalid_slot)  # patch 7: `old` is in no set from here on
            if is_move_delete:
                kernel.unlock_arch()
                return
        self.r = kernel.prepare_region(old, new, change)
        if not self.r:
            return  # sic: in the first pass, for an entry flagged by mistake, too
        if change is DELETE or change is MOVE:
            # sic: the rollback of before patch 7. For a flagged entry invalid_slot was never set here: NULL,
            # as the kernel's compilers initialise it.
            assert old is not None
            kernel.swap(old.slot.as_id)
            yield PUBLISHED
            kernel.replace(invalid_slot, old)
            kernel.kfree(invalid_slot)
        else:
            kernel.unlock_arch()

    def _finish_memslot(self, entry: BatchEntry) -> None:
        """kvm_finish_memslot (patch 4): the change once more, in the set that is inactive now; then commit."""
        kernel = self.kernel
        change = entry.change
        if change is CREATE:
            kernel.replace(None, entry.new)
        elif change is FLAGS_ONLY:
            kernel.replace(entry.old, entry.new)
        else:
            kernel.replace(entry.invalid, entry.new)
            kernel.kfree(entry.invalid)
        kernel.commit(entry.old, entry.new, change)
