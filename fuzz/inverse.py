# SPDX-License-Identifier: GPL-2.0-only
"""The inverse of the grammar: choices that spell a given case, so that the corpus seeds a coverage-guided fuzzer.

What the grammar has no words for (hundreds of slots, addresses far apart, fields off by a byte) is brought as near as
it goes: ids and addresses are named by their order, so that what touched or overlapped still does.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from engines.simulated.plain import PlainVm
from fuzz.grammar import MACHINES, MOST_GIVEN, Grammar, memory_of
from fuzz.header import spelt_header
from fuzz.layout import (
    BASE,
    FLAGS,
    GESTURE,
    GIVEN,
    LONG,
    MACHINE,
    NPAGES,
    REST,
    RIGHT,
    SLOT,
    SPACE,
)
from fuzz.profiles import GESTURES, TABLE, profile
from memslots.case import Case
from memslots.region import Region

_PUT = profile(0).gestures.index("put")
_RIGHT = profile(0).flagged_right.index(True)
_WRONG = profile(0).flagged_right.index(False)
_DELETES = 15
"""The value of the lowest four bits of a put's rest that makes it a DELETE."""
_OTHER_MEMORY = 15 << 4
assert GESTURES[0] == "put"
assert TABLE == 64


def choices_of(case: Case) -> list[int]:
    """Choices of profile 0 that `case_of` reads as this case, or as one that is near to it."""
    near = _named_by_order(replace(case, given=_that_matter(case)))
    given = near.given
    grammar = Grammar(profile(0), PlainVm(near.machine))
    spelt = [_spelt(grammar, region) for region in given]
    grammar.accepted()
    spelt += [_spelt(grammar, region) for region in near.apply]
    machine = MACHINES.index(near.machine) if near.machine in MACHINES else 0
    head = MACHINE.saying(machine) | GIVEN.saying(len(given)) | spelt_header(near)
    return [head, *spelt]


def _spelt(grammar: Grammar, region: Region) -> int:
    """The choice for one region, given what is live before it; the grammar goes on as if it had read it."""
    shift = grammar.machine.page_shift
    base, npages = region.guest_phys_addr >> shift, region.memory_size >> shift
    spaces = grammar.machine.address_spaces
    as_id = min(region.as_id, spaces - 1)
    old = grammar.vm.sets[as_id].by_id.get(region.id)
    changes_place = npages == 0 or (old is not None and old.base_gfn != base)
    right = region.flagged == changes_place
    choice = GESTURE.saying(_PUT) | RIGHT.saying(_RIGHT if right else _WRONG) | SLOT.saying(region.id)
    choice |= SPACE.saying(3 if as_id else 0) | BASE.saying(base) | NPAGES.saying(npages - 1)
    choice |= FLAGS.saying(region.flags) | LONG.saying(1)
    rest = _DELETES if npages == 0 else 0
    if npages and region.userspace_addr != memory_of(as_id, region.id):
        rest |= _OTHER_MEMORY
    choice |= REST.saying(rest)
    grammar.add(choice)
    return choice


def _that_matter(case: Case) -> tuple[Region, ...]:
    """As many given regions as fit: first those whose slots the list names, then those whose places it touches."""
    if len(case.given) <= MOST_GIVEN:
        return case.given
    named = {region.slot for region in case.apply}
    touched = [region for region in case.apply if region.memory_size]

    def distance(i: int) -> tuple[bool, bool, int]:
        region = case.given[i]
        return region.slot not in named, not any(_meet(region, other) for other in touched), i

    kept = sorted(sorted(range(len(case.given)), key=distance)[:MOST_GIVEN])
    return tuple([case.given[i] for i in kept])


def _meet(one: Region, other: Region) -> bool:
    """Whether the two overlap, or touch, in one address space."""
    return (
        one.as_id == other.as_id
        and one.guest_phys_addr <= other.guest_phys_addr + other.memory_size
        and other.guest_phys_addr <= one.guest_phys_addr + one.memory_size
    )


def _named_by_order(case: Case) -> Case:
    """The case with ids 0 to 7 by first appearance in each address space, places by rank, the grammar's memory."""
    regions = case.given + case.apply
    shift = case.machine.page_shift
    ids: dict[int, int] = {}
    used = Counter[int]()
    for region in regions:
        if region.slot not in ids:
            ids[region.slot] = used[region.as_id] & 7
            used[region.as_id] += 1
    ends = sorted({end >> shift for region in regions for end in _ends(region)})
    plain = len(ends) > 0 and ends[-1] < 32 and all(r.memory_size >> shift <= 8 for r in regions)
    place = {end: end if plain else i for i, end in enumerate(ends)}
    memory: dict[int, int] = {}

    def near(region: Region) -> Region:
        first = memory.setdefault(region.slot, region.userspace_addr) if region.memory_size else 0
        begin, end = (place.get(each >> shift, 0) for each in (*_ends(region), 0, 0)[:2])
        own = memory_of(region.as_id & 1, ids[region.slot])
        return Region(
            region.as_id << 16 | ids[region.slot],
            region.flags,
            begin << shift,
            end - begin << shift if region.memory_size else 0,
            own if region.userspace_addr == first else own + 1,
            region.invalidate_slot,
        )

    return Case(
        given=tuple(map(near, case.given)),
        apply=tuple(map(near, case.apply)),
        machine=case.machine,
        nent=case.nent,
        header_flags=case.header_flags,
        faults=case.faults,
    )


def _ends(region: Region) -> Iterator[int]:
    """Both ends of a region in bytes; none for a DELETE, whose place is nobody's."""
    if region.memory_size:
        yield region.guest_phys_addr
        yield region.guest_phys_addr + region.memory_size
