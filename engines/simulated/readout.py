# SPDX-License-Identifier: GPL-2.0-only
"""What a simulated kernel shows when a call has ended: the facets of an outcome, read off its objects."""

from engines.simulated.kernel import Kernel
from engines.simulated.objects import Area, SlotObject
from memslots.outcome import Outcome
from memslots.slot import SlotSets

SHOWS = frozenset(Outcome._fields)


def outcome_of(
    kernel: Kernel,
    before: SlotSets,
    *,
    ended: str = "returned",
    kind: str | None = None,
    value: int | None = None,
    errno: int | None = None,
    entry_errnos: tuple[int, ...] | None = None,
    at_first_refusal: SlotSets | None = None,
) -> Outcome:
    """The outcome of a call on `kernel` that found the active sets `before`, and ended as the rest says."""
    linked = _linked(kernel)
    dangling = any(o.freed for o in linked)
    warned = kernel.warned
    if ended == "returned" and kernel.areas_freed:
        warned |= _close_warns(kernel)
    return Outcome(
        ended,
        kernel.walk(0),
        before,
        kind,
        value,
        errno,
        entry_errnos,
        at_first_refusal,
        kernel.walk(1),
        tuple([sets[idx].generation for sets, idx in zip(kernel.sets, kernel.active_idx, strict=True)]),
        kernel.slots_lock,
        kernel.slots_arch_lock,
        kernel.nr_memslot_pages,
        tuple(sorted(kernel.damage)) if kernel.damage else (),
        dangling,
        kernel.corrupt,
        _leaked(kernel, linked, returned=ended == "returned"),
        warned,
        kernel.publications,
        tuple(kernel.mishaps),
        None,
        None if kernel.published is None else kernel.published.all(),
        kernel.machine.page_size,
    )


def _linked(kernel: Kernel) -> set[SlotObject]:
    linked: set[SlotObject] = set()
    for pair in kernel.sets:
        for memslots in pair:
            linked |= memslots.objects()
    return linked


def _leaked(kernel: Kernel, linked: set[SlotObject], *, returned: bool) -> int:
    """How many live slot objects, copies and bitmaps nobody reaches. A call under way reaches its batch."""
    reached = linked
    if not returned:
        reached = reached.union(
            o for entry in kernel.batch for o in (entry.old, entry.new, entry.invalid) if o is not None
        )
    leaked = 0
    for o in kernel.allocated:
        if not o.freed and o not in reached:
            leaked += 1
    if kernel.bitmaps:
        pointed_at = {o.dirty_bitmap for o in reached}
        leaked += sum(not bitmap.freed and bitmap not in pointed_at for bitmap in kernel.bitmaps)
    return leaked


def _close_warns(kernel: Kernel) -> bool:
    """Whether closing the VM fires a WARN: a vmalloc area freed before, or twice while set 1 is walked.

    kvm_free_memslots walks the id hash of set index 1 only, and unlinks nothing.
    """
    freed: set[Area] = set()
    for _, memslots in kernel.sets:
        for o in memslots.in_hash_order():
            for area in (o.dirty_bitmap, o.arch):
                if area is not None:
                    if area.freed or area in freed:
                        return True
                    freed.add(area)
    return False
