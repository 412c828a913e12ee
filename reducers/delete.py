# SPDX-License-Identifier: GPL-2.0-only
"""Passes that take entries away: the tail, whole slots, chunks, pairs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

from memslots.case import Case
from memslots.region import Region
from reducers.problem import Problem

_MOST_FOR_PAIRS = 12
"""Pairs are tried in lists up to this long: there are 66 of them then."""


def cut_the_tail(problem: Problem) -> None:
    """Find a short prefix of the list that still shows it. What follows an error exit is never looked at."""
    low, high = 0, len(problem.case.apply)
    while low < high:
        middle = (low + high) // 2
        if problem.consider(_with(problem.case, problem.case.given, problem.case.apply[:middle])):
            high = middle
        else:
            low = middle + 1


def delete_slots(problem: Problem) -> None:
    """Take away all that one slot, or a group of slots, has in `given` and in the list."""
    slots = list(dict.fromkeys(r.slot for r in problem.case.given + problem.case.apply))

    def without(gone: Sequence[int]) -> Case:
        case, names = problem.case, set(gone)
        return _with(
            case,
            tuple([r for r in case.given if r.slot not in names]),
            tuple([r for r in case.apply if r.slot not in names]),
        )

    _in_chunks(slots, lambda gone: problem.consider(without(gone)))


def delete_entries(problem: Problem) -> None:
    """Take away entries of the list, in chunks from half of it down to one, the last ones first."""

    def without(gone: Sequence[int]) -> Case:
        case, places = problem.case, set(gone)
        return _with(case, case.given, tuple([r for i, r in enumerate(case.apply) if i not in places]))

    _shrinking(lambda: len(problem.case.apply), lambda gone: problem.consider(without(gone)))


def delete_given(problem: Problem) -> None:
    """Take away given regions: all of them, then in chunks."""
    if problem.consider(_with(problem.case, (), problem.case.apply)):
        return

    def without(gone: Sequence[int]) -> Case:
        case, places = problem.case, set(gone)
        return _with(case, tuple([r for i, r in enumerate(case.given) if i not in places]), case.apply)

    _shrinking(lambda: len(problem.case.given), lambda gone: problem.consider(without(gone)))


def delete_pairs(problem: Problem) -> None:
    """Take away two entries at once, of the list or of `given`: a slot's making and its use."""
    tried = True
    while tried:
        tried = False
        case = problem.case
        places = [(0, i) for i in range(len(case.given))] + [(1, i) for i in range(len(case.apply))]
        if len(places) > _MOST_FOR_PAIRS:
            return
        for gone in combinations(places, 2):
            given = tuple([r for i, r in enumerate(case.given) if (0, i) not in gone])
            apply = tuple([r for i, r in enumerate(case.apply) if (1, i) not in gone])
            if problem.consider(_with(case, given, apply)):
                tried = True
                break


def _with(case: Case, given: tuple[Region, ...], apply: tuple[Region, ...]) -> Case:
    """The case with other lists. A lie in nent stays the same lie: as much too long or too short."""
    nent = case.nent
    if nent is not None:
        nent = max(nent - len(case.apply) + len(apply), 0) if abs(nent - len(case.apply)) < 1 << 16 else nent
    return replace(case, given=given, apply=apply, nent=None if nent == len(apply) else nent)


def _in_chunks(items: list[int], without: Callable[[Sequence[int]], bool]) -> None:
    """Try to do without `items`: chunks of half of them, of a quarter, and so on to each alone."""
    size = max(len(items) // 2, 1)
    while items:
        i = len(items)
        while i > 0:
            chunk = items[max(i - size, 0) : i]
            if without(chunk):
                del items[max(i - size, 0) : i]
            i -= size
        if size == 1:
            return
        size //= 2


def _shrinking(length: Callable[[], int], without: Callable[[Sequence[int]], bool]) -> None:
    """Try to do without places 0 to length() - 1, in chunks that halve; places are counted anew after a success."""
    size = max(length() // 2, 1)
    while True:
        end = length()
        while end > 0:
            start = max(end - size, 0)
            without(range(start, end))
            end = start
        if size == 1:
            return
        size //= 2
