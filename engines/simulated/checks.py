# SPDX-License-Identifier: GPL-2.0-only
"""The checks of a request that look at the request alone, in the kernel's order.

Faithful to Linux 6.1, kvm_vm_ioctl_set_memory_region and __kvm_set_memory_region; the step numbers are those of
the specification of the serial ioctl (b.3). All of them answer EINVAL, so their order shows in events only;
what matters is which stand before a lock is taken and which behind.
"""

from errno import EINVAL

from memslots.machine import Machine
from memslots.region import Region
from memslots.uapi import KVM_MEM_MAX_NR_PAGES, TASK_SIZE_MAX, U64


def id_refused(machine: Machine, region: Region) -> bool:
    """Step 2: whether the id is none of user space's. It is tested before slots_lock is taken."""
    return (region.slot & 0xFFFF) >= machine.user_slots


def refusal(machine: Machine, region: Region) -> str | None:
    """Why steps 3 to 9 refuse `region`, always with EINVAL, or None."""
    slot, flags, gpa, size, hva, _, _ = region
    mask = machine.page_size - 1
    if flags & ~machine.known_flags:
        return "unknown flag"
    if size & mask:
        return "memory_size unaligned"
    if gpa & mask:
        return "guest_phys_addr unaligned"
    # access_ok: a DELETE's hva is tested like any other.
    if hva & mask:
        return "userspace_addr unaligned"
    if hva + size > TASK_SIZE_MAX:
        return "outside the user address range"
    # An id of KVM_MEM_SLOTS_NUM or more belongs here too; step 2 has refused it before.
    if slot >> 16 >= machine.address_spaces:
        return "no such address space"
    if gpa + size > U64:
        return "guest_phys_addr + memory_size wraps"
    if size >> machine.page_shift > KVM_MEM_MAX_NR_PAGES:
        return "too many pages"
    return None


REFUSED = EINVAL
"""The errno of every check in this file."""
