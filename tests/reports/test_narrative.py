# SPDX-License-Identifier: GPL-2.0-only
"""The story says what the events say: which pass, which set, which lock, which object, and where the engines part."""

import re
from pathlib import Path

import pytest

from engines.catalogue import engine_named
from engines.simulated.engines import RfcV1, Serial
from fuzz.explain import told_of
from memslots.outcome import Outcome
from memslots.textreader import parse_case, read_case
from oracles.policy import Policy
from reports.leftovers import leftovers, lost_objects
from reports.narrative import PARTING, Told, narrative
from reports.news import gfns, news
from reports.steps import object_words, steps_of

HOUSE = Path(__file__).parent.parent.parent
RECORDS = sorted((HOUSE / "corpus" / "mismatches").glob("*.slots"))
SLOT_0 = "given slot=0 gpa=0x0 size=0x10000 hva=0x0\n"
GROW = SLOT_0 + (
    "given slot=1 gpa=0x10000 size=0x10000 hva=0x10000\n"
    "apply slot=0 size=0 invalidate\napply slot=0 gpa=0x0 size=0x20000 hva=0x0\n"
)
MOVES = (
    "given slot=0 gpa=0x0 size=0x10000 hva=0x0\ngiven slot=1 gpa=0x10000 size=0x10000 hva=0x10000\n"
    "apply slot=0 size=0 invalidate\napply slot=1 gpa=0x40000 size=0x10000 hva=0x10000 invalidate\n"
    "apply slot=2 gpa=0x60000 size=0x1000 hva=0x0\n"
)


def told(text: str) -> Told:
    return told_of(parse_case(["slots 1", *text.splitlines()]).case, Serial(), RfcV1(), Policy.ATOMIC)[1]


def story(text: str) -> list[str]:
    """The numbered steps, each on one line, of the reference and then of the engine."""
    lines: list[str] = []
    for line in narrative(told(text), 80):
        if re.match(r" {0,3}\d+\. ", line):
            lines.append(line.strip())
        elif line.startswith("      ") and lines:
            lines[-1] += f" {line.strip()}"
    return lines


def test_a_step_names_pass_entry_lock_object_and_set() -> None:
    steps = story(GROW)
    assert steps[1] == "2. entry 1, CREATE: refuses: EEXIST: overlap."
    assert steps[2] == (
        "1. P1, entry 0, DELETE: takes slots_lock and slots_arch_lock, allocates an INVALID copy of slot 0 (0x0..0xf),"
        " puts the INVALID copy in the place of slot 0 (0x0..0xf) in the inactive set (B), publishes set B (readers"
        " see: slot 0 turns INVALID), which releases slots_arch_lock, takes slots_arch_lock, puts the INVALID copy in"
        " the place of slot 0 (0x0..0xf) in the inactive set (A), releases slots_arch_lock."
    )
    assert steps[5].endswith(f"refuses: EEXIST: overlap, releases slots_lock. {PARTING}")
    assert sum(PARTING in step for step in steps) == 1


@pytest.mark.parametrize("engine", ["serial-rfc-v1", "rfc-v1", "ideal"])
def test_no_lock_is_taken_that_the_story_has_not_released(engine: str) -> None:
    case = parse_case(["slots 1", *MOVES.splitlines()]).case
    clauses = [clause for step in steps_of(engine_named(engine).apply(case, record=True)) for clause in step.clauses]
    held: set[str] = set()
    for clause in clauses:
        verb, _, locks = clause.removeprefix("which ").partition(" ")
        if verb == "takes":
            assert not held & set(locks.split(" and ")), clauses
            held |= set(locks.split(" and "))
        elif verb == "releases":
            assert held >= set(locks.split(" and ")), clauses
            held -= set(locks.split(" and "))
    assert not held
    assert "which releases slots_arch_lock" in clauses


def test_what_hangs_says_for_which_lock_and_who_has_it() -> None:
    steps = story("apply slot=0 gpa=0x0 size=0x1000 hva=0x0 invalidate")
    assert PARTING in steps[1]
    assert (
        "takes slots_lock, waits for ever for slots_arch_lock, taken in P1 for entry 0 and never released" in steps[2]
    )


def test_a_refusal_that_the_engine_does_not_make_is_where_they_part() -> None:
    steps = story(
        "given slot=0 gpa=0x0 size=0x2000 hva=0x0\napply slot=1 gpa=0x2000 size=0x1000 hva=0x0\n"
        "apply slot=0 gpa=0x1000 size=0x2000 hva=0x0 invalidate"
    )
    assert [step for step in steps if PARTING in step] == [f"2. entry 1, MOVE: refuses: EEXIST: overlap. {PARTING}"]


def test_what_fails_before_the_first_entry_is_no_entrys_doing() -> None:
    steps = story("list nent=33554432")
    assert steps[-1].startswith("1. before any entry: WARN")


def test_an_injected_failure_is_told() -> None:
    steps = story(SLOT_0 + "apply slot=0 size=0 invalidate\nfault invalid=0")
    assert any("no memory" in step for step in steps)


def test_a_long_story_is_cut_but_not_where_they_part() -> None:
    entries = "".join(f"apply slot={i} gpa={i * 0x1000:#x} size=0x1000 hva=0x0\n" for i in range(1, 80))
    text = (
        "given slot=200 gpa=0x100000 size=0x1000 hva=0x0\n"
        + entries
        + "apply slot=90 size=0\n"
        + ("apply slot=200 size=0 invalidate")
    )
    lines = list(narrative(told(text), 80))
    assert len(lines) < 100
    assert any(re.search(r"\(\d+ more steps\)", line) for line in lines)
    assert any(PARTING in line for line in lines)


def test_what_is_left_names_the_lost_object_and_both_sets() -> None:
    said = list(leftovers(told(GROW).engine))
    assert said == [
        "Slot 0 (0x0..0xf) stays INVALID for readers.",
        "The two sets differ: only the active one holds slot 0 INVALID (0x0..0xf), only the inactive one nothing. Each"
        " later publication shows the other one.",
        "1 object is in no set and never freed: slot 0 (0x0..0xf).",
    ]


def test_a_lock_that_is_kept_is_told_with_its_taker() -> None:
    said = list(leftovers(told("apply slot=32764 size=0").engine))
    assert said == ["slots_lock, taken in P1 for entry 0, is held when the call has returned."]


def test_nothing_is_left_by_a_sound_call() -> None:
    assert list(leftovers(Serial().apply(parse_case(["slots 1", *GROW.splitlines()]).case, record=True))) == []


def test_an_engine_without_events_has_no_steps() -> None:
    blind = told(GROW)
    outcome = blind.engine._replace(events=None, mishaps=None, published=None)
    assert steps_of(outcome) == []
    assert any("shows no steps" in line for line in narrative(blind._replace(engine=outcome), 80))


@pytest.mark.parametrize("path", RECORDS[::7], ids=lambda path: path.stem)
def test_every_record_can_be_told(path: Path) -> None:
    verdict, told = told_of(read_case(path).case, Serial(), RfcV1(), Policy.ATOMIC)
    lines = list(narrative(told, 72))
    if told.parting is not None:
        assert sum("<==" in line for line in lines) == 1
    assert all(len(line) <= 72 for line in lines)
    assert len(lost_objects(told.engine)) in (0, told.engine.leaked)
    locks = locks_of(told.engine)
    if told.engine.ended == "returned":
        assert locks == {lock for lock in ("slots_lock", "slots_arch_lock") if getattr(told.engine, lock)}, (
            "the events account for every lock"
        )
    assert verdict.findings or any("agrees" in line for line in path.read_text().splitlines())


def locks_of(outcome: Outcome) -> set[str]:
    """The locks that the steps take and do not release, read off the words."""
    held: set[str] = set()
    for step in steps_of(outcome):
        for clause in step.clauses:
            verb, _, names = clause.partition(" ")
            if verb == "takes":
                held |= set(names.split(" and "))
            elif verb == "releases":
                held -= set(names.split(" and "))
            elif verb == "publishes":
                held.discard("slots_arch_lock")
    return held


def test_news_tell_every_kind_of_change() -> None:
    case = parse_case(
        [
            "slots 1",
            "given slot=0 gpa=0x0 size=0x1000 hva=0x0",
            "given slot=1:2 gpa=0x0 size=0x1000 hva=0x0",
            "apply slot=0 gpa=0x0 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES",
            "apply slot=0 gpa=0x5000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES",
            "apply slot=1:2 size=0",
        ]
    ).case
    outcome = Serial().apply(case, record=True)
    last = dict(enumerate(outcome.before))
    said = []
    for as_id, slots, _ in outcome.published or ():
        said += news(last[as_id], slots)
        last[as_id] = slots
    assert said == [
        "slot 0 has flags LOG_DIRTY_PAGES",
        "slot 0 turns INVALID",
        "slot 0 is valid again and is at 0x5 instead of 0x0",
        "slot 1:2 turns INVALID",
        "slot 1:2 at 0x0 is gone",
    ]


def test_the_step_is_marked_where_readers_meet_another_invalid_window() -> None:
    """Its bucket says nothing of the change: which entry comes second is a matter of neighbours."""
    merge = SLOT_0 + (
        "given slot=1 gpa=0x10000 size=0x10000 hva=0x10000\n"
        "apply slot=0 size=0 invalidate\napply slot=1 size=0 invalidate\n"
    )
    marked = [step for step in story(merge) if PARTING in step]
    assert [step.partition(":")[0] for step in marked] == ["2. P1, entry 1, DELETE"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("free slot 0:3@0x10+0x8", "free slot 3 (0x10..0x17)"),
        ("stale-look-up: last_used_slot is not in the set", "stale-look-up: last_used_slot is not in the set"),
        ("0:0@0x0+0x0", "slot 0 (no gfn)"),
    ],
)
def test_objects_are_told_in_words_and_nothing_else_is_touched(told: str, words: str) -> None:
    assert object_words(told) == words


def test_a_range_is_its_first_gfn_and_its_last() -> None:
    assert [gfns(16, n) for n in (0, 1, 2)] == ["no gfn", "0x10", "0x10..0x11"]
