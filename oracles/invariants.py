# SPDX-License-Identifier: GPL-2.0-only
"""What must hold of a VM at rest, whatever was asked of it."""

from collections.abc import Iterator

from memslots.jsonl import json_of_generations, json_of_sets
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
    yield from _generations(reference, outcome)


def _generations(reference: Outcome, outcome: Outcome) -> Iterator[Mismatch]:
    """Generations must tell of the publications there were, and of no more than the reference makes.

    Fewer are an allowance, and so are others of a list that the reference refuses (`allowances.py`).
    """
    ours, theirs = outcome.generation, reference.generation
    if ours is None or theirs is None or any(generation & _UPDATE_IN_PROGRESS for generation in ours):
        return
    # Each publication raises the generation of its address space by the number of address spaces (b.2), so both
    # calls having begun at the same generations, the sums differ as the publications do.
    if outcome.publications is not None and reference.publications is not None:
        published = outcome.publications - reference.publications
        if sum(ours) - sum(theirs) != published * len(ours):
            yield _of_generations("generation", theirs, ours)
            return
    if reference.value == 0 and any(our > their for our, their in zip(ours, theirs, strict=True)):
        yield _of_generations("more-publications", theirs, ours)


def _of_generations(what: str, expected: tuple[int, ...], got: tuple[int, ...]) -> Mismatch:
    return Mismatch("invariants", what, {"expected": json_of_generations(expected), "got": json_of_generations(got)})


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
