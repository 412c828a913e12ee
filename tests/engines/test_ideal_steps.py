# SPDX-License-Identifier: GPL-2.0-only
"""The engine ideal step by step: what it locks, publishes, replaces and gives back, in which order (I1, I3, I8)."""

from collections.abc import Callable
from errno import ENOMEM

import pytest

from engines.ideal.engine import Ideal
from memslots.case import Case
from memslots.outcome import Outcome
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
Locks = Callable[[Outcome], str]
Written = Callable[[SlotSets | None], str]

GIVEN = [
    "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
    "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES",
    "given slot=1:0 gpa=0x0 size=0x1000 hva=0x100000200000",
]
DELETE_0, DELETE_1, DELETE_IN_1 = "slot=0 size=0", "slot=1 size=0", "slot=1:0 size=0"
CREATE_2 = "slot=2 gpa=0x5000 size=0x1000 hva=0x0"
CREATE_0 = "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
MOVE_0 = "slot=0 gpa=0x8000 size=0x1000 hva=0x100000000000"
MOVE_BACK_0 = "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
LOG_0 = "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"
MOVE_1_TO_0 = "slot=1 gpa=0x0 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES"

NOTHING = "+slots -slots"
ONE = "+slots +arch publish -arch -slots"
TWO = "+slots +arch publish -arch +arch publish -arch -slots"

LISTS = {
    # entries; locks and publications in order; what each publication shows of its address space
    "CREATE": ([CREATE_2], ONE),
    "FLAGS_ONLY": ([LOG_0], ONE),
    "CREATE and FLAGS_ONLY": ([CREATE_2, LOG_0], ONE),
    "no-op": ([CREATE_0], NOTHING),
    "nothing": ([], ""),
    "DELETE": ([DELETE_0], TWO),
    "MOVE": ([MOVE_0], TWO),
    "two DELETEs and a CREATE": ([DELETE_0, DELETE_1, "slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"], TWO),
    "a MOVE onto the place of a DELETE": ([DELETE_0, MOVE_1_TO_0], TWO),
    "a slot that comes and goes": ([CREATE_2, "slot=2 size=0"], NOTHING),
    "there and back": ([MOVE_0, MOVE_BACK_0], NOTHING),
    "on and off": ([LOG_0, CREATE_0], NOTHING),
    "DELETE and CREATE of the same": ([DELETE_0, CREATE_0], TWO),
    "DELETE, CREATE, DELETE": ([DELETE_0, CREATE_0, DELETE_0], TWO),
    "both address spaces": (
        [DELETE_0, DELETE_IN_1],
        "+slots +arch publish publish -arch +arch publish publish -arch -slots",
    ),
    "INVALID in one address space, CREATE in the other": (
        ["slot=1:3 gpa=0x5000 size=0x1000 hva=0x0", DELETE_0],
        "+slots +arch publish -arch +arch publish publish -arch -slots",
    ),
}


def applied(case_of: CaseOf, entries: list[str], *more: str) -> Outcome:
    lines = [f"apply {words}" for words in entries] or ["list nent=0"]
    return Ideal().apply(case_of(*GIVEN, *lines, *more), record=True)


@pytest.mark.parametrize(("entries", "steps"), LISTS.values(), ids=LISTS.keys())
def test_locks_nest_and_sets_are_published_as_seldom_as_can_be(
    entries: list[str], steps: str, case_of: CaseOf, locks: Locks
) -> None:
    outcome = applied(case_of, entries)
    assert locks(outcome) == steps
    assert (outcome.value, outcome.errno, outcome.entry_errnos) == (0, 0, (0,) * len(entries))
    assert outcome.publications == steps.count("publish")


@pytest.mark.parametrize(("entries", "steps"), LISTS.values(), ids=LISTS.keys())
def test_a_list_that_cannot_be_prepared_takes_back_what_it_has_published_in_a_third_publication(
    entries: list[str], steps: str, case_of: CaseOf, locks: Locks
) -> None:
    outcome = applied(case_of, entries, "fault prepare=0")
    if "+arch" not in steps:
        assert (outcome.value, locks(outcome)) == (0, steps)
        return
    invalid, found, _ = steps.removeprefix("+slots ").removesuffix(" -slots").rpartition(" +arch")
    back = f"{invalid}{found} {invalid.removeprefix('+arch ')}" if invalid else "+arch -arch"
    assert locks(outcome) == f"+slots {back} -slots"
    assert (outcome.value, outcome.errno) == (-1, ENOMEM)
    assert outcome.active == outcome.inactive == outcome.before


@pytest.mark.parametrize(("entries", "steps"), LISTS.values(), ids=LISTS.keys())
def test_at_rest_both_sets_hold_the_same_and_memory_is_what_they_need(
    entries: list[str], steps: str, case_of: CaseOf
) -> None:
    outcome = applied(case_of, entries)
    assert outcome.active == outcome.inactive
    assert (outcome.leaked, outcome.dangling, outcome.damage, outcome.corrupt) == (0, False, (), False)
    assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.warned) == (False, False, False)
    assert outcome.nr_memslot_pages == sum(slot.npages for slots in outcome.active for slot in slots)


FAILED = {
    # what fails, and the entry that is told: the last one that had a part in the update
    "the object of a slot that is created and then logs": ("slot=0", 2),
    "the object of one that is created alone": ("slot=1", 1),
    "its dirty bitmap": ("bitmap=0", 2),
    "the INVALID copy of a slot that moves twice": ("invalid=0", 5),
    "the INVALID copy of one that moves and goes": ("invalid=1", 6),
    "the hook of a slot that is created and then logs": ("prepare=0", 2),
    "the hook of a slot that moves twice": ("prepare=2", 5),
}


@pytest.mark.parametrize(("fault", "entry"), FAILED.values(), ids=FAILED.keys())
def test_memory_runs_out_for_the_last_entry_of_an_update(fault: str, entry: int, case_of: CaseOf) -> None:
    entries = [
        "slot=3 gpa=0xa000 size=0x1000 hva=0x0",
        CREATE_2,
        "slot=3 gpa=0xa000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES",
        MOVE_0,
        MOVE_1_TO_0,
        "slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000",
        DELETE_1,
    ]
    outcome = applied(case_of, entries, f"fault {fault}")
    assert (outcome.value, outcome.errno, outcome.entry_errnos) == (-1, ENOMEM, (*(0,) * entry, ENOMEM))
    [refusal] = [event for event in outcome.mishaps or () if event.kind == "refuse"]
    assert refusal.entry == entry


def test_what_is_replaced_in_the_sets_is_told_step_by_step(case_of: CaseOf) -> None:
    outcome = applied(case_of, [DELETE_0, MOVE_1_TO_0])
    assert outcome.events is not None
    assert [(e.phase, e.entry, e.change.name, e.detail) for e in outcome.events if e.kind == "replace"] == [
        ("invalidate", 0, "DELETE", "0:0@0x0+0x1 by 0:0@0x0+0x1 INVALID"),
        ("invalidate", 1, "MOVE", "0:1@0x1+0x1 by 0:1@0x1+0x1 INVALID"),
        ("publish", 0, "DELETE", "0:0@0x0+0x1 by nothing"),
        ("publish", 1, "MOVE", "0:1@0x1+0x1 by 0:1@0x0+0x1"),
        ("finish", 0, "DELETE", "0:0@0x0+0x1 INVALID by nothing"),
        ("finish", 1, "MOVE", "0:1@0x1+0x1 INVALID by 0:1@0x0+0x1"),
    ]


def test_all_that_is_allocated_is_there_before_slots_arch_lock_is_taken(case_of: CaseOf) -> None:
    outcome = applied(case_of, [DELETE_0, "slot=3 gpa=0x9000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES"])
    told = [(e.kind, e.phase, e.detail) for e in outcome.events or () if e.kind in ("alloc", "free")]
    assert told == [
        ("alloc", "", "entries"),
        ("alloc", "", "batch"),
        ("alloc", "allocate", "0:0@0x0+0x1 INVALID"),
        ("alloc", "allocate", "0:3@0x9+0x1"),
        ("alloc", "allocate", "dirty bitmap"),
        ("alloc", "prepare", "arch arrays"),
        ("free", "finish", "arch arrays"),
        ("free", "finish", "0:0@0x0+0x1 INVALID"),
        ("free", "finish", "0:0@0x0+0x1"),
        ("free", "finish", "batch"),
        ("free", "finish", "entries"),
    ]


BITMAPS = {
    # entries; how many dirty bitmaps are allocated, and how many freed (I5: a slot that goes on logging keeps its own)
    "logging goes on over a MOVE": ([MOVE_1_TO_0.replace("gpa=0x0", "gpa=0x7000")], 0, 0),
    "logging off": (["slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000"], 0, 1),
    "logging off and on": (
        [
            "slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000",
            "slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES",
        ],
        0,
        0,
    ),
    "logging on": ([LOG_0], 1, 0),
    "MOVE, logging on": ([MOVE_0 + " flags=LOG_DIRTY_PAGES"], 1, 0),
    "MOVE, logging off": (["slot=1 gpa=0x7000 size=0x1000 hva=0x100000100000"], 0, 1),
    "DELETE": ([DELETE_1], 0, 1),
    "another slot under the same id": (
        [DELETE_1, "slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES"],
        1,
        1,
    ),
}


@pytest.mark.parametrize(("entries", "born", "gone"), BITMAPS.values(), ids=BITMAPS.keys())
def test_a_dirty_bitmap_lives_as_long_as_its_slot_logs(
    entries: list[str], born: int, gone: int, case_of: CaseOf
) -> None:
    events = applied(case_of, entries).events or ()
    bitmaps = [event.kind for event in events if event.detail == "dirty bitmap"]
    assert (bitmaps.count("alloc"), bitmaps.count("free")) == (born, gone)


def test_generations_grow_by_the_number_of_address_spaces_with_each_publication(case_of: CaseOf) -> None:
    before = applied(case_of, [CREATE_0]).generation
    assert before == (4, 3)
    assert applied(case_of, [CREATE_2]).generation == (6, 3)
    assert applied(case_of, [DELETE_0, DELETE_IN_1]).generation == (8, 7)
    one_space = case_of("machine linux-6.18", GIVEN[0], GIVEN[1], f"apply {DELETE_0}")
    assert Ideal().apply(one_space).generation == (4,)


def test_thousands_of_slots_are_no_trouble(case_of: CaseOf, written: Written) -> None:
    given = [f"given slot={i} gpa={i << 13:#x} size=0x1000 hva=0x100000000000" for i in range(4000)]
    entries = [f"apply slot={i} gpa={(i << 13) + 4096:#x} size=0x1000 hva=0x100000000000" for i in range(4000)]
    outcome = Ideal().apply(case_of(*given, *entries))
    assert (outcome.value, outcome.publications) == (0, 2)
    assert written((outcome.active[0][3999:], ())) == "s3999=[0x1f3f000,+0x1000)"
