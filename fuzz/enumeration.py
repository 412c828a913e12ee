# SPDX-License-Identifier: GPL-2.0-only
"""Every case of a scope, one of each orbit, by number.

Two cases are of one orbit if one becomes the other when ids are renamed (alike in both address spaces), all gfns are
shifted by as much (with the memory that follows them), or the pieces of memory of a slot's own change places. Of each
orbit the case stays in which ids and pieces of memory are named in the order in which they first appear, the given
slots by base first and the list then, and of which some region begins at gfn 0. So whether an entry may come next
depends on little: how many ids have appeared, of which slots memory has, and whether anything has begun at gfn 0. The
cases that begin in one way are counted without looking at them, which is what makes them numbered.

They are in order: shorter lists first, then fewer given slots, then where those lie, then by the letters of the list.
The case that stays is the first of its orbit in that order.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from fuzz.scope import Letter, Scope
from memslots.case import Case
from memslots.region import Region

NOWHERE, ABOVE, AT_ZERO = range(3)
"""Where the regions of the case so far begin, at the lowest."""


class Trail(NamedTuple):
    """What has appeared so far: `ids` of them, the slots of `seen` (a bit each) with memory, and the lowest base."""

    ids: int
    seen: int
    lowest: int


class Given(NamedTuple):
    """A state to start from, as the requests that make it, in the order of their slots."""

    regions: tuple[Region, ...]
    trail: Trail


class Enumeration:
    """The cases of a scope, numbered from 0 to `total`."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._letters = [(letter, scope.region(letter)) for letter in scope.letters()]
        self._following: dict[tuple[Trail, int], list[tuple[Region, Trail, int]]] = {}
        givens = sorted(self._givens(), key=lambda given: (len(given.regions), *map(_place, given.regions)))
        self._blocks = [(n, given) for n in range(scope.entries + 1) for given in givens]
        self._ends = list(accumulate(self._completions(given.trail, n) for n, given in self._blocks))
        self.total = self._ends[-1]

    def case(self, rank: int) -> Case:
        """The case with this number."""
        return next(self.cases(rank, rank + 1))

    def cases(self, begin: int, end: int) -> Iterator[Case]:
        """The cases with the numbers from `begin` up to `end`, in order. Those of one given state share its tuple."""
        machine = self.scope.machine
        block = bisect_right(self._ends, begin)
        while begin < end:
            n, given = self._blocks[block]
            skip = begin - (self._ends[block - 1] if block else 0)
            until = min(end, self._ends[block])
            lists = self._lists(given.trail, n, skip)
            for apply in lists:
                yield Case(apply, given.regions, machine)
                begin += 1
                if begin == until:
                    break
            block = bisect_right(self._ends, begin)

    def _lists(self, trail: Trail, n: int, skip: int) -> Iterator[tuple[Region, ...]]:
        """The lists of `n` entries that may follow `trail`, but for the first `skip`."""
        if n == 0:
            yield ()
            return
        for region, then, completions in self._next(trail, n):
            if skip >= completions:
                skip -= completions
                continue
            if n == 1:
                yield (region,)
                continue
            for rest in self._lists(then, n - 1, skip):
                yield (region, *rest)
            skip = 0

    def _completions(self, trail: Trail, n: int) -> int:
        """How many lists of `n` entries may follow `trail`."""
        if n == 0:
            return int(trail.lowest != ABOVE)
        return sum(completions for _, _, completions in self._next(trail, n))

    def _next(self, trail: Trail, n: int) -> list[tuple[Region, Trail, int]]:
        """The entries that may follow `trail`, n - 1 behind them: each with its trail, and how many lists it begins."""
        known = self._following.get((trail, n))
        if known is None:
            known = []
            for letter, region in self._letters:
                then = self._after(trail, letter)
                completions = 0 if then is None else self._completions(then, n - 1)
                if then is not None and completions:
                    known.append((region, then, completions))
            self._following[trail, n] = known
        return known

    def _after(self, trail: Trail, letter: Letter) -> Trail | None:
        """The trail with this letter behind it; None if another case of its orbit is the one that stays."""
        ids, seen, lowest = trail
        if letter.id > ids:
            return None
        ids = max(ids, letter.id + 1)
        if letter.npages:
            if self.scope.memory == "own" and self.scope.hvas > 1:
                slot = 1 << letter.as_id * self.scope.slots + letter.id
                if letter.hva and not seen & slot:
                    return None
                seen |= slot
            lowest = max(lowest, ABOVE if letter.base_gfn else AT_ZERO)
        return Trail(ids, seen, lowest)

    def _givens(self) -> Iterator[Given]:
        """Every state to start from. Those that differ by a shift are different: the list may tell them apart."""
        unflagged = [letter for letter in self.scope.letters() if not letter.invalidate and letter.npages]
        start = Trail(0, 0, NOWHERE if self.scope.shifts else AT_ZERO)
        return self._givens_behind((), start, sorted(unflagged, key=lambda letter: (letter.as_id, letter.base_gfn)))

    def _givens_behind(self, slots: tuple[Letter, ...], trail: Trail, letters: list[Letter]) -> Iterator[Given]:
        """The states of these slots and of such that lie behind them, in gfns and address spaces."""
        yield Given(tuple(sorted(map(self.scope.region, slots))), trail)
        for letter in letters:
            if slots and letter.as_id == slots[-1].as_id and letter.base_gfn < slots[-1].base_gfn + slots[-1].npages:
                continue
            if slots and letter.as_id < slots[-1].as_id:
                continue
            if letter.base_gfn + letter.npages - 1 > self.scope.machine.max_gfn:
                continue
            if any(letter[:2] == slot[:2] for slot in slots):
                continue
            then = self._after(trail, letter)
            if then is not None:
                yield from self._givens_behind((*slots, letter), then, letters)


def _place(region: Region) -> tuple[int, ...]:
    """What given states are sorted by."""
    return (region.slot, region.guest_phys_addr, region.memory_size, region.flags, region.userspace_addr)
