# SPDX-License-Identifier: GPL-2.0-only
"""Whatever a case holds: an outcome, no exception; both kernels of an engine agree; serial is what b.3 and b.4 say."""

from dataclasses import replace
from errno import EEXIST, EINVAL

from hypothesis import given, settings
from hypothesis import strategies as st

from engines.ideal.engine import Ideal
from engines.simulated.boot import at_rest
from engines.simulated.engines import RfcV1, Serial
from engines.simulated.plain_list import followed
from fuzz.trial import Trial
from memslots.case import FAULT_KINDS, Case
from memslots.errors import BadCase
from memslots.machine import DEFAULT_MACHINE, PROFILES, Machine
from memslots.region import Region
from memslots.uapi import U32, U64

FAST = settings(max_examples=200, deadline=None)

MACHINES = st.sampled_from(
    [
        *[DEFAULT_MACHINE] * 3,
        PROFILES["linux-6.18"],
        replace(DEFAULT_MACHINE, max_gfn=0xF),
        replace(DEFAULT_MACHINE, page_size=16384, readonly=0),
        replace(DEFAULT_MACHINE, user_slots=2),
    ]
)

WILD = st.builds(
    Region,
    st.integers(0, U32),
    st.integers(0, U32),
    st.integers(0, U64),
    st.integers(0, U64),
    st.integers(0, U64),
    st.integers(0, 255),
)

LAST_PAGE, FIRST_BEYOND = ((1 << 40) - 1) << 12, 1 << 52
TAME = st.builds(
    Region,
    st.sampled_from([0, 0, 1, 1, 2, 3, 0x10000, 0x10001]),
    st.sampled_from([0, 0, 0, 1, 1, 2]),
    st.sampled_from([0x0, 0x0, 0x1000, 0x2000, 0x3000, 0x4000, 0x8000, 0xF000]),
    st.sampled_from([0, 0, 0, 0x1000, 0x1000, 0x1000, 0x2000, 0x4000]),
    st.sampled_from([0, 0, 0x100000000000]),
    st.sampled_from([0, 0, 1]),
)
AT_LIMITS = st.builds(
    Region,
    st.sampled_from([0, 1, 32763, 32764, 0x10000, 0x20000, U32]),
    st.sampled_from([0, 0, 1, 2, 3, 4]),
    st.sampled_from([0x0, 0x1, 0x1000, 0x4000, 0x10000, LAST_PAGE, FIRST_BEYOND, U64 - 0xFFF, U64]),
    st.sampled_from([0, 0x1, 0x1000, 0x2000, 0x4000, ((1 << 31) - 1) << 12, 1 << 43, U64 - 0xFFF, U64]),
    st.sampled_from([0, 0, 0x1, 0x100000000000, 0x7FFFFFFFE000, 0x7FFFFFFFF000, U64 - 0xFFF]),
    st.sampled_from([0, 0, 1, 255]),
)
MIXED = st.one_of(TAME, TAME, TAME, AT_LIMITS)
NENTS = st.one_of(st.none(), st.integers(0, 12), st.sampled_from([131072, 131073, 33554431, 33554432, U32]))
FAULTS = st.dictionaries(st.sampled_from(sorted(FAULT_KINDS)), st.integers(0, 6)).map(
    lambda d: tuple(sorted(d.items()))
)


def accepted(machine: Machine, regions: list[Region]) -> tuple[Region, ...]:
    """Those of `regions` that the single ioctl accepts, one after the other."""
    errnos = Serial(keep_going=True).apply(Case(tuple(regions), machine=machine)).entry_errnos
    assert errnos is not None
    return tuple(region for region, errno in zip(regions, errnos, strict=True) if errno == 0)


@st.composite
def cases(draw: st.DrawFn, *, faults: bool = False, nents: bool = False) -> Case:
    machine = draw(MACHINES)
    before = accepted(machine, draw(st.lists(TAME, max_size=8)))
    return Case(
        tuple(draw(st.lists(MIXED, max_size=10))),
        before,
        machine,
        nent=draw(NENTS) if nents else None,
        faults=draw(FAULTS) if faults else (),
    )


@FAST
@given(st.lists(WILD, max_size=3), st.lists(WILD, max_size=6), NENTS, FAULTS, MACHINES)
def test_any_field_values_end_in_an_outcome_or_in_bad_input(
    before: list[Region], entries: list[Region], nent: int | None, faults: tuple[tuple[str, int], ...], machine: Machine
) -> None:
    case = Case(tuple(entries), tuple(before), machine, nent, faults=faults)
    refused = accepted(machine, before) != tuple(before)
    for engine in (Serial(), Serial(keep_going=True), RfcV1(), Ideal()):
        for record in (False, True):
            try:
                outcome = engine.apply(case, record=record)
            except BadCase:
                assert refused
            else:
                assert not refused
                assert (outcome.ended == "returned") == (outcome.value is not None) == (outcome.errno is not None)
                assert outcome.value is None or (outcome.value < 0) == bool(outcome.errno)


@FAST
@given(cases(faults=True, nents=True))
def test_serial_always_returns_and_leaves_nothing_behind(case: Case) -> None:
    for engine in (Serial(), Serial(keep_going=True)):
        outcome = engine.apply(case)
        assert outcome.ended == "returned"
        assert outcome.active == outcome.inactive
        assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.leaked) == (False, False, 0)
        assert (outcome.damage, outcome.dangling, outcome.corrupt, outcome.warned) == ((), False, False, False)
        assert outcome.nr_memslot_pages == sum(slot.npages for slots in outcome.active for slot in slots)
        assert not any(generation >> 63 for generation in outcome.generation or ())


@FAST
@given(cases(nents=True))
def test_the_plain_short_cut_of_serial_equals_the_kernel_with_pointers(case: Case) -> None:
    for engine in (Serial(), Serial(keep_going=True)):
        plain = engine.apply(case)
        assert plain == engine.apply_faithfully(case)
        assert plain == engine.apply(case, record=True)._replace(events=None, published=None, incomplete=None)


@FAST
@given(cases(nents=True))
def test_the_plain_short_cut_of_the_list_ioctl_equals_the_kernel_with_pointers(case: Case) -> None:
    rest, before = at_rest(case)
    call = followed(case, rest)
    if call is not None and not call.stray:
        assert call.outcome(before) == RfcV1().apply_faithfully(case)


@FAST
@given(cases(faults=True, nents=True))
def test_recording_changes_no_outcome_of_rfc_v1(case: Case) -> None:
    assert RfcV1().apply(case, record=True)._replace(events=None) == RfcV1().apply(case)


@FAST
@given(cases(faults=True, nents=True))
def test_recording_changes_no_outcome_of_ideal(case: Case) -> None:
    assert Ideal().apply(case, record=True)._replace(events=None) == Ideal().apply(case)


@FAST
@given(cases(faults=True, nents=True))
def test_ideal_always_returns_and_leaves_everything_or_nothing(case: Case) -> None:
    outcome = Ideal().apply(case)
    assert outcome.ended == "returned"
    assert outcome.active == outcome.inactive
    assert outcome.value == 0 or outcome.active == outcome.before
    assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.leaked) == (False, False, 0)
    assert (outcome.damage, outcome.dangling, outcome.corrupt, outcome.warned) == ((), False, False, False)
    assert outcome.nr_memslot_pages == sum(slot.npages for slots in outcome.active for slot in slots)
    assert not any(generation >> 63 for generation in outcome.generation or ())


@FAST
@given(cases(faults=True, nents=True))
def test_ideal_and_serial_agree_as_the_oracles_have_it(case: Case) -> None:
    assert Trial(Serial(), Ideal()).verdict(case).findings == ()


class Model:
    """b.3 and b.4 once more, in bytes and without a single index: one dictionary, every slot looked at."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.slots: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        self.swaps = [0] * machine.address_spaces

    def set_memory_region(self, region: Region) -> int:
        machine, page = self.machine, self.machine.page_size
        slot, flags, gpa, size, hva, _, _ = region
        key = space, slot_id = divmod(slot, 1 << 16)
        if (
            slot_id >= machine.user_slots
            or flags > (3 if machine.readonly else 1)
            or size % page
            or gpa % page
            or hva % page
            or hva + size > 0x7FFFFFFFF000
            or space >= machine.address_spaces
            or gpa + size >= 1 << 64
            or size // page >= 1 << 31
        ):
            return EINVAL
        old = self.slots.get(key)
        if size == 0:
            if old is None:
                return EINVAL
            del self.slots[key]
            self.swaps[space] += 2
            return 0
        if old is not None:
            if (size, hva, flags & 2) != (old[1], old[2], old[3] & 2):
                return EINVAL
            if gpa == old[0]:
                self.swaps[space] += flags != old[3]
                self.slots[key] = gpa, size, hva, flags
                return 0
        for other, (start, length, _, _) in self.slots.items():
            if other != key and other[0] == space and start < gpa + size and gpa < start + length:
                return EEXIST
        fits = gpa + size <= (machine.max_gfn + 1) * page
        self.swaps[space] += 2 if old is not None else int(fits)
        if not fits:
            return EINVAL
        self.slots[key] = gpa, size, hva, flags
        return 0


@FAST
@given(MACHINES, st.lists(MIXED, max_size=25))
def test_serial_answers_and_leaves_what_the_specification_says(machine: Machine, entries: list[Region]) -> None:
    model = Model(machine)
    errnos = tuple(model.set_memory_region(region) for region in entries)
    slots = [(*key, *slot) for key, slot in sorted(model.slots.items())]
    case = Case(tuple(entries), machine=machine)
    for outcome in (Serial(keep_going=True).apply(case), Serial(keep_going=True).apply_faithfully(case)):
        assert outcome.entry_errnos == errnos
        page = machine.page_size
        assert [
            (s.as_id, s.id, s.base_gfn * page, s.npages * page, s.userspace_addr, s.flags)
            for in_space in outcome.active
            for s in in_space
        ] == slots
        assert outcome.publications == sum(model.swaps)
        assert outcome.generation == tuple(i + len(model.swaps) * n for i, n in enumerate(model.swaps))


@FAST
@given(MACHINES, st.lists(TAME, max_size=12), st.lists(MIXED, max_size=12))
def test_what_qemu_sends_comes_out_as_serial_has_it_with_fewer_publications(
    machine: Machine, before: list[Region], wanted: list[Region]
) -> None:
    """c.6: all DELETEs flagged first, then CREATEs, of the same ids or of others."""
    start = Model(machine)
    held = accepted(machine, before)
    for region in held:
        start.set_memory_region(region)
    deleted = [key for i, key in enumerate(sorted(start.slots)) if i % 3 != 1]
    kept = start.slots.keys() - deleted
    creates = {region.slot: region._replace(invalidate_slot=0) for region in wanted if region.memory_size}
    deletes = [Region(slot=space << 16 | slot_id, invalidate_slot=1) for space, slot_id in deleted]
    fresh = [region for slot, region in creates.items() if divmod(slot, 1 << 16) not in kept]
    tried = accepted(machine, [*held, *deletes, *fresh])[len(held) :]
    case = Case(tried, held, machine)
    serial, outcome = Serial().apply(case), RfcV1().apply(case)
    assert (serial.value, outcome.value) == (0, 0)
    assert outcome.active == outcome.inactive == serial.active
    assert (outcome.leaked, outcome.corrupt, outcome.warned, outcome.damage) == (0, False, False, ())
    assert outcome.nr_memslot_pages == serial.nr_memslot_pages
    swaps = [
        sum(region.memory_size == 0 for region in tried if region.as_id == as_id)
        + any(region.as_id == as_id for region in tried)
        for as_id in range(machine.address_spaces)
    ]
    assert outcome.publications == sum(swaps)
    assert outcome.generation == tuple(
        as_id + machine.address_spaces * (start.swaps[as_id] + swaps[as_id]) for as_id in range(machine.address_spaces)
    )
