# SPDX-License-Identifier: GPL-2.0-only
"""Reduction: the exact minimum, in few calls, in one form for all namings, and never another bucket."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from engines.simulated.engines import RfcV1, Serial
from fuzz.campaign import shows
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.casefile import case_file
from memslots.machine import machine_of
from memslots.region import Region
from memslots.textreader import parse_case
from memslots.textwriter import text_of
from reducers.measure import measure
from reducers.minimal import one_step_smaller
from reducers.problem import OutOfBudget, Problem
from reducers.reduce import reduce_entries, reduced

TRIAL = Trial(Serial(), RfcV1())
PAGE = 4096


def case(text: str) -> Case:
    return parse_case(["slots 1", *text.splitlines()]).case


def first_bucket(of: Case) -> str:
    return TRIAL.verdict(of).findings[0].bucket


def unrelated(n: int, rng: Random) -> tuple[list[Region], list[Region]]:
    """Given regions and well-formed entries on slots and at places of their own: n entries."""
    given: list[Region] = []
    entries: list[Region] = []
    for i in range(n):
        slot = 100 + i
        region = Region(slot, 0, (0x10000 + 16 * i) * PAGE, PAGE * rng.randint(1, 8), 0x7000_0000_0000 + (i << 20))
        kind = rng.choice(("CREATE", "CREATE", "DELETE", "FLAGS_ONLY"))
        if kind == "CREATE":
            entries.append(region)
            continue
        given.append(region)
        entries.append(Region(slot, invalidate_slot=1) if kind == "DELETE" else region._replace(flags=1))
    return given, entries


NEEDS_THREE = """\
given slot=7 gpa=0x40000 size=0x4000 hva=0x100000700000
given slot=8 gpa=0x50000 size=0x4000 hva=0x100000800000
apply slot=7 size=0 invalidate
apply slot=9 gpa=0x60000 size=0x4000 hva=0x100000900000
apply slot=8 gpa=0x5e000 size=0x4000 hva=0x100000800000 invalidate"""
"""A MOVE that meets a CREATE of its own list, and the DELETE of another slot before it."""


def planted(text: str, entries: int, seed: int) -> Case:
    """The list of `text` among so many unrelated entries that there are `entries` in all."""
    rng = Random(seed)
    core = case(text)
    given, around = unrelated(entries - len(core.apply), rng)
    apply = list(around)
    for place, region in zip(sorted(rng.sample(range(entries), len(core.apply))), core.apply, strict=True):
        apply.insert(place, region)
    return replace(core, given=(*core.given, *given), apply=tuple(apply))


def three_entries_stay(candidate: Case) -> bool:
    """A predicate of the first kind that needs three certain entries, in order, and the slots they work on."""
    wanted = [(7, True), (9, False), (8, True)]
    found = [(r.slot, r.flagged) for r in candidate.apply if r.slot in (7, 8, 9)]
    return found == wanted and {7, 8} <= {r.slot for r in candidate.given}


@pytest.mark.parametrize("seed", range(5))
def test_three_entries_of_two_hundred_are_found_in_under_a_hundred_calls(seed: int) -> None:
    problem = Problem(planted(NEEDS_THREE, 200, seed), three_entries_stay, budget=100)
    reduce_entries(problem)
    assert len(problem.case.apply) == 3
    assert problem.calls < 100


REAL = """\
given slot=7 gpa=0x40000 size=0x4000 hva=0x100000700000
given slot=8 gpa=0x50000 size=0x4000 hva=0x100000800000
given slot=9 gpa=0x54000 size=0x4000 hva=0x100000900000
apply slot=8 size=0
apply slot=7 gpa=0x44000 size=0x4000 hva=0x100000700000
apply slot=9 size=0"""


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("text", "alone"),
    [
        (NEEDS_THREE.replace("0x5e000", "0x60000"), True),
        ("apply slot=3 gpa=0x1000 size=0x2000 hva=0x100000300000\napply slot=3 size=0 invalidate", True),
        (REAL, False),
    ],
    ids=["bug", "lookup", "stray"],
)
def test_two_hundred_entries_come_to_a_normal_form_in_under_two_thousand_calls(
    text: str, alone: bool, seed: int
) -> None:
    """`alone`: nothing of what is around it can take part in the mismatch, so there is one normal form."""
    core, big = case(text), planted(text, 200, seed)
    bucket = first_bucket(core)
    problem = reduced(big, shows(TRIAL, bucket))
    expected = reduced(core, shows(TRIAL, bucket)).case
    assert shows(TRIAL, bucket)(problem.case)
    assert problem.calls < 2_000
    assert len(problem.case.apply) == len(expected.apply)
    if alone:
        assert problem.case == expected


def findings_of(seed: int, most: int) -> Iterator[tuple[Case, str]]:
    """Cases of the grammar with a bucket each, one for a bucket."""
    rng = Random(seed)
    met: set[str] = set()
    while len(met) < most:
        drawn = case_of(drawn_choices(rng))
        for finding in TRIAL.verdict(drawn).findings[:1]:
            if finding.bucket not in met:
                met.add(finding.bucket)
                yield drawn, finding.bucket


WILD = list(findings_of(seed=3, most=40))


@pytest.mark.parametrize(("wild", "bucket"), WILD, ids=[bucket for _, bucket in WILD])
def test_a_reduced_case_is_minimal_stable_and_of_the_same_bucket(wild: Case, bucket: str) -> None:
    holds = shows(TRIAL, bucket)
    small = reduced(wild, holds).case
    assert holds(small)
    assert measure(small) <= measure(wild)
    assert reduced(small, holds).case == small, "not idempotent"
    for smaller in one_step_smaller(small):
        if measure(smaller) < measure(small):
            assert not holds(smaller), text_of(case_file(smaller))


@pytest.mark.parametrize(("wild", "bucket"), WILD[::3], ids=[bucket for _, bucket in WILD[::3]])
def test_all_namings_of_a_case_reduce_to_one_form(wild: Case, bucket: str) -> None:
    holds = shows(TRIAL, bucket)
    small = reduced(wild, holds).case
    rng = Random(bucket)
    for _ in range(5):
        other = renamed(small, rng)
        if holds(other):
            assert reduced(other, holds).case == small


def renamed(of: Case, rng: Random) -> Case:
    """The case with other ids and shifted places, within its limits."""
    ids = sorted({r.id for r in of.given + of.apply if r.id < of.machine.user_slots})
    fresh = dict(zip(ids, rng.sample(range(2000), len(ids)), strict=True)) if of.nent is None else {}
    top = max((r.guest_phys_addr + r.memory_size for r in of.given + of.apply), default=0)
    shift = rng.randrange(64) * PAGE if top < 1 << 30 else 0

    def other(region: Region) -> Region:
        slot = region.as_id << 16 | fresh.get(region.id, region.id)
        if not region.memory_size:
            return region._replace(slot=slot)
        place = region.guest_phys_addr + shift
        return region._replace(slot=slot, guest_phys_addr=place, userspace_addr=region.userspace_addr + 8 * shift)

    return replace(of, given=tuple(map(other, of.given)), apply=tuple(map(other, of.apply)))


def test_out_of_budget_is_the_smallest_so_far() -> None:
    big = planted(REAL, 100, 1)
    holds = shows(TRIAL, first_bucket(big))
    problem = reduced(big, holds, budget=10)
    assert problem.calls == 10
    assert holds(problem.case)
    assert len(problem.case.apply) < 100


def test_a_problem_asks_nothing_twice_and_takes_nothing_larger() -> None:
    calls: list[Case] = []
    small = case("apply slot=0 size=0")
    large = case("apply slot=0 size=0\napply slot=1 size=0")

    def always(candidate: Case) -> bool:
        calls.append(candidate)
        return False

    problem = Problem(large, always, budget=1)
    assert not problem.consider(small)
    assert not problem.consider(small)
    assert not problem.consider(case("apply slot=0 size=0\n" * 3))
    assert calls == [small]
    with pytest.raises(OutOfBudget):
        problem.consider(case("apply slot=1 size=0"))


def keeps(condition: Callable[[Case], bool]) -> Callable[[str], str]:
    return lambda text: text_of(case_file(reduced(case(text), condition).case))


def test_header_machine_and_faults_become_plain_where_they_do_not_matter() -> None:
    crowded = replace(
        case("list nent=7 header_flags=5\napply slot=3 size=0 flags=0x3 padding=01\nfault slot=2"),
        machine=machine_of("linux-6.18", {"max_gfn": 0xFFF}),
    )
    assert text_of(case_file(reduced(crowded, lambda candidate: len(candidate.apply) > 0).case)) == (
        "slots 1\napply slot=0 size=0\n"
    )


def test_what_matters_stays() -> None:
    keep = keeps(lambda c: c.entries == 131_073 and any(r.flags & 4 for r in c.apply))
    assert keep("list nent=131073\napply slot=5 size=0 flags=0xff\napply slot=6 size=0") == (
        "slots 1\nlist nent=131073\napply slot=0 size=0 flags=0x4\n"
    )


def test_touching_places_stay_touching() -> None:
    keep = keeps(
        lambda c: (
            len(c.apply) == 2
            and all(r.memory_size for r in c.apply)
            and c.apply[0].guest_phys_addr + c.apply[0].memory_size == c.apply[1].guest_phys_addr
        )
    )
    assert keep(
        "apply slot=9 gpa=0x70000 size=0x8000 hva=0x100000000000\n"
        "apply slot=4 gpa=0x78000 size=0x1000 hva=0x200000000000"
    ) == ("slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 gpa=0x1000 size=0x1000 hva=0x0\n")
