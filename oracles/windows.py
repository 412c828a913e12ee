# SPDX-License-Identifier: GPL-2.0-only
"""INVALID is for slots that the list deletes or moves, and an unchanged set is published only to end such a window.

Readers of any other INVALID slot are sent round for nothing, and so are those of a set that is published as it was
(contract I3). What a list deletes or moves stands in the list, so this oracle reads the case.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from memslots.case import Case
from memslots.outcome import UNSEEN, Outcome
from memslots.uapi import KVM_MEMSLOT_INVALID
from oracles.mismatch import Mismatch
from oracles.policy import Policy, expected_active

NEEDS = frozenset(("ended", "active", "corrupt", "published"))


def windows(case: Case, reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """At most one mismatch of each kind, of an engine that applies its list as one.

    Another window over the same slots is for `visibility`.
    """
    if outcome.corrupt or outcome.active == UNSEEN or not outcome.published:
        return
    gone = _deleted_or_moved(case, outcome)
    after = expected_active(reference, policy)
    now = list(outcome.before)
    in_vain = needless = None
    for publication in outcome.published:
        as_id, slots, _ = publication
        invalid = [slot for slot in slots if slot.flags & KVM_MEMSLOT_INVALID]
        if in_vain is None:
            in_vain = next((slot for slot in invalid if (as_id, slot.id) not in gone), None)
        if not invalid and slots == now[as_id] and (reference.value or slots != after[as_id]):
            needless = needless or publication
        now[as_id] = slots
    if in_vain is not None:
        yield Mismatch("visibility", "invalidated-in-vain", {"slot": list(in_vain[1:]), "address_space": in_vain.as_id})
    if needless is not None:
        yield Mismatch("visibility", "needless", {"address_space": needless.as_id})


def _deleted_or_moved(case: Case, outcome: Outcome) -> AbstractSet[tuple[int, int]]:
    """Address space and id of each slot that some entry deletes, or asks to be elsewhere than it was."""
    bases = {(slot.as_id, slot.id): slot.base_gfn for slots in outcome.before for slot in slots}
    page = case.machine.page_size
    beyond = {(0, 0)} if case.entries > len(case.apply) else set()  # zeros: they ask to delete slot 0
    return beyond | {
        (region.as_id, region.id)
        for region in case.apply[: case.entries]
        if region.memory_size == 0 or region.guest_phys_addr != bases.get((region.as_id, region.id), 0) * page
    }
