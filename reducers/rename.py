# SPDX-License-Identifier: GPL-2.0-only
"""Passes that give things smaller names, all at once: ids, address spaces, addresses. And order."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, count, permutations

from memslots.case import Case
from memslots.region import Region
from reducers.problem import Problem


def each_region(case: Case, change: Callable[[Region], Region]) -> Case:
    """The case with every region changed alike."""
    return replace(case, given=tuple(map(change, case.given)), apply=tuple(map(change, case.apply)))


def with_field(region: Region, field: str, value: int | bytes) -> Region:
    """The region with one field changed."""
    return region._replace(**{field: value})  # type: ignore[arg-type]  # padding is bytes, the others are numbers


def with_value(case: Case, field: str, value: int | bytes, other: int | bytes, *, slot: int | None = None) -> Case:
    """The case with `other` wherever a region (of this slot, if one is named) has `value` in `field`."""
    return each_region(
        case,
        lambda r: with_field(r, field, other) if getattr(r, field) == value and slot in (None, r.slot) else r,
    )


def flatten_given(problem: Problem) -> None:
    """Let each slot of `given` be made by one CREATE that says what it came to; orders it by slot."""
    final: dict[int, Region] = {}
    for region in problem.case.given:
        if region.memory_size:
            final[region.slot] = region
        else:
            final.pop(region.slot, None)
    problem.consider(replace(problem.case, given=tuple(final.values())))
    problem.consider(replace(problem.case, given=tuple(sorted(problem.case.given))))


def renumber(problem: Problem) -> None:
    """Number the slots by first appearance in the list, and bring all of them into address space 0."""
    regions = problem.case.apply + problem.case.given
    ids = {slot_id: i for i, slot_id in enumerate(dict.fromkeys(r.slot & 0xFFFF for r in regions))}
    slots = {slot: i for i, slot in enumerate(dict.fromkeys(r.slot for r in regions))}
    problem.consider(each_region(problem.case, lambda r: r._replace(slot=slots[r.slot])))
    problem.consider(
        each_region(
            problem.case, lambda r: r._replace(slot=r.slot & ~0xFFFF | ids.get(r.slot & 0xFFFF, r.slot & 0xFFFF))
        )
    )
    problem.consider(each_region(problem.case, lambda r: r._replace(slot=r.slot & 0xFFFF)))
    for slot in sorted({r.slot for r in problem.case.given + problem.case.apply}):
        used = {r.slot for r in problem.case.given + problem.case.apply}
        free = next(i for i in count() if i not in used)
        problem.consider(with_value(problem.case, "slot", slot, free))


def compress_addresses(problem: Problem) -> None:
    """Put the ends of all regions on small places, in their order: what touches goes on touching."""
    page = problem.case.machine.page_size
    problem.consider(each_region(problem.case, lambda r: r._replace(userspace_addr=0)))
    values = sorted({r.userspace_addr for r in problem.case.given + problem.case.apply})
    ranks = {value: i * page for i, value in enumerate(values)}
    problem.consider(each_region(problem.case, lambda r: r._replace(userspace_addr=ranks[r.userspace_addr])))
    problem.consider(each_region(problem.case, lambda r: r._replace(memory_size=min(r.memory_size, page))))
    _compress_gfns(problem, page)


def _compress_gfns(problem: Problem, page: int) -> None:
    sized = [r for r in problem.case.given + problem.case.apply if r.memory_size]
    ends = sorted({end for r in sized for end in (r.guest_phys_addr, r.guest_phys_addr + r.memory_size)})
    place = {end: i * page for i, end in enumerate(ends)}

    def compressed(region: Region) -> Region:
        if not region.memory_size:
            return region._replace(guest_phys_addr=0)
        first = place[region.guest_phys_addr]
        return region._replace(
            guest_phys_addr=first, memory_size=place[region.guest_phys_addr + region.memory_size] - first
        )

    problem.consider(each_region(problem.case, compressed))
    bases = sorted({r.guest_phys_addr for r in problem.case.given + problem.case.apply})
    starts = {base: i * page for i, base in enumerate(bases)}
    problem.consider(each_region(problem.case, lambda r: r._replace(guest_phys_addr=starts[r.guest_phys_addr])))


def slide_down(problem: Problem) -> None:
    """Bring regions that touch or overlap to lower places together: one of them alone cannot go without the others.

    The step is halved from the whole way down to a page, so a limit in the middle is reached in few calls.
    """
    page = problem.case.machine.page_size
    for island in reversed(_islands(problem.case)):
        begin, end = island
        step = begin // page
        while step:
            if begin >= step * page and problem.consider(_slid(problem.case, begin, end, step * page)):
                begin, end = begin - step * page, end - step * page
            else:
                step //= 2


def _islands(case: Case) -> list[tuple[int, int]]:
    """Ranges of guest physical addresses that regions cover without a gap, in order, in bytes."""
    islands: list[tuple[int, int]] = []
    for region in sorted(case.given + case.apply, key=lambda r: r.guest_phys_addr):
        begin, end = region.guest_phys_addr, region.guest_phys_addr + region.memory_size
        if not region.memory_size:
            continue
        if islands and begin <= islands[-1][1]:
            islands[-1] = (islands[-1][0], max(islands[-1][1], end))
        else:
            islands.append((begin, end))
    return islands


def _slid(case: Case, begin: int, end: int, down: int) -> Case:
    """The case with what lies in [begin, end) `down` bytes lower."""
    return each_region(
        case,
        lambda r: (
            r._replace(guest_phys_addr=r.guest_phys_addr - down)
            if r.memory_size and begin <= r.guest_phys_addr < end
            else r
        ),
    )


_MOST_TO_EXCHANGE = 6


def _exchanged(case: Case, field: str, one: int, other: int) -> Case:
    swapped = {one: other, other: one}
    return each_region(case, lambda r: with_field(r, field, swapped.get(getattr(r, field), getattr(r, field))))


def exchange(problem: Problem) -> None:
    """Exchange two slots, or two places, wherever they stand: sums do not tell these apart, readers do."""
    for field in ("slot", "guest_phys_addr", "userspace_addr"):
        values = sorted({getattr(r, field) for r in problem.case.given + problem.case.apply})
        if len(values) > _MOST_TO_EXCHANGE:
            continue
        for one, other in combinations(values, 2):
            problem.consider(_exchanged(problem.case, field, one, other))
    _exchange_neighbours(problem)


def _exchange_neighbours(problem: Problem) -> None:
    """Exchange two ranges, one right behind the other, within the place of both: they may differ in size."""
    ranges = sorted({(r.guest_phys_addr, r.memory_size) for r in problem.case.given + problem.case.apply})
    if len(ranges) > _MOST_TO_EXCHANGE:
        return
    for (base, size), (behind, other) in permutations(ranges, 2):
        if size and other and size != other and base + size == behind:
            moved = {(base, size): base + other, (behind, other): base}
            problem.consider(
                each_region(
                    problem.case,
                    lambda r, moved=moved: r._replace(  # type: ignore[misc]  # bound now, for the loop goes on
                        guest_phys_addr=moved.get((r.guest_phys_addr, r.memory_size), r.guest_phys_addr)
                    ),
                )
            )


def order(problem: Problem) -> None:
    """Swap neighbours that stand the wrong way round, in the list and in `given`, while that changes nothing."""
    for field in ("apply", "given"):
        again = True
        while again:
            again = False
            regions: tuple[Region, ...] = getattr(problem.case, field)
            for i in range(len(regions) - 1):
                swapped = (*regions[:i], regions[i + 1], regions[i], *regions[i + 2 :])
                if problem.consider(replace(problem.case, **{field: swapped})):  # type: ignore[arg-type]  # a field of regions
                    again = True
                    break
