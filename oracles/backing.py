# SPDX-License-Identifier: GPL-2.0-only
"""Which gfns lose their memory on the way, though the same memory backs them before and after.

The same memory: the same userspace_addr for that very gfn, whatever slots it is cut into. Flags do not enter: memory
that becomes read-only, or is logged, is there. A gfn is unbacked where no slot holds it (a guest access becomes MMIO),
and has to be tried again where an INVALID one does.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from memslots.outcome import Outcome, Publication
from memslots.slot import SlotSet
from memslots.uapi import KVM_MEMSLOT_INVALID

Range = tuple[int, int]
"""The first gfn, and the first one behind."""


class Loss(NamedTuple):
    """`npages` gfns from `base_gfn` on, and at how many publications they were not there."""

    as_id: int
    base_gfn: int
    npages: int
    publications: int


class Figures(NamedTuple):
    """What a call costs its readers. Lost backing is of gfns that the same memory backs before and after."""

    publications: int
    invalid_windows: int
    """Publications with a slot that is INVALID."""
    inhibited: int
    """Publications that no reader saw: the losses leave them out."""
    unbacked: tuple[Loss, ...]
    retried: tuple[Loss, ...]

    @property
    def unbacked_gfns(self) -> int:
        """Gfns times publications."""
        return sum(loss.npages * loss.publications for loss in self.unbacked)

    @property
    def retried_gfns(self) -> int:
        """Gfns times publications."""
        return sum(loss.npages * loss.publications for loss in self.retried)


def figures(outcome: Outcome) -> Figures | None:
    """The figures of any call, its own end taken for what comes after; None if it does not show what it published."""
    published = outcome.published
    if published is None or outcome.page_size is None:
        return None
    unbacked: list[Loss] = []
    retried: list[Loss] = []
    for as_id, (before, after) in enumerate(zip(outcome.before, outcome.active, strict=True)):
        kept = kept_gfns(before, after, outcome.page_size)
        seen = [slots for space, slots, inhibited in published if space == as_id and not inhibited]
        unbacked += losses(as_id, kept, seen, {None})
        retried += losses(as_id, kept, seen, {False})
    return Figures(
        len(published),
        sum(holds_invalid(slots) for _, slots, _ in published),
        sum(publication.inhibited for publication in published),
        tuple(unbacked),
        tuple(retried),
    )


def holds_invalid(slots: SlotSet) -> bool:
    """Whether some slot is INVALID."""
    for _, _, _, _, _, flags in slots:  # noqa: SIM110 - every publication is asked, and any() takes twice as long
        if flags & KVM_MEMSLOT_INVALID:
            return True
    return False


def unbacked_gfns(
    as_id: int, before: SlotSet, after: SlotSet, published: Iterable[Publication], page_size: int
) -> list[Loss]:
    """The gfns of an address space that readers find without any slot, between `before` and `after`."""
    odd = [slots for space, slots, inhibited in published if space == as_id and not inhibited]
    odd = [slots for slots in odd if slots not in (before, after)]
    return losses(as_id, kept_gfns(before, after, page_size), odd, {None}) if odd else []


def kept_gfns(before: SlotSet, after: SlotSet, page_size: int) -> list[Range]:
    """The gfns that the same memory backs in both, in order."""
    kept: list[Range] = []
    # Memory goes by the address that gfn 0 would have.
    there = sorted([(base, base + n, hva - base * page_size) for _, _, base, n, hva, flags in after if _valid(flags)])
    i = 0
    for _, _, base, npages, hva, _ in sorted(before, key=lambda slot: slot.base_gfn):
        while i < len(there) and there[i][1] <= base:
            i += 1
        j = i
        while j < len(there) and there[j][0] < base + npages:
            start, end, memory = there[j]
            if memory == hva - base * page_size:
                kept.append((max(start, base), min(end, base + npages)))
            j += 1
    return kept


def losses(as_id: int, kept: list[Range], seen: Iterable[SlotSet], states: set[bool | None]) -> list[Loss]:
    """At how many of the sets `seen` gfns of `kept` are in one of `states`: True valid, False INVALID, None no slot."""
    steps: Counter[int] = Counter()
    for slots in seen:
        for start, end, state in _states(kept, slots):
            if state in states:
                steps[start] += 1
                steps[end] -= 1
    lost: list[Loss] = []
    times = 0
    marks = sorted(gfn for gfn, step in steps.items() if step)
    for gfn, behind in pairwise(marks):
        times += steps[gfn]
        if times:
            lost.append(Loss(as_id, gfn, behind - gfn, times))
    return lost


def _states(kept: list[Range], slots: SlotSet) -> Iterator[tuple[int, int, bool | None]]:
    """The ranges of `kept`, cut where slots begin and end, with what is there."""
    in_order = sorted([(base, base + npages, _valid(flags)) for _, _, base, npages, _, flags in slots])
    for start, end in kept:
        at = start
        for base, behind, valid in in_order:
            if behind <= at:
                continue
            if base >= end:
                break
            if base > at:
                yield at, base, None
            yield max(base, at), min(behind, end), valid
            at = behind
        if at < end:
            yield at, end, None


def _valid(flags: int) -> bool:
    return not flags & KVM_MEMSLOT_INVALID
