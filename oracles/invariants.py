# SPDX-License-Identifier: GPL-2.0-only
"""What must hold of a VM at rest, whatever was asked of it."""

from collections.abc import Iterator

from memslots.jsonl import json_of_sets
from memslots.outcome import Outcome
from memslots.slot import Slot
from memslots.uapi import KVM_MEM_SLOTS_NUM, KVM_MEMSLOT_INVALID
from oracles.mismatch import Mismatch
from oracles.policy import Policy

NEEDS = frozenset(("ended", "active", "inactive", "generation", "nr_memslot_pages", "corrupt", "warned"))

_UPDATE_IN_PROGRESS = 1 << 63


def invariants(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """One mismatch for each invariant that is broken, once the call has returned.

    Where the sets are corrupt that is the one finding: what they hold is not vouched for.
    """
    if outcome.corrupt:
        yield Mismatch("invariants", "corrupt", {"corrupt": True})
        return
    if outcome.ended != "returned":
        return
    if outcome.warned:
        yield Mismatch("invariants", "warned", {"warned": True})
    active, inactive = outcome.active, outcome.inactive
    assert inactive is not None
    assert outcome.generation is not None
    if active != inactive:
        yield Mismatch(
            "invariants", "sets-differ", {"active": json_of_sets(active), "inactive": json_of_sets(inactive)}
        )
    seen_invalid = seen_overlap = False
    pages = 0
    for slots in active:
        for slot in slots:
            pages += slot.npages
            seen_invalid = seen_invalid or slot.flags & KVM_MEMSLOT_INVALID != 0
            if slot.id >= KVM_MEM_SLOTS_NUM:
                yield Mismatch("invariants", "id-range", {"id": slot.id})
        seen_overlap = seen_overlap or _overlap_in(slots)
    if active != inactive:
        for slots in inactive:
            seen_overlap = seen_overlap or _overlap_in(slots)
    if seen_invalid:
        yield Mismatch("invariants", "left-invalid", {"active": json_of_sets(active)})
    if seen_overlap:
        yield Mismatch("invariants", "overlap", {"active": json_of_sets(active), "inactive": json_of_sets(inactive)})
    if pages != outcome.nr_memslot_pages:
        yield Mismatch(
            "invariants", "page-count", {"sum_of_npages": pages, "nr_memslot_pages": outcome.nr_memslot_pages}
        )
    for generation in outcome.generation:
        if generation & _UPDATE_IN_PROGRESS:
            yield Mismatch("invariants", "update-in-progress", {"generation": generation})
    # Fewer publications than the reference makes are an allowance; more are what a batched update is to avoid.
    if reference.value == 0 and _more(outcome.publications, reference.publications):
        yield Mismatch(
            "invariants",
            "more-publications",
            {"expected_at_most": reference.publications, "got": outcome.publications},
        )


def _more(publications: int | None, most: int | None) -> bool:
    return publications is not None and most is not None and publications > most


def _overlap_in(slots: tuple[Slot, ...]) -> bool:
    """Whether two slots of one address space hold some gfn both."""
    if len(slots) < 2:
        return False
    in_order = sorted([(slot.base_gfn, slot.npages) for slot in slots])
    end = -1
    for base, npages in in_order:
        if base < end:
            return True
        end = base + npages
    return False
