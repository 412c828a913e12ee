# SPDX-License-Identifier: GPL-2.0-only
"""The numbers of KVM's user interface (linux/kvm.h) and of kvm_main.c that an update meets."""

U16 = 0xFFFF
U32 = 0xFFFF_FFFF
U64 = 0xFFFF_FFFF_FFFF_FFFF
INT_MAX = 0x7FFF_FFFF

KVM_MEM_LOG_DIRTY_PAGES = 1 << 0
KVM_MEM_READONLY = 1 << 1
KVM_MEMSLOT_INVALID = 1 << 16
"""Kernel-internal: a slot whose DELETE or MOVE is under way (include/linux/kvm_host.h)."""

FLAG_NAMES = {
    "LOG_DIRTY_PAGES": KVM_MEM_LOG_DIRTY_PAGES,
    "READONLY": KVM_MEM_READONLY,
    "INVALID": KVM_MEMSLOT_INVALID,
}

KVM_MEM_SLOTS_NUM = 32767
"""SHRT_MAX: all ids, the kernel's own included."""
KVM_USER_MEM_SLOTS = 32764
"""x86: three ids (TSS, APIC access page, identity page table) are the kernel's own."""
KVM_MEM_MAX_NR_PAGES = (1 << 31) - 1
TASK_SIZE_MAX = 0x7FFF_FFFF_F000
"""x86-64, four-level paging: the end of the user address range, in bytes."""

ENTRY_BYTES = 64
"""sizeof(struct kvm_userspace_memory_region_entry), patch 2 of the series."""
BATCH_BYTES = 32
"""sizeof(struct kvm_internal_memory_region_list), patches 3 and 9."""
KMALLOC_MAX_BYTES = 4 << 20
"""The largest kmalloc on x86: a larger kcalloc returns NULL."""
PADDING_BYTES = 31


def flag_names(flags: int) -> str:
    """`LOG_DIRTY_PAGES|READONLY` for flags that all have names, otherwise the number in hexadecimal."""
    names = [name for name, bit in FLAG_NAMES.items() if flags & bit]
    if names and not flags & ~sum(FLAG_NAMES[name] for name in names):
        return "|".join(names)
    return hex(flags)
