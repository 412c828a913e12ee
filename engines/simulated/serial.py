# SPDX-License-Identifier: GPL-2.0-only
"""The single ioctl on the simulated kernel, as Linux 6.1 has it: the steps of one KVM_SET_USER_MEMORY_REGION."""

from errno import EFAULT, ENOMEM

from engines.simulated.checks import REFUSED, id_refused, refusal
from engines.simulated.kernel import DELETE, MOVE, Kernel
from engines.simulated.vm import BatchEntry
from memslots.region import Region


def set_memory_region(kernel: Kernel, region: Region) -> int:
    """0 or -errno (kvm_vm_ioctl_set_memory_region, kvm_set_memory_region). Raises Ended if it never returns."""
    kernel.entry = None
    if kernel.faults and kernel.fails("copy"):
        kernel.refused(EFAULT, "copy of the region")
        return -EFAULT
    if id_refused(kernel.machine, region):
        kernel.refused(REFUSED, "id out of range")
        return -REFUSED
    kernel.lock_slots()
    r = _set_memory_region(kernel, region)
    kernel.unlock_slots()
    return r


def _set_memory_region(kernel: Kernel, region: Region) -> int:
    """__kvm_set_memory_region: check, classify, apply."""
    why = refusal(kernel.machine, region)
    if why is not None:
        kernel.refused(REFUSED, why)
        return -REFUSED
    entry = BatchEntry()
    kernel.entry = entry
    r = kernel.classify(region, kernel.active(region.as_id), entry)
    if r:
        return min(r, 0)
    r = _set_memslot(kernel, entry)
    if r:
        kernel.kfree(entry.new)
    return r


def _set_memslot(kernel: Kernel, entry: BatchEntry) -> int:
    """0 or -errno: kvm_set_memslot, with both sets equal again whatever it answers."""
    old, new, change = entry.old, entry.new, entry.change
    invalid = None
    kernel.lock_arch()
    if change is DELETE or change is MOVE:
        assert old is not None
        invalid = kernel.new_invalid(old)
        if invalid is None:
            kernel.refused(ENOMEM, "no INVALID copy")
            kernel.unlock_arch()
            return -ENOMEM
        entry.invalid = invalid
        kernel.invalidate(old, invalid)
        kernel.reacquire(old, invalid)
    r = kernel.prepare_region(old, new, change)
    if r:
        if invalid is not None:
            assert old is not None
            # `old` still stands in the inactive set: publish that one, then put it back into the other.
            kernel.swap(old.slot.as_id)
            kernel.replace(invalid, old)
            kernel.kfree(invalid)
        else:
            kernel.unlock_arch()
        return r
    as_id = kernel.as_id_of(old, new)
    kernel.replace(old, new)
    kernel.swap(as_id)
    kernel.replace(invalid or old, new)
    kernel.kfree(invalid)
    kernel.commit(old, new, change)
    return 0
