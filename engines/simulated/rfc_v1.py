# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl of "kvm: implement atomic memslot updates" (RFC, 9 Sep 2022) on the simulated kernel, as posted.

Patch 9: three passes over the steps of `series.py`. Every fault of the posted code is kept; "sic" marks where.
Each function is a generator that pauses where another thread can fall in: `UNLOCKED`, slots_lock is dropped;
`PUBLISHED`, a set has been swapped in.
"""

from errno import EFAULT, ENOMEM

from engines.simulated.checks import REFUSED, id_refused, refusal
from engines.simulated.ended import Ended, Oops
from engines.simulated.kernel import DELETE, MOVE, Kernel
from engines.simulated.series import PUBLISHED, UNLOCKED, Pauses, Series
from engines.simulated.vm import BatchEntry
from memslots.case import Case
from memslots.region import ZERO_REGION, Region
from memslots.uapi import BATCH_BYTES, ENTRY_BYTES, INT_MAX, KMALLOC_MAX_BYTES

_MOST_ZERO_ENTRIES = 1024


class ListCall(Series):
    """One KVM_SET_USER_MEMORY_REGION_LIST. Run `steps` to its end, then `r` is what it returned: 0, 1 or -errno.

    1 is the answer to a flagged no-op: sic. Iterating raises Ended if the call never returns.
    """

    def __init__(self, kernel: Kernel, case: Case) -> None:
        super().__init__(kernel)
        self.apply = case.apply
        self.nent = case.entries
        self.batch: list[BatchEntry] = []
        self.batch_is_null = False

    def steps(self) -> Pauses:
        """kvm_vm_ioctl and kvm_vm_ioctl_set_memory_region_list (patch 9)."""
        kernel = self.kernel
        if kernel.faults and kernel.fails("copy"):
            self.refuse(EFAULT, "copy of the header")
            return
        if self.nent == 0:
            return
        if self.nent * ENTRY_BYTES > INT_MAX:
            kernel.warn("kvmalloc of more than INT_MAX bytes")
            self.refuse(ENOMEM, "too many entries")
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

    def _copy_fails(self) -> bool:
        """Whether vmemdup_user fails."""
        if self.kernel.fails("array"):
            self.refuse(ENOMEM, "no memory for the entries")
        elif self.kernel.fails("copy"):
            self.refuse(EFAULT, "copy of the entries")
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
                self.refuse(REFUSED, "id out of range")
                return  # sic: slots_lock stays held
            if not region.invalidate_slot:
                continue
            r = self.check_memory_region(region, entry)
            if r:
                if r == 1:
                    kernel.refused(0, "flagged no-op")
                self.r = r  # sic: 1 for a no-op, what was invalidated before stays INVALID
                kernel.unlock_slots()
                return
            if entry.change is not DELETE and entry.change is not MOVE:
                kernel.warn("flagged entry is neither DELETE nor MOVE")
            entry.is_move_delete = True
            yield from self.prepare_memslot(entry)
            entry.is_move_delete = False
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
            entry.batch = True
            yield from self.set_memory_region(region, entry)
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
            self.finish_memslot(entry)
        kernel.unlock_arch()
        kernel.unlock_slots()

    def check_memory_region(self, region: Region, entry: BatchEntry) -> int:
        """The same, where the entry may be NULL."""
        if self.batch_is_null and refusal(self.kernel.machine, region) is None:
            raise Oops("null-dereference")  # kvm_prepare_batch writes to the entry
        return super().check_memory_region(region, entry)
