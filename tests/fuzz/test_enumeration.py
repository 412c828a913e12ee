# SPDX-License-Identifier: GPL-2.0-only
"""The numbered cases of a scope, held against all of its raw cases and their orbits, made the slow way."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, permutations, product
from math import factorial

import pytest

from engines.simulated.engines import RfcV1, Serial
from fuzz.enumeration import Enumeration
from fuzz.scope import Letter, Scope
from fuzz.trial import Trial
from memslots.case import Case
from memslots.slot import Slot
from memslots.textreader import parse_case
from oracles.backing import figures
from tests.fuzz.enumerations import SMALL

LOG = 1


Raw = tuple[tuple[Letter, ...], tuple[Letter, ...]]
"""A case as letters: the given ones in the order of their slots, and the list."""


def raw_cases(scope: Scope) -> Iterator[Raw]:
    """Every case, symmetries and all."""
    letters = scope.letters()
    slots = list(product(range(scope.spaces), range(scope.slots)))
    choices = [[None, *(x for x in letters if x[:2] == slot and x.npages and not x.invalidate)] for slot in slots]
    givens = []
    for chosen in product(*choices):
        given = tuple(letter for letter in chosen if letter is not None)
        pages = [(x.as_id, gfn) for x in given for gfn in range(x.base_gfn, x.base_gfn + x.npages)]
        if len(set(pages)) == len(pages) and all(gfn <= scope.machine.max_gfn for _, gfn in pages):
            givens.append(given)
    for n in range(scope.entries + 1):
        for given, apply in product(givens, product(letters, repeat=n)):
            yield given, apply


def orbit(scope: Scope, raw: Raw) -> set[Raw]:
    """The case under every name that its ids and pieces of memory may have, at every place where it fits."""
    slots = list(product(range(scope.spaces), range(scope.slots)))
    bases = [letter.base_gfn for part in raw for letter in part if letter.npages]
    ends = [letter.base_gfn + letter.npages for part in raw for letter in part if letter.npages]
    shifts = range(-min(bases), scope.gfns - max(ends) + 1) if bases and scope.shifts else [0]
    found = set()
    for ids in permutations(range(scope.slots)):
        for swapped in product(range(scope.hvas), repeat=len(slots)):
            for shift in shifts:

                def image(
                    x: Letter, ids: tuple[int, ...] = ids, swapped: tuple[int, ...] = swapped, shift: int = shift
                ) -> Letter:
                    if not x.npages:
                        return x._replace(id=ids[x.id])
                    hva = x.hva ^ swapped[slots.index(x[:2])]
                    return x._replace(id=ids[x.id], base_gfn=x.base_gfn + shift, hva=hva)

                found.add((tuple(sorted(map(image, raw[0]))), tuple(map(image, raw[1]))))
    return found


def order(raw: Raw) -> tuple[object, ...]:
    given, apply = raw
    places = tuple((x.as_id, x.id, x.base_gfn, x.npages, x.flags, x.hva) for x in given)
    return len(apply), len(given), places, apply


def letters_of(scope: Scope, case: Case) -> Raw:
    known = {scope.region(letter): letter for letter in scope.letters()}
    assert len(known) == len(scope.letters())
    return tuple(known[region] for region in case.given), tuple(known[region] for region in case.apply)


@pytest.mark.parametrize("scope", SMALL.values(), ids=SMALL)
def test_the_cases_are_the_first_of_every_orbit_each_once_and_in_order(scope: Scope) -> None:
    firsts: set[Raw] = set()
    met: set[Raw] = set()
    raw = list(raw_cases(scope))
    for each in raw:
        if each not in met:
            members = orbit(scope, each)
            met |= members
            firsts.add(min(members, key=order))
    assert met == set(raw), "an orbit stays within the scope"
    enumeration = Enumeration(scope)
    assert [letters_of(scope, case) for case in enumeration.cases(0, enumeration.total)] == sorted(firsts, key=order)
    assert enumeration.total == len(firsts)
    assert scope.lists == len(raw)
    assert scope.given_states == len({given for given, _ in raw})


def fixed(scope: Scope, ids: int, gfns: int) -> int:
    """How many raw cases are left where so many ids keep their names, on so many gfns."""
    if not ids:
        return 1
    if not gfns:
        deletes = scope.spaces * ids * len(scope.invalidate)
        return sum(deletes**n for n in range(scope.entries + 1))
    return replace(scope, slots=ids, gfns=gfns).lists


def orbits(scope: Scope) -> int:
    """How many there are, by Burnside's lemma: no letter stays as it is when its id is renamed.

    Of the cases with a region one stays at each lowest gfn, so those that fit into one gfn less are taken off.
    """
    total = 0
    for ids in permutations(range(scope.slots)):
        kept = sum(i == name for i, name in enumerate(ids))
        total += fixed(scope, kept, scope.gfns) - fixed(scope, kept, scope.gfns - 1) + fixed(scope, kept, 0)
    assert total % factorial(scope.slots) == 0
    return total // factorial(scope.slots)


@pytest.mark.parametrize(
    "scope",
    [
        Scope(),
        Scope(entries=3),
        Scope(entries=3, gfns=3),
        Scope(entries=4, slots=3, gfns=3),
        Scope(entries=3, spaces=2, gfns=2),
        Scope(flags=(0, 1, 2, 3)),
        Scope(entries=3, memory="follow"),
        Scope(entries=3, slots=3, gfns=3, memory="mixed"),
        *(scope for scope in SMALL.values() if scope.hvas == 1 and scope.shifts),
    ],
    ids=str,
)
def test_the_total_is_what_burnside_counts(scope: Scope) -> None:
    assert Enumeration(scope).total == orbits(scope)


@pytest.mark.parametrize("scope", SMALL.values(), ids=SMALL)
def test_a_number_has_its_case_and_a_stretch_its_numbers(scope: Scope) -> None:
    enumeration = Enumeration(scope)
    total = enumeration.total
    cases = list(enumeration.cases(0, total))
    assert len(cases) == total
    step = max(total // 300, 1)
    assert [enumeration.case(number) for number in range(0, total, step)] == cases[::step]
    assert enumeration.case(total - 1) == cases[-1]
    cuts = sorted({0, 1, total // 7, total // 3, total // 3 + 1, total - 1, total})
    parts = [list(enumeration.cases(begin, end)) for begin, end in pairwise(cuts)]
    assert [case for part in parts for case in part] == cases
    assert list(enumeration.cases(5, 5)) == []


def test_one_given_state_is_one_object_for_all_its_lists() -> None:
    """The engines know the latest one again by that."""
    scope = Scope(entries=2, gfns=2)
    objects = {(len(case.apply), case.given): set[int]() for case in Enumeration(scope).cases(0, 2000)}
    kept = list(Enumeration(scope).cases(0, 2000))
    for case in kept:
        objects[len(case.apply), case.given].add(id(case.given))
    assert {len(ids) for ids in objects.values()} == {1}


@pytest.mark.parametrize(
    "name",
    [
        "flagged, two flags",
        "three ids",
        "a second piece of memory",
        "two of everything",
        "memory that follows the gfn",
        "memory that follows, flagged",
        "memory that follows, two spaces",
        "memory of both kinds",
    ],
)
def test_all_cases_of_an_orbit_show_the_same_buckets(name: str) -> None:
    """What makes it sound to try one of them."""
    scope = SMALL[name]
    trial = Trial(Serial(), RfcV1(aftermath=False))
    met: set[Raw] = set()
    shown: set[str] = set()
    for raw in raw_cases(scope):
        if raw in met:
            continue
        members = orbit(scope, raw)
        met |= members
        buckets = {tuple(finding.bucket for finding in trial.verdict(made(scope, each)).findings) for each in members}
        assert len(buckets) == 1, (raw, buckets)
        shown.update(*buckets)
    assert shown


def made(scope: Scope, raw: Raw) -> Case:
    given, apply = (tuple(map(scope.region, part)) for part in raw)
    return Case(apply, given, scope.machine)


@pytest.mark.parametrize("memory", ["follow", "mixed"])
def test_where_memory_follows_the_gfn_slots_are_split_merged_and_renamed_over_the_same_memory(memory: str) -> None:
    scope = Scope(entries=3, gfns=2, flags=(0,), invalidate=(0,), memory=memory)
    merge = (
        "given slot=0 gpa=0x0 size=0x1000 hva=0x0",
        "given slot=1 gpa=0x1000 size=0x1000 hva=0x1000",
        *("apply slot=0 size=0", "apply slot=1 size=0", "apply slot=0 gpa=0x0 size=0x2000 hva=0x0"),
    )
    split = (
        "given slot=0 gpa=0x0 size=0x2000 hva=0x0",
        "apply slot=0 size=0",
        "apply slot=0 gpa=0x0 size=0x1000 hva=0x0",
        "apply slot=1 gpa=0x1000 size=0x1000 hva=0x1000",
    )
    rename = (
        "given slot=0 gpa=0x0 size=0x1000 hva=0x0",
        *("apply slot=0 size=0", "apply slot=1 gpa=0x0 size=0x1000 hva=0x0"),
    )
    wanted = {parse_case(["slots 1", *lines]).case for lines in (merge, split, rename)}
    enumeration = Enumeration(scope)
    assert wanted - set(enumeration.cases(0, enumeration.total)) == set()
    own = Enumeration(replace(scope, memory="own"))
    assert wanted & set(own.cases(0, own.total)) == set()


def test_readers_may_lose_a_gfn_to_another_slot_where_memory_follows_it() -> None:
    """Slots of their own memory share none: there, only a slot that comes back to its place can be missed."""
    renamed: dict[str, set[bool]] = {}
    for memory in ("own", "follow"):
        enumeration = Enumeration(Scope(entries=2, gfns=2, flags=(0,), invalidate=(0,), memory=memory))
        for case in enumeration.cases(0, enumeration.total):
            outcome = Serial().apply(case, record=True)
            cost = figures(outcome)
            assert cost is not None
            ids = (
                {holder(sets[0], loss.base_gfn) for sets in (outcome.before, outcome.active)} for loss in cost.unbacked
            )
            renamed.setdefault(memory, set()).update(len(of_loss) > 1 for of_loss in ids)
    assert renamed == {"own": {False}, "follow": {False, True}}


def holder(slots: tuple[Slot, ...], gfn: int) -> int:
    """The id of the slot that backs this gfn."""
    return next(slot.id for slot in slots if slot.base_gfn <= gfn < slot.base_gfn + slot.npages)
