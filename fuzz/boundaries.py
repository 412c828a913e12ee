# SPDX-License-Identifier: GPL-2.0-only
"""An entry with one field at a limit, one below it or one above: the values that uapi.md's tables turn on."""

from memslots.machine import Machine
from memslots.region import NO_PADDING, Region
from memslots.slot import Slot
from memslots.uapi import KVM_MEM_MAX_NR_PAGES, PADDING_BYTES, TASK_SIZE_MAX, U32, U64

_FLAGS = (1 << 2, 1 << 16, 1 << 17, U32)
_SLOT_IDS = (32763, 32764, 32765, 32766, 32767, 0xFFFF, 0x8000, 144, 234)
"""The limits, and two that share a bucket of the id hash with ids that gestures use: 0 and 1 (hash_32 in 7 bits)."""
_ADDRESS_SPACES = (1, 2, 3, 0xFFFF)


def at_a_limit(machine: Machine, plain: Region, old: Slot | None, right: bool, rest: int) -> Region:
    """`plain` with one field changed, as the bits of `rest` say.

    `old` is the slot that stands there: then it is a change of that slot, so that limits meet MOVEs too. `right` says
    whether the entry is flagged as the RFC wants it.
    """
    shift, page = machine.page_shift, machine.page_size
    size = plain.memory_size if old is None else old.npages << shift
    fields = {
        "slot": plain.slot,
        "flags": plain.flags if old is None else old.flags,
        "guest_phys_addr": plain.guest_phys_addr,
        "memory_size": size,
        "userspace_addr": plain.userspace_addr,
    }
    value = rest >> 4
    near = (value >> 4 & 3) - 1  # one below, at, above; and two above
    match rest & 15:
        case 0:
            fields["flags"] = _FLAGS[value & 3] | fields["flags"]
        case 1:
            fields["slot"] = plain.slot & ~0xFFFF | _SLOT_IDS[value % len(_SLOT_IDS)]
        case 2:
            fields["slot"] = _ADDRESS_SPACES[value & 3] << 16 | plain.slot & 0xFFFF
        case 3 | 4 | 5 | 6:
            top = (machine.max_gfn + 1 << shift) - size + near * page
            fields["guest_phys_addr"] = max(top, 0) & U64
        case 7:
            fields["guest_phys_addr"] |= (1, page >> 1, page - 1, 1)[value & 3]
        case 8:
            fields["guest_phys_addr"] = (1 << 64) - size + near * page & U64
        case 9:
            fields["memory_size"] = size + (1, page >> 1, page - 1, 1 << 63)[value & 3] & U64
        case 10:
            # A real kernel would allocate gigabytes for one that it lets through; an engine that is one must see to it.
            huge = (KVM_MEM_MAX_NR_PAGES + near << shift, (1 << 64) - page)[value >> 6 & 15 == 15]
            fields["memory_size"] = huge & U64
        case 11:
            fields["userspace_addr"] |= (1, page >> 1, page - 1, 1)[value & 3]
        case 12:
            top = (TASK_SIZE_MAX, 1 << 64)[value & 1]
            fields["userspace_addr"] = (top - size + near * page, 0)[value >> 1 & 3 == 3] & U64
        case 13:
            fields["memory_size"] = 0
            fields["flags"] = (1, 2, 4, 1 << 16)[value & 3]
            if value >> 2 & 1:
                bad_id = plain.slot & ~0xFFFF | _SLOT_IDS[value & 3]
                fields["slot"] = _ADDRESS_SPACES[value & 3] << 16 if value >> 3 & 1 else bad_id
        case 14:
            fields["memory_size"] = 0
            fields["guest_phys_addr"] = (1, page, U64, 0, 1 << 63)[value % 5]
        case 15:
            fields["memory_size"] = 0
            fields["userspace_addr"] = (1, TASK_SIZE_MAX, TASK_SIZE_MAX + page, 0)[value & 3]
    deletes = fields["memory_size"] == 0
    moves = old is not None and fields["guest_phys_addr"] != old.base_gfn << shift
    flagged = (1, 1, 2, 3, 128, 254, 255, 1)[value >> 6 & 7] if (deletes or moves) == right else 0
    padding = bytes([value & 255 | 1]) * PADDING_BYTES if value >> 8 & 15 == 15 else NO_PADDING
    return Region(**fields, invalidate_slot=flagged, padding=padding)
