# SPDX-License-Identifier: GPL-2.0-only
"""What both ioctls of a kernel with "kvm: implement atomic memslot updates" (RFC, 9 Sep 2022) are made of, as posted.

The functions are named as in patches 1 to 9, and their faults are kept; "sic" marks where. The single ioctl takes all
steps of its one entry (`serial_rfc_v1.py`), the list ioctl deals them out to three passes (`rfc_v1.py`).
Each function is a generator that pauses where another thread can fall in: `UNLOCKED`, slots_lock is dropped;
`PUBLISHED`, a set has been swapped in.
"""

from collections.abc import Iterator
from errno import ENOMEM

from engines.simulated.checks import REFUSED, id_refused, refusal
from engines.simulated.kernel import CREATE, DELETE, FLAGS_ONLY, MOVE, Kernel
from engines.simulated.vm import BatchEntry
from memslots.region import Region

UNLOCKED = "unlocked"
PUBLISHED = "published"

Pauses = Iterator[str]


class Series:
    """The steps of an entry on a patched kernel. What a step answers is left in `r`: 0 or -errno."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.r = 0
        self._windows: set[int] = set()

    def refuse(self, errno: int, why: str) -> None:
        """Answer -errno."""
        self.kernel.refused(errno, why)
        self.r = -errno

    def set_memory_region(self, region: Region, entry: BatchEntry) -> Pauses:
        """kvm_set_memory_region and __kvm_set_memory_region (patches 1, 5 and 9)."""
        kernel = self.kernel
        if id_refused(kernel.machine, region):
            self.refuse(REFUSED, "id out of range")
            return
        kernel.lock_slots()
        if entry.old is None and entry.new is None and entry.invalid is None:
            r = self.check_memory_region(region, entry)
            if r:
                # sic: a no-op keeps `old` and change CREATE, which the third pass takes at its word
                self.r = min(r, 0)
                kernel.unlock_slots()
                return
        yield from self._set_memslot(entry)
        kernel.unlock_slots()

    def check_memory_region(self, region: Region, entry: BatchEntry) -> int:
        """0, 1 (already as asked) or -errno: kvm_check_memory_region (patch 5), looking at the inactive set (patch 8).

        At rest both sets hold the same, so this shows in the middle of a list, or after a rollback (`prepare_memslot`).
        """
        kernel = self.kernel
        why = refusal(kernel.machine, region)
        if why is not None:
            kernel.refused(REFUSED, why)
            return -REFUSED
        return kernel.classify(region, kernel.inactive(region.slot >> 16), entry)

    def _set_memslot(self, entry: BatchEntry) -> Pauses:
        """kvm_set_memslot (patches 6 and 9). With `entry.batch` nothing is published."""
        kernel = self.kernel
        yield from self.prepare_memslot(entry)
        if self.r:
            return  # sic: `new` is lost since patch 5, in which __kvm_set_memory_region no longer frees it
        old, new = entry.old, entry.new
        if entry.change is DELETE or entry.change is MOVE:
            kernel.replace(entry.invalid, new)
        else:
            kernel.replace(old, new)
        if entry.batch:
            kernel.unlock_arch()  # sic: what was prepared is published later, without the lock in between
            return
        kernel.swap(kernel.as_id_of(old, new))
        yield PUBLISHED
        self.finish_memslot(entry)

    def prepare_memslot(self, entry: BatchEntry) -> Pauses:
        """kvm_prepare_memslot (patches 4, 7, 9). slots_arch_lock stays held, but where `is_move_delete` is at work."""
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
                    self.refuse(ENOMEM, "no INVALID copy")
                    kernel.unlock_arch()
                    return
                entry.invalid = invalid_slot
                kernel.invalidate(old, invalid_slot)
                if entry.batch:
                    kernel.mishap("early-publish", "in the second pass")
                self._window(old.slot.as_id)
                yield PUBLISHED
                kernel.reacquire(old, invalid_slot)
                kernel.replace(old, invalid_slot)  # patch 7: `old` is in no set from here on
            if entry.is_move_delete:
                kernel.unlock_arch()
                return
        self.r = kernel.prepare_region(old, new, change)
        if not self.r:
            return  # sic: in the first pass, for an entry flagged by mistake, too
        if change is DELETE or change is MOVE:
            # sic: the rollback of before patch 7 (kvm_activate_memslot), which counts on `old` in the inactive set.
            # What it publishes holds the INVALID copy, too, and that is freed. For a flagged entry invalid_slot was
            # never set here: NULL, as the kernel's compilers initialise it.
            assert old is not None
            kernel.swap(old.slot.as_id)
            self._window(old.slot.as_id)
            yield PUBLISHED
            kernel.replace(invalid_slot, old)
            kernel.kfree(invalid_slot)
        else:
            kernel.unlock_arch()

    def _window(self, as_id: int) -> None:
        """A set with INVALID slots was published: sic where it is not the first, for all could be in one."""
        if as_id in self._windows:
            self.kernel.mishap("another-window", f"address space {as_id}")
        self._windows.add(as_id)

    def finish_memslot(self, entry: BatchEntry) -> None:
        """kvm_finish_memslot (patches 4 and 6): the change once more, in the set that is inactive now; then commit."""
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
