# SPDX-License-Identifier: GPL-2.0-only
"""Every place where something can fail in a call, one after the other: serial and ideal leave nothing behind.

The lists are of all kinds of changes, alone and together. For each, each kind of fault is tried at n = 0, 1, 2 and so
on, until a call is not hit any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from errno import EFAULT, ENOMEM
from random import Random

import pytest

from engines.ideal.engine import Ideal
from engines.protocol import Engine
from engines.simulated.engines import Serial
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of as drawn_case
from memslots.case import FAULT_KINDS, Case
from memslots.outcome import Outcome

CaseOf = Callable[..., Case]

ERRNOS = dict.fromkeys(FAULT_KINDS, ENOMEM) | {"copy": EFAULT}

GIVEN = [
    "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
    "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES",
    "given slot=1:0 gpa=0x0 size=0x1000 hva=0x100000200000 flags=LOG_DIRTY_PAGES",
]

LISTS = {
    # entries; how many places of each kind ideal has (copy, array, slot, invalid, bitmap, prepare)
    "CREATE": (["slot=2 gpa=0x2000 size=0x1000 hva=0x0"], (2, 2, 1, 0, 0, 1)),
    "CREATE, LOG": (["slot=2 gpa=0x2000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES"], (2, 2, 1, 0, 1, 1)),
    "DELETE": (["slot=0 size=0"], (2, 2, 0, 1, 0, 1)),
    "DELETE, LOG": (["slot=1 size=0"], (2, 2, 0, 1, 0, 1)),
    "MOVE": (["slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000"], (2, 2, 1, 1, 0, 1)),
    "MOVE, LOG on": (
        ["slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"],
        (2, 2, 1, 1, 1, 1),
    ),
    "MOVE, LOG stays on": (
        ["slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES"],
        (2, 2, 1, 1, 0, 1),
    ),
    "MOVE, LOG off": (["slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000"], (2, 2, 1, 1, 0, 1)),
    "FLAGS_ONLY, LOG on": (
        ["slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"],
        (2, 2, 1, 0, 1, 1),
    ),
    "FLAGS_ONLY, LOG off": (["slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000"], (2, 2, 1, 0, 0, 1)),
    "no-op": (["slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"], (2, 2, 0, 0, 0, 0)),
    "nothing": ([], (1, 0, 0, 0, 0, 0)),
    "grow": (
        ["slot=0 size=0", "slot=1 size=0", "slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"],
        (2, 2, 1, 2, 0, 3),
    ),
    "both address spaces": (
        ["slot=0 size=0", "slot=1:0 size=0", "slot=1:1 gpa=0x0 size=0x1000 hva=0x0"],
        (2, 2, 1, 2, 0, 3),
    ),
    "one of each": (
        [
            "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
            "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
            "slot=1 size=0",
            "slot=1:1 gpa=0x1000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES",
            "slot=1:0 gpa=0x0 size=0x1000 hva=0x100000200000",
            "slot=1 gpa=0x0 size=0x4000 hva=0x0",
        ],
        (2, 2, 4, 2, 2, 5),
    ),
}
ENGINES: dict[str, Engine] = {"serial": Serial(), "ideal": Ideal()}


def struck(engine: Engine, case: Case, kind: str) -> Iterator[Outcome]:
    """The outcome for each n, as long as the n-th of this kind is met."""
    for n in range(1000):
        outcome = engine.apply(replace(case, faults=((kind, n),)))
        if not outcome.failed:
            assert outcome == engine.apply(case), "a fault that is not met must change nothing"
            return
        yield outcome
    raise AssertionError("it never ends")


def nothing_is_left(outcome: Outcome, kind: str) -> None:
    assert (outcome.ended, outcome.value, outcome.errno) == ("returned", -1, ERRNOS[kind])
    assert outcome.failed == (kind,)
    assert outcome.active == outcome.inactive
    assert (outcome.slots_lock, outcome.slots_arch_lock) == (False, False)
    assert (outcome.leaked, outcome.dangling, outcome.damage, outcome.corrupt) == (0, False, (), False)
    assert not outcome.warned
    assert outcome.nr_memslot_pages == sum(slot.npages for slots in outcome.active for slot in slots)
    assert not any(generation >> 63 for generation in outcome.generation or ())


def nothing_has_changed(outcome: Outcome) -> None:
    assert outcome.active == outcome.before
    # INVALID slots and the way back, of each address space, or nothing at all.
    assert outcome.publications in (0, 2, 2 * len(outcome.active))


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_serial_leaves_what_the_entries_before_the_failure_left(name: str, kind: str, case_of: CaseOf) -> None:
    entries, _ = LISTS[name]
    case = case_of(*GIVEN, *([f"apply {words}" for words in entries] or ["list nent=0"]))
    for outcome in struck(Serial(), case, kind):
        nothing_is_left(outcome, kind)
        assert outcome.entry_errnos is not None
        done = len(outcome.entry_errnos) - 1
        assert outcome.active == Serial().apply(replace(case, apply=case.apply[:done], nent=done)).active


@pytest.mark.parametrize("name", LISTS)
def test_ideal_leaves_all_as_it_was_wherever_it_fails(name: str, case_of: CaseOf) -> None:
    entries, places = LISTS[name]
    case = case_of(*GIVEN, *([f"apply {words}" for words in entries] or ["list nent=0"]))
    at_rest = Ideal().apply(replace(case, apply=(), nent=0))
    assert Ideal().apply(case).errno == 0
    met: dict[str, int] = {}
    for kind in FAULT_KINDS:
        outcomes = list(struck(Ideal(), case, kind))
        met[kind] = len(outcomes)
        for outcome in outcomes:
            nothing_is_left(outcome, kind)
            nothing_has_changed(outcome)
            assert outcome.nr_memslot_pages == at_rest.nr_memslot_pages
    assert tuple(met.values()) == places


@pytest.mark.parametrize("name", ["serial", "ideal"])
def test_drawn_lists_leave_nothing_behind_wherever_they_fail(name: str) -> None:
    rng = Random(11)
    met = 0
    for _ in range(120):
        case = replace(drawn_case(drawn_choices(rng)), faults=())
        if len(case.apply) > 12:
            continue
        for kind in FAULT_KINDS:
            for outcome in struck(ENGINES[name], case, kind):
                met += 1
                nothing_is_left(outcome, kind)
                if name == "ideal":
                    nothing_has_changed(outcome)
    assert met > 500
