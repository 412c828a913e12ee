# SPDX-License-Identifier: GPL-2.0-only
"""What must hold of a VM at rest, whatever was asked of it."""

from collections.abc import Callable, Iterator

from memslots.jsonl import json_of_generations, json_of_sets
from memslots.outcome import UNSEEN, Outcome
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
    for part, _ in PARTS:
        yield from part(reference, outcome, policy)


def corrupt(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """The sets must be sound, however the call ended."""
    if outcome.corrupt:
        yield Mismatch("invariants", "corrupt", {"corrupt": True})


def warned(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """No WARN may fire."""
    if outcome.warned and _at_rest(outcome):
        yield Mismatch("invariants", "warned", {"warned": True})


def sets(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """Both sets must hold the same: slots whose ids are in range, that are not INVALID and do not overlap."""
    active, inactive = outcome.active, outcome.inactive
    if not _at_rest(outcome) or active == UNSEEN or inactive is None:
        return
    if active != inactive:
        yield Mismatch(
            "invariants", "sets-differ", {"active": json_of_sets(active), "inactive": json_of_sets(inactive)}
        )
    seen_invalid = seen_overlap = False
    for slots in active:
        for slot in slots:
            seen_invalid = seen_invalid or slot.flags & KVM_MEMSLOT_INVALID != 0
            if slot.id >= KVM_MEM_SLOTS_NUM:
                yield Mismatch("invariants", "id-range", {"id": slot.id})
        seen_overlap = seen_overlap or overlap_in(slots)
    if active != inactive:
        for slots in inactive:
            seen_overlap = seen_overlap or overlap_in(slots)
    if seen_invalid:
        yield Mismatch("invariants", "left-invalid", {"active": json_of_sets(active)})
    if seen_overlap:
        yield Mismatch("invariants", "overlap", {"active": json_of_sets(active), "inactive": json_of_sets(inactive)})


def page_count(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """nr_memslot_pages must be the sum of the slots' pages."""
    if not _at_rest(outcome) or outcome.active == UNSEEN:
        return
    pages = sum([slot.npages for slots in outcome.active for slot in slots])
    if pages != outcome.nr_memslot_pages:
        yield Mismatch(
            "invariants", "page-count", {"sum_of_npages": pages, "nr_memslot_pages": outcome.nr_memslot_pages}
        )


def generations(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """No update may be under way, and generations must tell of the publications that there were."""
    if not _at_rest(outcome) or outcome.generation is None:
        return
    for generation in outcome.generation:
        if generation & _UPDATE_IN_PROGRESS:
            yield Mismatch("invariants", "update-in-progress", {"generation": generation})
    yield from _generations(reference, outcome)


def complete(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """No slot may lack what a slot has: a place in each index, arch arrays, a dirty bitmap if it logs."""
    if outcome.incomplete and _at_rest(outcome):
        yield Mismatch("invariants", "incomplete", {"incomplete": outcome.incomplete})


def in_place(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """What is active must be what was published last, or what was active before: no set is edited under its readers.

    And as many sets must have been seen published as are counted.
    """
    if outcome.published is None or not _at_rest(outcome) or outcome.active == UNSEEN:
        return
    if outcome.publications is not None and outcome.publications != len(outcome.published):
        yield Mismatch(
            "invariants",
            "publications",
            {"publications": outcome.publications, "published": len(outcome.published)},
        )
    last = list(outcome.before)
    for publication in outcome.published:
        last[publication.as_id] = publication.slots
    if tuple(last) != outcome.active:
        yield Mismatch(
            "invariants",
            "edited-in-place",
            {"published": json_of_sets(tuple(last)), "active": json_of_sets(outcome.active)},
        )


PARTS: tuple[tuple[Callable[[Outcome, Outcome, Policy], Iterator[Mismatch]], frozenset[str]], ...] = (
    (corrupt, frozenset(("corrupt",))),
    (warned, frozenset(("ended", "warned"))),
    (sets, frozenset(("ended", "active", "inactive"))),
    (page_count, frozenset(("ended", "active", "nr_memslot_pages"))),
    (generations, frozenset(("ended", "generation"))),
    (complete, frozenset(("ended", "incomplete"))),
    (in_place, frozenset(("ended", "active", "published"))),
)
"""Each invariant with what it needs, for engines that do not show all of `NEEDS`."""


def _at_rest(outcome: Outcome) -> bool:
    return outcome.ended == "returned" and not outcome.corrupt


def _generations(reference: Outcome, outcome: Outcome) -> Iterator[Mismatch]:
    """Generations must tell of the publications there were, and of no more than the reference makes.

    Fewer are an allowance, and so are others of a list that the reference refuses (`allowances.py`); but not of an
    engine that applies one entry after the other itself, and stops where the reference does.
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
    stops = outcome.value != 0 and outcome.at_first_refusal is not None and not outcome.failed
    alike = reference.value == 0 or stops
    if alike and any(our > their for our, their in zip(ours, theirs, strict=True)):
        yield _of_generations("more-publications", theirs, ours)


def _of_generations(what: str, expected: tuple[int, ...], got: tuple[int, ...]) -> Mismatch:
    return Mismatch("invariants", what, {"expected": json_of_generations(expected), "got": json_of_generations(got)})


def overlap_in(slots: tuple[Slot, ...]) -> bool:
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
