# SPDX-License-Identifier: GPL-2.0-only
"""What a request or a header must be like whatever slots there are: steps 2 to 9 of b.3, and what I4 adds.

Read from the specification, in bytes; the errno of all of it is EINVAL, but for a list that is too long.
"""

from errno import E2BIG, EINVAL

from memslots.machine import Machine
from memslots.region import NO_PADDING, Region
from memslots.uapi import KVM_MEM_MAX_NR_PAGES, KVM_MEM_SLOTS_NUM, TASK_SIZE_MAX

MOST_ENTRIES = 2 * KVM_MEM_SLOTS_NUM
"""Every slot of an address space deleted and created again; its entries fit into one kmalloc of 4 MiB."""


def header_refused(nent: int, flags: int) -> tuple[int, str] | None:
    """The errno and the reason why a list with this header is refused before any entry is copied (I4)."""
    if flags != 0:
        return EINVAL, "unknown header flag"
    if nent > MOST_ENTRIES:
        return E2BIG, "too many entries"
    return None


def entry_refused(region: Region) -> str | None:
    """Why what only an entry of a list has is refused (I4): what has no meaning yet must be zero."""
    if region.invalidate_slot > 1:
        return "unknown value of invalidate_slot"
    if region.padding != NO_PADDING:
        return "padding is not zero"
    return None


def request_refused(machine: Machine, region: Region) -> str | None:
    """Why the request alone is refused, whether by the single ioctl or in a list."""
    slot, flags, gpa, size, hva, _, _ = region
    page_size = machine.page_size
    if slot % (1 << 16) >= machine.user_slots:
        return "the id is none of user space's"
    if flags | machine.known_flags != machine.known_flags:
        return "unknown flag"
    if size % page_size:
        return "memory_size is no number of pages"
    if gpa % page_size:
        return "guest_phys_addr is not aligned"
    if hva % page_size:
        return "userspace_addr is not aligned"
    if hva + size > TASK_SIZE_MAX:
        return "beyond the user address range"
    # Step 7 tests the id once more, against all ids: user space's are among them.
    if slot >> 16 >= machine.address_spaces:
        return "no such address space"
    if gpa + size >= 1 << 64:
        return "guest_phys_addr + memory_size wraps"
    if size // page_size > KVM_MEM_MAX_NR_PAGES:
        return "too many pages"
    return None
