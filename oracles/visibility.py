# SPDX-License-Identifier: GPL-2.0-only
"""What readers could see on the way must be the state before or the one after, but for one INVALID window.

This is the contract I3 of an ideal batched ioctl: an address space is published with all that is deleted or moved
INVALID ("retry", not "absent"), then as it is in the end. What it is left with is for `final_slots` and `invariants`.
"""

from collections.abc import Iterator, Sequence

from memslots.jsonl import Json
from memslots.outcome import UNSEEN, Outcome, Publication
from memslots.slot import SlotSet, SlotSets
from memslots.uapi import KVM_MEMSLOT_INVALID
from oracles.backing import Loss, holds_invalid, unbacked_gfns
from oracles.invariants import overlap_in
from oracles.mismatch import Mismatch
from oracles.policy import Policy, expected_active

_FEW = 8
"""Slots that are looked for one by one."""

NEEDS = frozenset(("ended", "active", "corrupt", "published", "page_size"))


def visibility(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """At most one mismatch of each kind, however the call ended.

    Nothing is said of corrupt sets, nor where too much was published to be held.
    """
    published = _seen(outcome)
    if not published:
        return
    before, after = outcome.before, expected_active(reference, policy)
    if _smooth(published, before, after):
        return
    yield from _states(published, outcome, before, after)
    yield from _steps(published, before)
    yield from _spaces(published, before, after)
    yield from _backing(published, outcome, before, after)


def backing(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """What is asked of an engine that applies one entry after the other: states in between are its nature.

    No set may overlap, also while nobody looks; and no gfn that the same memory backs before and after may be without,
    unless nobody looks.
    """
    published = _seen(outcome)
    if published:
        before, after = outcome.before, expected_active(reference, policy)
        yield from _overlaps(published, outcome)
        yield from _steps(published, before)
        yield from _backing(published, outcome, before, after)


def seen_between(reference: Outcome, outcome: Outcome, policy: Policy) -> bool:
    """Whether readers could see what is neither before nor after, nor before with slots INVALID."""
    before, after = outcome.before, expected_active(reference, policy)
    return any(
        slots != after[as_id] and not _before(before[as_id], slots)
        for as_id, slots, inhibited in _seen(outcome)
        if not inhibited
    )


def _seen(outcome: Outcome) -> Sequence[Publication]:
    if outcome.corrupt or outcome.active == UNSEEN or not outcome.published:
        return ()
    return outcome.published


def _smooth(published: Sequence[Publication], before: SlotSets, after: SlotSets) -> bool:
    """Whether it can be seen at a glance that all is well: most calls publish little. The others are looked at."""
    as_id, slots, _ = published[-1]
    was, behind = before[as_id], after[as_id]
    if len(published) > 2 or len(was) > _FEW:
        return False
    if slots != behind:
        return len(published) == 1 and _before(was, slots)
    if len(published) == 2:
        first, window, _ = published[0]
        if first != as_id or window == was or not _before(was, window):
            return False
        was = window
    return all(slot in slots or slot[5] & KVM_MEMSLOT_INVALID for slot in was)


def _stay(published: Sequence[Publication], outcome: Outcome) -> list[bool]:
    """Of each publication, whether the call has returned and left its address space like that."""
    left = {as_id: i for i, (as_id, _, _) in enumerate(published)} if outcome.ended == "returned" else {}
    return [left.get(as_id) == i for i, (as_id, _, _) in enumerate(published)]


def _states(
    published: Sequence[Publication], outcome: Outcome, before: SlotSets, after: SlotSets
) -> Iterator[Mismatch]:
    """Each set by itself."""
    windows = [0] * len(before)
    others = [0] * len(before)
    outside = None
    for publication, stays in zip(published, _stay(published, outcome), strict=True):
        as_id, slots, _ = publication
        if holds_invalid(slots):
            windows[as_id] += 1
        else:
            others[as_id] += 1
        if stays or slots == after[as_id]:
            continue
        if not _before(before[as_id], slots):
            outside = outside or publication
    if outside:
        yield Mismatch("visibility", "outside", _facts(outside))
    yield from _overlaps(published, outcome)
    if max(windows) > 1:
        yield Mismatch("visibility", "invalid-windows", {"invalid_windows": _by_space(windows)})
    if max(others) > 1:
        yield Mismatch("visibility", "republished", {"publications": _by_space(others)})


def _overlaps(published: Sequence[Publication], outcome: Outcome) -> Iterator[Mismatch]:
    """The first set on the way that overlaps."""
    for publication, stays in zip(published, _stay(published, outcome), strict=True):
        if not stays and overlap_in(publication.slots):
            yield Mismatch("visibility", "overlap", _facts(publication))
            return


def _steps(published: Sequence[Publication], before: SlotSets) -> Iterator[Mismatch]:
    """From each set to the next: what goes away must have been INVALID, or vCPUs keep what they have mapped of it."""
    now = list(before)
    for publication in published:
        as_id, slots, _ = publication
        there = {slot[1]: slot for slot in slots}
        for slot in now[as_id]:
            if not slot[5] & KVM_MEMSLOT_INVALID and there.get(slot[1], _NOTHING)[:5] != slot[:5]:
                yield Mismatch("visibility", "not-invalidated", {"slot": list(slot[1:]), **_facts(publication)})
                return
        now[as_id] = slots


def _spaces(published: Sequence[Publication], before: SlotSets, after: SlotSets) -> Iterator[Mismatch]:
    """Both address spaces together: each further one may be one publication late, and no more."""
    changed = [as_id for as_id, slots in enumerate(before) if slots != after[as_id]]
    if len(changed) < 2:
        return
    now = list(before)
    apart = 0
    for as_id, slots, _ in published:
        now[as_id] = slots
        done = [now[changing] == after[changing] for changing in changed]
        apart += any(done) and not all(done)
    if apart >= len(changed):
        yield Mismatch("visibility", "apart", {"publications": apart})


def _backing(
    published: Sequence[Publication], outcome: Outcome, before: SlotSets, after: SlotSets
) -> Iterator[Mismatch]:
    if outcome.page_size is None:
        return
    on_the_way = [each for each, stays in zip(published, _stay(published, outcome), strict=True) if not stays]
    lost: list[Loss] = []
    for as_id, slots in enumerate(before):
        lost += unbacked_gfns(as_id, slots, after[as_id], on_the_way, outcome.page_size)
    if lost:
        yield Mismatch("visibility", "unbacked", {"unbacked": [list(loss) for loss in lost]})


def _before(before: SlotSet, slots: SlotSet) -> bool:
    """Whether these are the slots of `before`, some of them INVALID perhaps."""
    if len(slots) != len(before):
        return False
    for slot, was in zip(slots, before, strict=True):
        if slot != was and (slot[:5] != was[:5] or slot[5] != was[5] | KVM_MEMSLOT_INVALID):
            return False
    return True


_NOTHING: tuple[int, ...] = ()


def _facts(publication: Publication) -> dict[str, Json]:
    return {
        "address_space": publication.as_id,
        "published": [list(slot[1:]) for slot in publication.slots],
    }


def _by_space(counts: list[int]) -> dict[str, Json]:
    return {str(as_id): count for as_id, count in enumerate(counts)}
