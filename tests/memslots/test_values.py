# SPDX-License-Identifier: GPL-2.0-only
"""The values: what overlaps, how a request becomes a slot, what a machine can be, which entries a header names."""

from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots.case import Case
from memslots.errors import BadCase
from memslots.machine import DEFAULT_MACHINE, PROFILES, Machine, machine_of
from memslots.region import FIELD_MAXIMA, ZERO_REGION, Region
from memslots.slot import Gfn, Slot, slot_of
from memslots.textreader import parse_case
from memslots.uapi import U32


def case_of(*lines: str) -> Case:
    return parse_case(["slots 1", *lines]).case


small_slots = st.builds(
    Slot,
    as_id=st.integers(0, 1),
    id=st.integers(0, 1),
    base_gfn=st.integers(0, 6).map(Gfn),
    npages=st.integers(1, 4),
    userspace_addr=st.just(0),
    flags=st.just(0),
)


def gfns(slot: Slot) -> set[tuple[int, int]]:
    return {(slot.as_id, gfn) for gfn in range(slot.base_gfn, slot.end_gfn)}


@given(a=small_slots, b=small_slots)
def test_slots_overlap_where_they_hold_a_gfn_both(a: Slot, b: Slot) -> None:
    assert a.overlaps(b) == bool(gfns(a) & gfns(b))


def test_neighbours_do_not_overlap_and_address_spaces_never_do() -> None:
    low = Slot(0, 0, Gfn(0), 2, 0, 0)
    assert not low.overlaps(replace_base(low, 2))
    assert low.overlaps(replace_base(low, 1))
    assert not low.overlaps(low._replace(as_id=1))


def replace_base(slot: Slot, base_gfn: int) -> Slot:
    return slot._replace(base_gfn=Gfn(base_gfn))


@given(region=st.from_type(Region), page_shift=st.integers(12, 16))
def test_a_slot_is_its_request_in_pages(region: Region, page_shift: int) -> None:
    slot = slot_of(region, page_shift)
    assert (slot.as_id, slot.id) == divmod(region.slot, 1 << 16) == (region.as_id, region.id)
    assert slot.base_gfn == region.guest_phys_addr // (1 << page_shift)
    assert slot.npages == region.memory_size // (1 << page_shift)
    assert (slot.userspace_addr, slot.flags) == (region.userspace_addr, region.flags)


def test_a_slot_of_a_request_is_in_pages_of_the_machine() -> None:
    [region] = case_of("apply slot=1:5 gpa=0x30000 size=0x20000 hva=0x7000 flags=READONLY").apply
    assert slot_of(region, 12) == Slot(1, 5, Gfn(0x30), 0x20, 0x7000, 2)
    assert slot_of(region, 16) == Slot(1, 5, Gfn(3), 2, 0x7000, 2)


def test_slots_sort_by_address_space_and_id() -> None:
    slots = [Slot(as_id, i, Gfn(9 - i), 1, 0, 0) for i in range(3) for as_id in (0, 1)]
    assert [(slot.as_id, slot.id) for slot in sorted(slots)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize("value", [1, 2, 255])
def test_any_value_but_zero_flags_an_entry(value: int) -> None:
    assert Region(invalidate_slot=value).flagged
    assert not ZERO_REGION.flagged


def test_every_number_of_a_request_has_a_largest_value() -> None:
    assert set(FIELD_MAXIMA) == set(Region._fields) - {"padding"}


LIMITS = {
    "address_spaces": (1, 2),
    "page_size": (4096, 65536),
    "max_gfn": (0, (1 << 52) - 1),
    "user_slots": (1, 32767),
    "readonly": (0, 1),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_machine_keeps_within_its_limits(name: str) -> None:
    least, most = LIMITS[name]
    for value in (least, most):
        assert getattr(machine_of("linux-6.1", {name: value}), name) == value
    for value in (least - 1, most + 1, -1, 1 << 64):
        with pytest.raises(BadCase, match=f"^machine: {name}=-?0x[0-9a-f]+: expected {least:#x} to {most:#x}$"):
            machine_of("linux-6.1", {name: value})


@pytest.mark.parametrize("shift", range(12, 17))
def test_a_page_size_is_a_power_of_two(shift: int) -> None:
    assert machine_of("linux-6.1", {"page_size": 1 << shift}).page_shift == shift
    with pytest.raises(BadCase, match=r"expected a power of two|expected 0x1000 to 0x10000"):
        machine_of("linux-6.1", {"page_size": (1 << shift) + 4})


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_overrides_nothing_and_bears_its_name(profile: str) -> None:
    assert machine_of(profile, {}) == PROFILES[profile]
    assert PROFILES[profile].profile == profile
    assert PROFILES[profile].overrides() == {}


def test_the_profiles_differ_in_their_address_spaces() -> None:
    assert PROFILES["linux-6.1"].address_spaces == 2
    assert PROFILES["linux-6.18"].address_spaces == 1
    assert replace(PROFILES["linux-6.18"], profile="linux-6.1", address_spaces=2) == DEFAULT_MACHINE


@given(machine=st.from_type(Machine))
def test_a_machine_is_its_profile_and_its_overrides(machine: Machine) -> None:
    assert machine_of(machine.profile, machine.overrides()) == machine


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        (("apply slot=1", "apply slot=2"), [1, 2]),
        (("list nent=0", "apply slot=1", "apply slot=2"), []),
        (("list nent=1", "apply slot=1", "apply slot=2"), [1]),
        (("list nent=2", "apply slot=1", "apply slot=2"), [1, 2]),
        (("list nent=4", "apply slot=1", "apply slot=2"), [1, 2, 0, 0]),
        (("list nent=2",), [0, 0]),
        (("list nent=0",), []),
    ],
)
def test_the_header_names_the_first_entries_and_zeros_behind_them(lines: tuple[str, ...], ids: list[int]) -> None:
    case = case_of(*lines)
    assert [region.id for region in case.named()] == ids
    assert case.entries == len(ids)
    assert list(case.named())[len(case.apply) :] == [ZERO_REGION] * (len(ids) - len(case.apply))


def test_the_longest_list_is_named_one_entry_at_a_time() -> None:
    case = case_of("list nent=4294967295", "apply slot=1")
    assert case.entries == U32
    assert [region.id for region in islice(case.named(), 3)] == [1, 0, 0]
