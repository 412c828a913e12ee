# SPDX-License-Identifier: GPL-2.0-only
"""Passes that lower one value at a time: what the header and the machine say, then each field of each region."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from memslots.case import Case
from memslots.machine import DEFAULT_MACHINE, machine_of
from memslots.region import NO_PADDING, Region
from memslots.uapi import U64
from reducers.problem import Problem
from reducers.rename import with_field, with_value

_MOST_SPELT_OUT = 3
_ADDRESSES = ("guest_phys_addr", "userspace_addr", "memory_size")


def plain_header(problem: Problem) -> None:
    """A header that tells the truth, the default machine, no faults; else each lowered."""
    case = problem.case
    problem.consider(replace(case, nent=None, header_flags=0, machine=DEFAULT_MACHINE, faults=()))
    problem.consider(replace(problem.case, machine=DEFAULT_MACHINE))
    for name in problem.case.machine.overrides():
        kept = {key: value for key, value in problem.case.machine.overrides().items() if key != name}
        problem.consider(replace(problem.case, machine=machine_of(problem.case.machine.profile, kept)))
    problem.consider(replace(problem.case, header_flags=0))
    problem.consider(replace(problem.case, nent=None))
    _spell_out_nent(problem)
    if problem.case.nent is not None:
        _lower_nent(problem)
    for i, (kind, n) in enumerate(problem.case.faults):
        others = problem.case.faults[:i] + problem.case.faults[i + 1 :]
        if problem.consider(replace(problem.case, faults=others)):
            break
        for lower in range(n):
            if problem.consider(replace(problem.case, faults=tuple(sorted((*others, (kind, lower)))))):
                break


def _spell_out_nent(problem: Problem) -> None:
    """The entries that nent names, written out, if these are few."""
    case = problem.case
    if case.nent is not None and case.nent - len(case.apply) <= _MOST_SPELT_OUT:
        problem.consider(replace(case, apply=tuple(case.named()), nent=None))
    elif case.nent is not None:
        for more in range(1, _MOST_SPELT_OUT + 1):
            named = tuple(islice(case.named(), len(case.apply) + more))
            if problem.consider(replace(case, apply=named, nent=None)):
                return


def _lower_nent(problem: Problem) -> None:
    """The least nent that still shows it, by halving the distance."""
    low, high = 0, problem.case.nent or 0
    while low < high:
        middle = (low + high) // 2
        nent = None if middle == len(problem.case.apply) else middle
        if problem.consider(replace(problem.case, nent=nent)):
            high = middle
        else:
            low = middle + 1


def lower_fields(problem: Problem) -> None:
    """Lower every field of every region: the same value in all regions together first, then one at a time."""
    for field in Region._fields:
        for value in sorted({getattr(r, field) for r in problem.case.given + problem.case.apply}, reverse=True):
            for lower in _lower(field, value, problem.case):
                if problem.consider(with_value(problem.case, field, value, lower)):
                    break
    _lower_slot_by_slot(problem)
    for name in ("given", "apply"):
        for i in range(len(getattr(problem.case, name))):
            for field in Region._fields:
                _lower_one(problem, name, i, field)


def _lower_slot_by_slot(problem: Problem) -> None:
    """Lower a value wherever one slot has it: its size in `given` and in the list are one thing."""
    for slot in sorted({r.slot for r in problem.case.given + problem.case.apply}):
        for field in Region._fields:
            values = {getattr(r, field) for r in problem.case.given + problem.case.apply if r.slot == slot}
            for value in sorted(values, reverse=True):
                for lower in _lower(field, value, problem.case):
                    if problem.consider(with_value(problem.case, field, value, lower, slot=slot)):
                        break


def _lower_one(problem: Problem, name: str, i: int, field: str) -> None:
    """Lower a field of the i-th region of `name` until nothing lower holds."""
    lowered = True
    while lowered:
        value = getattr(getattr(problem.case, name)[i], field)
        lowered = any(_set(problem, name, i, field, lower) for lower in _lower(field, value, problem.case))
        if lowered and isinstance(value, int):
            _close_in(problem, name, i, field)


def _set(problem: Problem, name: str, i: int, field: str, value: int | bytes) -> bool:
    """Whether the problem's case could take this value in a field of the i-th region of `name`."""
    regions: tuple[Region, ...] = getattr(problem.case, name)
    changed = (*regions[:i], with_field(regions[i], field, value), *regions[i + 1 :])
    return problem.consider(replace(problem.case, **{name: changed}))  # type: ignore[arg-type]  # a field of regions


def _close_in(problem: Problem, name: str, i: int, field: str) -> None:
    """Halve the way down to where it stops to hold: a limit in the middle of a field is far from both its ends."""
    unit = problem.case.machine.page_size if field in _ADDRESSES else 1
    low, high = 0, getattr(getattr(problem.case, name)[i], field) // unit
    while high - low > 1:
        middle = (low + high) // 2
        if _set(problem, name, i, field, middle * unit):
            high = middle
        else:
            low = middle


def lower_values(field: str, value: int | bytes, case: Case) -> list[int | bytes]:
    """Every value that this room would try in place of `value`: what "no field can be smaller" is held against."""
    return list(_lower(field, value, case))


def _lower(field: str, value: int | bytes, case: Case) -> Iterator[int | bytes]:
    """Values that read easier than `value`, the easiest first."""
    if isinstance(value, bytes):
        if value != NO_PADDING:
            yield NO_PADDING
        return
    if value == 0:
        return
    yield 0
    if field == "flags":
        yield from sorted({value & ~(1 << bit) for bit in range(32) if value >> bit & 1} - {0})
        yield from (bit for bit in (1, 2, 4) if bit < value)
        return
    if field == "invalidate_slot":
        yield from (1,) if value > 1 else ()
        return
    unit = case.machine.page_size if field in _ADDRESSES else 1
    tries = [unit, value // 2 // unit * unit, (value - 1) // unit * unit, value % unit, value - 1 if unit == 1 else 0]
    if field == "slot" and value >> 16:
        tries += [value & 0xFFFF, 1 << 16 | value & 0xFFFF, value - (1 << 16)]
    # Values near the top of a field mean something as such: 2^64 less a page.
    tries += [(1 << 64) - unit] if value > U64 // 2 else []
    yield from sorted({lower for lower in tries if 0 < lower < value})
