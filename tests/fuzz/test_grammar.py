# SPDX-License-Identifier: GPL-2.0-only
"""The grammar: total, near to what is live, and without a dead branch."""

from collections import Counter
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cache
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.simulated.boot import at_rest
from engines.simulated.engines import RfcV1, Serial
from engines.simulated.plain import PlainVm
from fuzz.boundaries import at_a_limit
from fuzz.choices import CHUNK, LISTS_OF_A_STATE, bytes_from_choices, choices_from_bytes, drawn, drawn_choices
from fuzz.grammar import MACHINES, case_of
from fuzz.header import NENTS
from fuzz.layout import BASE, GESTURE, GESTURE_FIELDS, GIVEN, HEAD_FIELDS, NPAGES, REST, SLOT, spread, spread_head
from fuzz.profiles import GESTURES, PROFILES, TABLE, profile
from fuzz.signature import changes_of
from fuzz.statistics import counted, statistics_of
from fuzz.strategies import cases
from fuzz.trial import Trial
from memslots.case import FAULT_KINDS, Case
from memslots.machine import DEFAULT_MACHINE
from memslots.region import FIELD_MAXIMA, Region
from memslots.slot import slot_of
from memslots.uapi import PADDING_BYTES, TASK_SIZE_MAX, U32

CASES = 4_000


@given(st.lists(st.integers(min_value=0)))
def test_any_numbers_make_a_case(choices: list[int]) -> None:
    assert isinstance(case_of(choices), Case)


@given(st.binary(max_size=200))
def test_any_bytes_make_a_case_whose_fields_fit(data: bytes) -> None:
    case = case_of(choices_from_bytes(data))
    for region in case.given + case.apply:
        assert all(0 <= getattr(region, field) <= most for field, most in FIELD_MAXIMA.items())
        assert len(region.padding) == PADDING_BYTES


@given(cases())
def test_given_is_accepted_and_both_engines_take_the_case(case: Case) -> None:
    Serial().apply(case)
    RfcV1().apply(case)


@given(st.lists(st.integers(0, (1 << 48) - 1)))
def test_bytes_spell_the_choices_they_were_made_of(choices: list[int]) -> None:
    assert choices_from_bytes(bytes_from_choices(choices)) == choices


def test_the_same_seed_draws_the_same_cases() -> None:
    def draw() -> list[Case]:
        return [case_of(choices) for choices in islice(drawn(Random(7)), 200)]

    assert draw() == draw()


def test_a_given_state_is_drawn_for_a_few_lists_that_differ() -> None:
    """And engines find its slots known, though another case may have been tried in between."""
    cases = [case_of(choices) for choices in islice(drawn(Random(7)), 400 * LISTS_OF_A_STATE)]
    for i in range(0, len(cases), LISTS_OF_A_STATE):
        first, *others = cases[i : i + LISTS_OF_A_STATE]
        assert all(other.given is first.given and other.machine is first.machine for other in others)
    assert len({(case.given, case.machine) for case in cases}) > 300
    assert len(set(cases)) > 0.95 * len(cases)
    headers = [(case.nent, case.header_flags) for case in cases]
    assert any(header != headers[i + 1] for i, header in enumerate(headers[:-1]) if (i + 1) % LISTS_OF_A_STATE)


def test_a_list_does_not_touch_the_state_that_others_begin_with() -> None:
    """Whether a case is drawn first of its state or after others, it is the same and so is its state."""
    for choices in islice(drawn(Random(3)), 400):
        case = case_of(choices)
        slots = at_rest(case).vm.walk()
        case_of([*choices, *choices[1:]])
        again = case_of(choices)
        assert again == case
        assert at_rest(again).vm.walk() == at_rest(again).walk == slots


def test_one_byte_changes_at_most_two_entries_on_average() -> None:
    rng = Random(1)
    changed: list[int] = []
    for _ in range(2_000):
        data = bytearray(bytes_from_choices(drawn_choices(rng)[:12]))
        before = case_of(choices_from_bytes(bytes(data)))
        at = rng.randrange(CHUNK, len(data))
        data[at] ^= rng.randrange(1, 256)
        after = case_of(choices_from_bytes(bytes(data)))
        changed.append(_differing(before, after))
    assert sum(changed) / len(changed) <= 2
    assert max(changed) > 0


def _differing(before: Case, after: Case) -> int:
    """How many entries of the two lists have no equal in the other, in order."""
    one, other = before.given + before.apply, after.given + after.apply
    same = sum(block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())
    return max(len(one), len(other)) - same


@cache
def statistics() -> dict[str, Counter[str]]:
    return counted(Trial(Serial(), RfcV1()), seed=1, cases=CASES)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *[
            ("changes", f"{change}{flag}")
            for change in ("CREATE", "DELETE", "MOVE", "FLAGS_ONLY", "NO_OP", "UNKNOWN")
            for flag in ("", "!")
        ],
        *[("answers of serial", errno) for errno in ("ok", "EINVAL", "EEXIST")],
        *[
            ("the case", trait)
            for trait in (
                "given state",
                "a slot more than once",
                "both address spaces",
                "more than 32 entries",
                "nent short",
                "nent long",
                "header flags",
                "padding",
                "invalidate_slot above 1",
                "profile linux-6.1",
                "profile linux-6.18",
                "max_gfn",
                "no readonly support",
                *(f"fault {kind}" for kind in FAULT_KINDS),
            )
        ],
        *[
            ("engine ended", ended)
            for ended in ("ok", "EINVAL", "EEXIST", "EIO", "ENOMEM", "hung", "corrupt", "returned-1")
        ],
        *[("faults met", kind) for kind in FAULT_KINDS],
        *[("engine ended", f"crashed-{kind}") for kind in ("bug", "null-dereference")],
        *[
            ("parting", parting)
            for parting in (
                *("P1 refuse", "P1 lock", "P1 warn", "P2 refuse", "P2 stray", "P2 early-publish", "P2 damage"),
                *("P2 crashed", "P2 warn", "P3 crashed", "before P1 unnoticed", "before P1 refuse"),
            )
        ],
    ],
)
def test_no_branch_of_the_grammar_is_dead(kind: str, name: str) -> None:
    assert statistics()[kind][name] >= CASES / 2000, statistics()[kind]


def test_most_cases_have_a_given_state() -> None:
    assert statistics()["the case"]["given state"] > CASES / 2


def test_a_fair_part_of_the_lists_goes_through_in_serial() -> None:
    """Lists that all fail at their first entry show nothing of what is behind it."""
    accepted = CASES - statistics()["answers of serial"]["EINVAL"] - statistics()["answers of serial"]["EEXIST"]
    assert accepted > CASES / 10


def test_every_gesture_every_machine_and_every_nent_can_be_chosen() -> None:
    assert set(profile(0).gestures) == set(GESTURES)
    drawn = [profile(number) for number in range(PROFILES)]
    assert {gesture for each in drawn for gesture in each.gestures} == set(GESTURES)
    assert all(len(each.gestures) == len(each.flagged_right) == TABLE for each in drawn)
    machines = {case_of([number << 8, 0]).machine for number in range(len(MACHINES))}
    assert machines == set(MACHINES)
    nents = {case_of([(31 | value << 5) << 14, 0]).entries for value in range(len(NENTS))}
    assert nents == set(NENTS)


GESTURE_WORDS = {
    "put": "CREATE",
    "delete": "DELETE!",
    "move": "MOVE!",
    "flags": "FLAGS_ONLY",
    "no-op": "NO_OP",
    "resize": "DELETE! CREATE",
    "split": "DELETE! CREATE CREATE",
    "merge": "DELETE! DELETE! CREATE",
    "exchange": "DELETE! DELETE! CREATE CREATE",
    "toggle": "DELETE! CREATE",
    "log all": "FLAGS_ONLY FLAGS_ONLY",
    "reset": "DELETE! DELETE! CREATE CREATE",
    "boundary": "UNKNOWN!",
}


@pytest.mark.parametrize("gesture", GESTURES)
def test_each_gesture_writes_what_it_says(gesture: str) -> None:
    """On two slots of four pages at 0x0 and at 0x8; a gesture that asks for a slot that is not there gets another."""
    put, at = GESTURE.saying(GESTURES.index("put")), GESTURES.index(gesture)
    head = GIVEN.saying(2)
    slots = [put | SLOT.saying(i) | BASE.saying(8 * i) | NPAGES.saying(3) for i in (0, 1)]
    slot = 3 if gesture == "put" else 0
    # Of what is left: 13 deletes nothing and aims nowhere; a boundary's field is its flags there.
    rest = {"boundary": 0, "flags": 1, "log all": 1, "put": 0, "split": 1 | 3 << 2}.get(gesture, 0)
    case = case_of([head, *slots, GESTURE.saying(at) | SLOT.saying(slot) | BASE.saying(20) | REST.saying(rest)])
    assert len(case.given) == 2
    assert " ".join(change.split()[0] for change in changes_of(case)) == GESTURE_WORDS[gesture]


def test_two_slots_can_swap_places_by_moves_too() -> None:
    slots = [GESTURE.saying(0) | SLOT.saying(i) | BASE.saying(8 * i) | NPAGES.saying(3) for i in (0, 1)]
    exchange = GESTURE.saying(GESTURES.index("exchange")) | REST.saying(1 << 3)
    case = case_of([GIVEN.saying(2), *slots, exchange])
    assert [(r.slot, r.guest_phys_addr >> 12) for r in case.apply] == [(0, 8), (1, 0)]


@pytest.mark.parametrize(
    ("where", "base"), [(0, 8), (1, 12), (2, 4), (3, 11)], ids=["equal", "touch", "below", "overlap"]
)
def test_a_put_can_aim_beside_a_live_slot(where: int, base: int) -> None:
    live = GESTURE.saying(0) | SLOT.saying(0) | BASE.saying(8) | NPAGES.saying(3)
    beside = GESTURE.saying(0) | SLOT.saying(1) | NPAGES.saying(3) | REST.saying(1 << 8 | where << 12)
    case = case_of([GIVEN.saying(1), live, beside])
    assert case.apply[0].guest_phys_addr >> 12 == base


def test_every_field_is_tried_at_its_limits() -> None:
    """Over all values of the bits that choose: what stands in the tables of the uAPI is in some entry."""
    slot = Region(1, 0, 0x2000, 0x2000, 0x1000_0000_0000)
    machine = MACHINES[0]
    old = slot_of(slot, machine.page_shift)
    entries = {
        at_a_limit(machine, slot, here, right, rest)
        for rest in range(1 << 17)
        for here, right in ((None, True), (old, False))
    }
    top = machine.max_gfn + 1 << 12
    assert {r.id for r in entries} >= {32763, 32764, 32765, 32766, 32767, 0xFFFF}
    assert {r.as_id for r in entries} >= {0, 1, 2, 3, 0xFFFF}
    assert {r.flags for r in entries} >= {1, 2, 4, 1 << 16, 1 << 17, U32}
    assert {r.guest_phys_addr + r.memory_size for r in entries} >= {top - 4096, top, top + 4096, 1 << 64}
    assert {r.guest_phys_addr % 4096 for r in entries} >= {0, 1, 2048, 4095}
    assert {r.memory_size % 4096 for r in entries} >= {0, 1, 2048, 4095}
    assert {r.memory_size >> 12 for r in entries} >= {0, (1 << 31) - 2, (1 << 31) - 1, 1 << 31, (1 << 52) - 1}
    assert {r.userspace_addr + r.memory_size for r in entries} >= {
        TASK_SIZE_MAX - 4096,
        TASK_SIZE_MAX,
        TASK_SIZE_MAX + 4096,
    }
    assert max(r.userspace_addr for r in entries) >= (1 << 64) - 0x3000
    assert {r.userspace_addr % 4096 for r in entries} >= {0, 1, 2048, 4095}
    assert {r.invalidate_slot for r in entries} >= {0, 1, 2, 3, 128, 254, 255}
    assert any(r.memory_size == 0 and r.id >= 32764 for r in entries)
    assert any(r.memory_size == 0 and r.as_id >= 2 for r in entries)
    assert any(any(r.padding) for r in entries)


def test_profiles_differ_in_what_they_favour() -> None:
    assert len({profile(number).gestures for number in range(PROFILES)}) > PROFILES / 2
    assert any("delete" not in profile(number).gestures for number in range(PROFILES))
    assert any(all(profile(number).flagged_right) for number in range(1, PROFILES))


def test_statistics_are_shares_of_the_cases() -> None:
    lines = list(statistics_of(Trial(Serial(), RfcV1()), seed=1, cases=50))
    assert lines[0].startswith("50 cases, seed 1")
    shares = [float(line.split("%")[0]) for line in lines if line.startswith("  ")]
    assert len(shares) > 20
    assert all(0 < share <= 100 for share in shares)


@given(st.integers(0, (1 << 48) - 1))
def test_a_choice_is_spread_into_its_fields(choice: int) -> None:
    assert spread(choice) == tuple(bits.of(choice) for bits in GESTURE_FIELDS)
    assert sum(bits.saying(bits.of(choice)) for bits in GESTURE_FIELDS) == choice


@given(st.integers(0, (1 << 48) - 1))
def test_a_head_is_spread_into_its_fields(head: int) -> None:
    assert spread_head(head) == tuple(bits.of(head) for bits in HEAD_FIELDS)


def test_the_slots_that_a_drawn_case_begins_with_are_those_that_its_given_leaves() -> None:
    """The grammar hands them over, so that no engine applies `given` again."""

    def state(vm: PlainVm) -> object:
        slots = [(sorted(memslots.by_id.items()), sorted(memslots.by_base.items())) for memslots in vm.sets]
        return slots, [memslots.walk() for memslots in vm.sets], vm.swaps, vm.rollbacks, vm.nr_memslot_pages

    for choices in islice(drawn(Random(2)), CASES):
        case = case_of(choices)
        handed_over, walk = at_rest(case)
        applied, walk_of_applied = at_rest(replace(case, machine=replace(case.machine)))
        assert applied is not handed_over
        assert state(handed_over) == state(applied)
        assert walk == walk_of_applied


def test_a_real_machine_is_given_no_faults() -> None:
    rng = Random(3)
    choices = [drawn_choices(rng) for _ in range(500)]
    assert any(case_of(each).faults for each in choices)
    assert not any(case_of(each, DEFAULT_MACHINE).faults for each in choices)
