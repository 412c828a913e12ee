# SPDX-License-Identifier: GPL-2.0-only
"""How updates become lists, and what stands when one begins: nothing lost, and all as the serial ioctl leaves it."""

from collections.abc import Sequence
from errno import EINVAL, ENOMEM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.simulated.engines import Serial
from fuzz.traces.gestures import gesture_of
from fuzz.traces.happening import Gone, Happening, Marker, Update
from fuzz.traces.memory_names import FIRST, MemoryNames
from fuzz.traces.standing import Entry, Standing
from fuzz.traces.transactions import MOST_UPDATES, Splitting, Transaction, transactions
from memslots.case import Case
from memslots.errors import BadInput
from memslots.machine import DEFAULT_MACHINE
from memslots.region import Region
from memslots.slot import SlotSets
from memslots.textreader import parse_case

PLAIN = Splitting()


def entries_in(text: str) -> tuple[Region, ...]:
    """The regions of `apply` lines."""
    return parse_case(["slots 1", *(f"apply {line}" for line in text.strip().splitlines())]).case.apply


def update(region: Region, seconds: float | None = 0.0, vm: int = 0, errno: int | None = 0) -> Update:
    return Update(1, seconds, vm, region, errno)


def split(happenings: Sequence[Happening], splitting: Splitting = PLAIN) -> list[list[Update]]:
    found = transactions("x", happenings, splitting)
    return [list(each.updates) for each in found if isinstance(each, Transaction)]


A, B, DELETE, OTHER_SPACE = entries_in(
    """
    slot=0 size=0x1000 hva=0x1000
    slot=1 gpa=0x1000 size=0x1000 hva=0x1000
    slot=0 size=0
    slot=1:0 size=0
    """
)
HAPPENINGS = st.lists(
    st.one_of(
        st.builds(
            Update,
            st.just(1),
            st.floats(0, 0.1),
            st.integers(0, 2),
            st.sampled_from((A, B, DELETE, OTHER_SPACE)),
            st.sampled_from((0, EINVAL)),
        ),
        st.builds(Marker, st.just(1)),
        st.builds(Gone, st.integers(0, 2)),
    )
)
SPLITTINGS = st.builds(Splitting, st.one_of(st.none(), st.floats(0, 0.1)), st.booleans())


@given(HAPPENINGS, SPLITTINGS)
def test_splitting_never_loses_or_reorders_an_update(happenings: list[Happening], splitting: Splitting) -> None:
    numbered = [each._replace(lineno=i) for i, each in enumerate(happenings) if not isinstance(each, Gone)]
    lists = split(numbered, splitting)
    assert all(lists)
    for vm in range(3):
        own = [each for each in numbered if isinstance(each, Update) and each.vm == vm]
        assert [each for one in lists for each in one if each.vm == vm] == own
    assert all(len({each.vm for each in one}) == 1 for one in lists)


@given(HAPPENINGS)
def test_no_list_goes_on_over_a_marker(happenings: list[Happening]) -> None:
    numbered = [each._replace(lineno=i) for i, each in enumerate(happenings) if not isinstance(each, Gone)]
    markers = [each.lineno for each in numbered if isinstance(each, Marker)]
    for one in split(numbered, Splitting(gap=1.0)):
        assert not [at for at in markers if one[0].lineno < at < one[-1].lineno]


def lengths(happenings: Sequence[Happening], splitting: Splitting = PLAIN) -> list[int]:
    return [len(one) for one in split(happenings, splitting)]


def at(*seconds: float) -> list[Happening]:
    return [update(A, each) for each in seconds]


def test_a_gap_begins_a_new_list_and_what_is_as_long_does_not() -> None:
    assert lengths(at(0, 0.25, 0.5, 0.875), Splitting(gap=0.25)) == [3, 1]
    assert lengths(at(0, 0.009, 0.020)) == [2, 1]


def test_a_clock_that_was_set_back_is_no_gap() -> None:
    assert lengths(at(100.0, 1.0, 1.001)) == [3]


def test_markers_put_the_default_gap_out_of_force_and_no_other() -> None:
    marked = [Marker(1), *at(0, 5, 10), Marker(1), *at(15, 20)]
    assert lengths(marked) == [3, 2]
    assert lengths(marked, Splitting(gap=1.0)) == [1, 1, 1, 1, 1]
    assert lengths([*at(0, 5), *marked]) == [1, 1, 3, 2]


def test_a_marker_splits_the_lists_of_every_vm() -> None:
    happenings: list[Happening] = [update(A, vm=0), update(A, vm=1), Marker(1), update(A, vm=1), update(A, vm=0)]
    assert [[each.vm for each in one] for one in split(happenings)] == [[0], [1], [1], [0]]


def test_vms_do_not_split_one_another() -> None:
    assert lengths([update(A, 0.0, vm=0), update(A, 0.5, vm=1), update(A, 0.001, vm=0)]) == [2, 1]


def test_a_delete_behind_anything_else_begins_a_list_if_asked_for() -> None:
    happenings = [update(each) for each in (DELETE, A, B, DELETE, OTHER_SPACE, A, DELETE)]
    assert lengths(happenings) == [7]
    assert lengths(happenings, Splitting(deletions_first=True)) == [3, 3, 1]


def test_each_address_space_has_its_own_deletions() -> None:
    assert lengths([update(each) for each in (DELETE, A, OTHER_SPACE)], Splitting(deletions_first=True)) == [3]


def test_a_vm_that_has_gone_ends_its_list() -> None:
    happenings: list[Happening] = [update(A, vm=0), update(A, vm=1), Gone(0), update(A, vm=1)]
    found = list(transactions("x", happenings, PLAIN))
    assert [each if isinstance(each, Gone) else len(each.updates) for each in found] == [1, Gone(0), 2]


def test_a_list_is_cut_before_memory_is_full() -> None:
    assert lengths([update(A)] * (MOST_UPDATES + 1)) == [MOST_UPDATES, 1]


def test_without_times_and_markers_nothing_can_tell_lists_apart() -> None:
    with pytest.raises(BadInput, match="x:1: no time, and no marker before it"):
        split([update(A, None)])
    assert lengths([Marker(1), update(A, None), update(A, None), Marker(1), update(A, None)]) == [2, 1]


REGIONS = st.builds(
    lambda slot, base, npages, hva, flags: Region(slot, flags, base << 12, npages << 12, hva << 12),
    st.sampled_from((0, 1, 2, 0x10000, 0x10001)),
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from((0, 512, 513, 514, 1024, 0x7FFFFFFFF)),
    st.integers(0, 3),
)


def left_by_serial(regions: Sequence[Region]) -> SlotSets:
    return Serial(keep_going=True).apply(Case(tuple(regions))).active


def recorded(regions: Sequence[Region]) -> list[Update]:
    """What a faithful kernel's recording of these requests would be."""
    errnos = Serial(keep_going=True).apply(Case(tuple(regions))).entry_errnos
    assert errnos is not None
    return [update(region, errno=errno) for region, errno in zip(regions, errnos, strict=True)]


@given(st.lists(REGIONS, max_size=20))
def test_given_is_what_serial_leaves_of_all_updates_before(regions: list[Region]) -> None:
    standing = Standing(DEFAULT_MACHINE, keep_hva=True)
    for i, each in enumerate(recorded(regions)):
        made = standing.given()
        assert left_by_serial(made) == left_by_serial(regions[:i])
        assert [region.slot for region in made] == sorted({region.slot for region in made})
        entry = standing.entry(each)
        assert not entry.disagrees
        assert entry.region._replace(invalidate_slot=0) == each.region


@given(st.lists(REGIONS, max_size=20))
def test_renamed_memory_changes_no_answer_and_nothing_but_addresses(regions: list[Region]) -> None:
    plain, renamed = (Standing(DEFAULT_MACHINE, keep_hva=keep) for keep in (True, False))
    for each in recorded(regions):
        one, other = plain.entry(each), renamed.entry(each)
        assert (one.errno, one.change) == (other.errno, other.change)
        without = [tuple(region._replace(userspace_addr=0) for region in s.given()) for s in (plain, renamed)]
        assert without[0] == without[1]


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)), max_size=12))
def test_an_address_keeps_its_name_and_one_range_its_distances(ranges: list[tuple[int, int]]) -> None:
    names = MemoryNames()
    named: dict[int, int] = {}
    for begin, npages in ranges:
        region = Region(memory_size=npages << 12, userspace_addr=begin << 12)
        name = names.renamed(region).userspace_addr
        assert named.setdefault(begin, name) == name
    for begin, npages in ranges:
        # The same again, now that all is known: still the names that were given.
        assert names.renamed(Region(0, 0, 0, npages << 12, begin << 12)).userspace_addr == named[begin]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_a_slot_and_its_parts_are_one_range_in_any_order(order: tuple[int, ...]) -> None:
    whole = 0x7F12_3400_0000
    regions = [
        Region(0, 0, 0, 0x10000000, whole),
        Region(0, 0, 0xC0000, 0xA000, whole + 0xC0000),
        Region(0, 0, 0x100000, 0xFF00000, whole + 0x100000),
    ]
    names = MemoryNames()
    found = {i: names.renamed(regions[i]).userspace_addr for i in order}
    # Parts that came before the whole, and did not touch, cannot be known to belong together.
    parts = [i for i in order if i == 0 or order.index(i) > order.index(0)]
    assert {found[i] - found[0] for i in parts} == {regions[i].userspace_addr - whole for i in parts}


def test_names_do_not_depend_on_what_mmap_drew() -> None:
    for run in (0x7F12_3400_0000, 0x7FAC_D3E0_0000):
        names = MemoryNames()
        assert names.renamed(Region(0, 0, 0, 0x10000000, run)).userspace_addr == FIRST
        assert names.renamed(Region(1, 0, 0xFFFC0000, 0x40000, run + 0x20000000)).userspace_addr == FIRST + (1 << 36)


@pytest.mark.parametrize(
    ("hva", "gpa", "low"),
    [(0x7F00_0020_0000, 0x5000, 0), (0x7F00_0020_5000, 0x5000, 0x5000), (0x7F00_0020_7000, 0x5000, 0x1000)],
)
def test_alignment_is_kept_as_far_as_huge_pages_need_it(hva: int, gpa: int, low: int) -> None:
    assert MemoryNames().renamed(Region(0, 0, gpa, 0x1000, hva)).userspace_addr == FIRST + low


@pytest.mark.parametrize("hva", [0, 0x7F00_0000_0001, 0x7FFF_FFFF_F000, 0xFFFF_FFFF_FFFF_F000])
def test_an_address_that_is_refused_or_nothing_keeps_its_name(hva: int) -> None:
    region = Region(0, 0, 0, 0x1000, hva)
    assert MemoryNames().renamed(region) == region


def test_more_memory_than_there_are_names_stays_in_the_user_range() -> None:
    names = MemoryNames()
    for i in range(5000):
        region = names.renamed(Region(0, 0, 0, 1 << 38, 0x10000 + (i << 39) % (1 << 46)))
        assert region.userspace_addr + region.memory_size < 0x7FFFFFFFF000


def entries_of(given: str, apply: str, *, invalidate: bool = True) -> list[Entry]:
    standing = Standing(DEFAULT_MACHINE, invalidate=invalidate, keep_hva=True)
    for region in entries_in(given) if given.strip() else ():
        standing.entry(update(region))
    made: list[Entry] = []
    for region in entries_in(apply):
        errno = Serial().apply(Case((region,), given=standing.given())).errno
        made.append(standing.entry(update(region, errno=errno)))
    return made


TWO = "slot=0 size=0x2000 hva=0x200000\nslot=1 gpa=0x2000 size=0x2000 hva=0x400000 flags=READONLY"


def test_deletes_and_moves_are_flagged_and_nothing_else() -> None:
    apply = """
    slot=0 size=0x2000 hva=0x200000 flags=LOG_DIRTY_PAGES
    slot=0 gpa=0x8000 size=0x2000 hva=0x200000 flags=LOG_DIRTY_PAGES
    slot=0 gpa=0x8000 size=0x2000 hva=0x200000 flags=LOG_DIRTY_PAGES
    slot=1 size=0
    slot=2 size=0x1000 hva=0x200000
    slot=5 size=0
    """
    assert [entry.region.invalidate_slot for entry in entries_of(TWO, apply)] == [0, 1, 0, 1, 0, 1]
    assert [entry.region.invalidate_slot for entry in entries_of(TWO, apply, invalidate=False)] == [0] * 6


@pytest.mark.parametrize(
    ("apply", "sentence"),
    [
        ("slot=2 gpa=0x8000 size=0x1000", "create: 1 created."),
        ("slot=0 size=0\nslot=1 size=0", "delete: 2 deleted."),
        ("slot=0 gpa=0x8000 size=0x2000 hva=0x200000", "move: 1 moved."),
        ("slot=0 size=0x2000 hva=0x200000 flags=LOG_DIRTY_PAGES", "log-on: 1 with other flags."),
        ("slot=0 size=0x2000 hva=0x200000", "flags: 1 as it was."),
        ("slot=0 size=0\nslot=0 size=0x1000\nslot=2 gpa=0x1000 size=0x1000", "split: 1 deleted, 2 created."),
        ("slot=0 size=0\nslot=0 size=0x1000", "shrink: 1 deleted, 1 created."),
        ("slot=0 size=0\nslot=0 gpa=0x8000 size=0x4000", "grow: 1 deleted, 1 created."),
        ("slot=0 size=0\nslot=0 gpa=0x8000 size=0x2000", "replace: 1 deleted, 1 created."),
        ("slot=0 size=0\nslot=1 size=0\nslot=0 size=0x4000", "unlock: 2 deleted, 1 created."),
        ("slot=0 size=0\nslot=0 size=0x2000 flags=READONLY", "lock: 1 deleted, 1 created."),
        ("slot=0 size=0\nslot=1 gpa=0x8000 size=0x2000 hva=0x400000 flags=READONLY", "mixed: 1 deleted, 1 moved."),
        ("slot=0 size=0\nslot=2 gpa=0x3000 size=0x1000", "refused: 1 deleted, 1 refused."),
        ("slot=1:0 size=0x1000", "create: 1 created in address space 1."),
        ("slot=2 gpa=0x8000 size=0x1000\nslot=1:0 size=0x1000", "create: 2 created in address spaces 0 and 1."),
    ],
)
def test_a_gesture_is_told_by_its_changes(apply: str, sentence: str) -> None:
    assert gesture_of(entries_of(TWO, apply)).sentence == sentence


def test_what_both_halves_delete_and_create_is_a_merge() -> None:
    given = "slot=0 size=0x2000 hva=0x200000\nslot=1 gpa=0x2000 size=0x2000 hva=0x202000"
    assert (
        gesture_of(entries_of(given, "slot=0 size=0\nslot=1 size=0\nslot=0 size=0x4000 hva=0x200000")).word == "merge"
    )


def test_log_off_is_told_from_log_on() -> None:
    given = "slot=0 size=0x2000 flags=LOG_DIRTY_PAGES"
    assert gesture_of(entries_of(given, "slot=0 size=0x2000")).word == "log-off"


def test_where_the_recording_says_otherwise_it_is_followed() -> None:
    standing = Standing(DEFAULT_MACHINE, keep_hva=True)
    first, over, gone, missing = entries_in(
        """
        slot=0 size=0x2000 hva=0x200000
        slot=1 gpa=0x1000 size=0x2000 hva=0x200000
        slot=1 size=0
        slot=7 size=0
        """
    )
    assert not standing.entry(update(first)).disagrees
    entry = standing.entry(update(over))
    assert (entry.disagrees, entry.answer) == (True, "recorded: ok, the model answers EEXIST")
    # What the recorded kernel took stands; what cannot be there beside it does not.
    assert standing.given() == (over,)
    entry = standing.entry(update(gone, errno=EINVAL))
    assert entry.answer == "recorded: EINVAL, the model answers ok"
    assert standing.given() == (over,)
    assert standing.entry(update(missing)).answer == "recorded: ok, the model answers EINVAL"
    assert standing.given() == (over,)


def test_a_refusal_that_both_give_is_no_disagreement() -> None:
    entry = Standing(DEFAULT_MACHINE).entry(update(DELETE, errno=EINVAL))
    assert (entry.disagrees, entry.answer) == (False, "recorded: EINVAL")


@pytest.mark.parametrize(("errno", "by_rule"), [(0, True), (EINVAL, True), (ENOMEM, False), (None, False)])
def test_what_no_list_can_tell_is_known(errno: int | None, by_rule: bool) -> None:
    assert update(A, errno=errno).answered_by_rule is by_rule
