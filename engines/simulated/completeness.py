# SPDX-License-Identifier: GPL-2.0-only
"""What slot objects lack that sets hold when the single ioctl has returned, and arrays that none of them has.

The list ioctl as posted leaves much else behind, and recorded kernels count no arrays: it is not asked this.
"""

from engines.simulated.kernel import Kernel
from engines.simulated.objects import Area, SlotObject
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES


def incomplete_objects(kernel: Kernel) -> set[SlotObject]:
    """The objects that some index lacks, whose arrays are missing or freed, or whose bitmap is not as flags say."""
    found: set[SlotObject] = set()
    for pair in kernel.sets:
        for memslots in pair:
            found |= memslots.partly_linked()
            found.update(o for o in memslots.in_gfn_order() if not _complete(o))
    return found


def _complete(o: SlotObject) -> bool:
    logs = bool(o.slot.flags & KVM_MEM_LOG_DIRTY_PAGES)
    return _live(o.arch) and (_live(o.dirty_bitmap) if logs else o.dirty_bitmap is None)


def _live(area: Area | None) -> bool:
    return area is not None and not area.freed


def lost_arrays(kernel: Kernel) -> int:
    """How many live arch arrays no linked object points at."""
    pointed_at = {o.arch for pair in kernel.sets for memslots in pair for o in memslots.in_gfn_order()}
    return sum(not arrays.freed and arrays not in pointed_at for arrays in kernel.arrays)
