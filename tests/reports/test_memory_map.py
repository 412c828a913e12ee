# SPDX-License-Identifier: GPL-2.0-only
"""The memory map: every slot of every set over exactly its gfns, and what differs is never folded away."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslots.slot import Gfn, Slot, SlotSet
from reports.memory_map import Row, cell_text, folded, rows_of

MOST_GFN = 24
slots = st.builds(
    Slot,
    as_id=st.just(0),
    id=st.integers(0, 4),
    base_gfn=st.integers(0, MOST_GFN - 8).map(Gfn),
    npages=st.integers(1, 8),
    userspace_addr=st.just(0),
    flags=st.sampled_from([0, 0, 1, 0x10000]),
)
slot_sets = st.lists(slots, max_size=4, unique_by=lambda slot: slot.id).map(lambda drawn: tuple(sorted(drawn)))
several_sets = st.lists(slot_sets, max_size=4)


def slot_set(*texts: str) -> SlotSet:
    """The set of slots written as id:first..last, with /flags behind where there are any."""
    drawn: list[Slot] = []
    for text in texts:
        where, _, flags = text.partition("/")
        slot_id, gfns = where.split(":")
        first, last = map(int, gfns.split(".."))
        drawn.append(Slot(0, int(slot_id), Gfn(first), last - first + 1, 0, int(flags or "0", 16)))
    return tuple(sorted(drawn))


def drawn(rows: Sequence[Row | int]) -> list[str]:
    """Each row as `first..last` and its cells."""
    return [
        f"{row} alike"
        if isinstance(row, int)
        else f"{row.first}..{row.end - 1} {' | '.join(cell_text(cell) for cell in row.cells)}"
        for row in rows
    ]


def row_at(rows: Sequence[Row], gfn: int) -> Row | None:
    return next((row for row in rows if row.first <= gfn < row.end), None)


@given(sets=several_sets)
def test_every_gfn_shows_the_slots_that_each_set_holds_there(sets: list[SlotSet]) -> None:
    rows = rows_of(sets)
    for gfn in range(MOST_GFN):
        held = [{slot for slot in one if slot.base_gfn <= gfn < slot.end_gfn} for one in sets]
        row = row_at(rows, gfn)
        assert [set(cell) for cell in row.cells] == held if row else not any(held)


@given(sets=several_sets)
def test_rows_follow_one_another_from_the_lowest_gfn_to_the_highest(sets: list[SlotSet]) -> None:
    rows = rows_of(sets)
    held = [slot for one in sets for slot in one]
    assert bool(rows) == bool(held)
    assert all(row.first < row.end for row in rows)
    assert all(row.end == following.first for row, following in pairwise(rows))
    if rows:
        assert rows[0].first == min(slot.base_gfn for slot in held)
        assert rows[-1].end == max(slot.end_gfn for slot in held)


@given(sets=several_sets)
def test_rows_are_cut_only_where_a_slot_begins_or_ends(sets: list[SlotSet]) -> None:
    ends = {gfn for one in sets for slot in one for gfn in (slot.base_gfn, slot.end_gfn)}
    assert {gfn for row in rows_of(sets) for gfn in (row.first, row.end)} == ends


@given(sets=several_sets)
def test_slots_that_overlap_in_one_set_are_shown_together(sets: list[SlotSet]) -> None:
    for row in rows_of(sets):
        for cell in row.cells:
            assert len(set(cell)) == len(cell)
            assert (len(cell) > 1) == cell_text(cell).endswith(" OVERLAP")
            assert all(a.overlaps(b) for a in cell for b in cell)


@given(sets=several_sets)
def test_a_row_differs_where_the_sets_do(sets: list[SlotSet]) -> None:
    for row in rows_of(sets):
        assert row.differs == any(set(cell) != set(row.cells[0]) for cell in row.cells)
    for row in rows_of(sets[:1] * 3):
        assert not row.differs


@given(sets=several_sets, most=st.integers(0, 12))
def test_folding_keeps_what_differs_and_counts_the_rest(sets: list[SlotSet], most: int) -> None:
    rows = rows_of(sets)
    parts = folded(rows, most)
    kept = [part for part in parts if not isinstance(part, int)]
    numbers = [part for part in parts if isinstance(part, int)]
    assert [row for row in rows if row.differs] == [row for row in kept if row.differs]
    assert len(kept) + sum(numbers) == len(rows)
    assert all(number > 1 for number in numbers)
    assert not any(isinstance(one, int) and isinstance(other, int) for one, other in pairwise(parts))
    if len(rows) <= most:
        assert parts == rows
    for part, following in pairwise(parts):
        if isinstance(part, int) and isinstance(following, Row):
            assert following.differs


def test_a_map_without_slots_has_no_rows() -> None:
    assert rows_of([]) == rows_of([(), ()]) == []


def test_a_slot_that_moved_and_a_gap_have_rows() -> None:
    before, after = slot_set("0:0..1", "1:4..7"), slot_set("0:10..11", "1:4..7")
    assert drawn(rows_of([before, after])) == [
        "0..1 slot 0 | -",
        "2..3 - | -",
        "4..7 slot 1 | slot 1",
        "8..9 - | -",
        "10..11 - | slot 0",
    ]


def test_a_slot_that_lies_over_others_is_shown_with_each() -> None:
    assert drawn(rows_of([slot_set("0:0..9", "1:2..3", "2:3..5/10000")])) == [
        "0..1 slot 0",
        "2..2 slot 0 + slot 1 OVERLAP",
        "3..3 slot 0 + slot 1 + slot 2 INVALID OVERLAP",
        "4..5 slot 0 + slot 2 INVALID OVERLAP",
        "6..9 slot 0",
    ]


def test_other_flags_or_another_address_make_a_row_differ() -> None:
    [slot] = slot_set("0:0..9")
    for other in (slot._replace(flags=1), slot._replace(userspace_addr=0x1000), slot._replace(id=1)):
        [row] = rows_of([(slot,), (other,)])
        assert row.differs


def test_the_largest_gfns_are_drawn() -> None:
    last = Slot(0, 0, Gfn((1 << 52) - 1), 1, 0, 0)
    assert [(row.first, row.end) for row in rows_of([(last,)])] == [((1 << 52) - 1, 1 << 52)]


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ((), "-"),
        (("5:0..0",), "slot 5"),
        (("5:0..0/1",), "slot 5 LOG_DIRTY_PAGES"),
        (("5:0..0/10003",), "slot 5 LOG_DIRTY_PAGES|READONLY|INVALID"),
        (("5:0..0/8",), "slot 5 0x8"),
        (("5:0..0", "7:0..0/2"), "slot 5 + slot 7 READONLY OVERLAP"),
    ],
)
def test_a_cell_names_slots_and_flags(texts: tuple[str, ...], shown: str) -> None:
    assert cell_text(slot_set(*texts)) == shown


FIVE = [slot_set("0:0..0", "1:1..1", "2:2..2", "3:3..3", "4:4..4"), slot_set("0:0..0", "1:1..1", "3:3..3", "4:4..4")]


def test_runs_of_rows_alike_become_numbers_where_there_are_too_many() -> None:
    rows = rows_of(FIVE)
    assert drawn(folded(rows, 5)) == drawn(rows)
    assert drawn(folded(rows, 4)) == ["2 alike", "2..2 slot 2 | -", "2 alike"]
    alone = rows_of([one[1:] for one in FIVE])
    assert drawn(folded(alone, 3)) == ["1..1 slot 1 | slot 1", "2..2 slot 2 | -", "2 alike"]
