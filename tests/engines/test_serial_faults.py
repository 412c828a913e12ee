# SPDX-License-Identifier: GPL-2.0-only
"""Whatever fails inside the single ioctl, the request is refused and leaves nothing: no slot, no lock, no memory."""

from collections.abc import Callable
from errno import EFAULT, ENOMEM

import pytest

from engines.simulated.engines import Serial
from memslots.case import FAULT_KINDS, Case

CaseOf = Callable[..., Case]

GIVEN = [
    "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
    "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES",
]

NOTHING = "list nent=0"

ERRNOS = {"copy": EFAULT, "slot": ENOMEM, "invalid": ENOMEM, "bitmap": ENOMEM, "prepare": ENOMEM}

LISTS = {
    # entries; then, by kind, which entry each opportunity to fail belongs to
    "CREATE": (["slot=2 gpa=0x2000 size=0x1000 hva=0x0"], {"copy": [0], "slot": [0], "prepare": [0]}),
    "CREATE with LOG": (
        ["slot=2 gpa=0x2000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES"],
        {"copy": [0], "slot": [0], "bitmap": [0], "prepare": [0]},
    ),
    "DELETE": (["slot=0 size=0"], {"copy": [0], "invalid": [0], "prepare": [0]}),
    "DELETE with LOG": (["slot=1 size=0"], {"copy": [0], "invalid": [0], "prepare": [0]}),
    "MOVE": (
        ["slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000"],
        {"copy": [0], "slot": [0], "invalid": [0], "prepare": [0]},
    ),
    "MOVE, LOG on": (
        ["slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"],
        {"copy": [0], "slot": [0], "invalid": [0], "bitmap": [0], "prepare": [0]},
    ),
    "MOVE, LOG stays on": (
        ["slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES"],
        {"copy": [0], "slot": [0], "invalid": [0], "prepare": [0]},
    ),
    "FLAGS_ONLY, LOG on": (
        ["slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"],
        {"copy": [0], "slot": [0], "bitmap": [0], "prepare": [0]},
    ),
    "FLAGS_ONLY, LOG off": (
        ["slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000"],
        {"copy": [0], "slot": [0], "prepare": [0]},
    ),
    "no-op": (["slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"], {"copy": [0]}),
    "a list of all": (
        [
            "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
            "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
            "slot=1 size=0",
            "slot=1:1 gpa=0x0 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES",
            "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000",
            "slot=1 gpa=0x0 size=0x4000 hva=0x0",
        ],
        {
            "copy": [0, 1, 2, 3, 4, 5],
            "slot": [1, 3, 4, 5],
            "invalid": [1, 2],
            "bitmap": [1, 3],
            "prepare": [1, 2, 3, 4, 5],
        },
    ),
}

POSITIONS = [
    pytest.param(entries, kind, n, entry, id=f"{name}: {kind} {n}")
    for name, (entries, chances) in LISTS.items()
    for kind, failing in chances.items()
    for n, entry in enumerate(failing)
]


@pytest.mark.parametrize(("entries", "kind", "n", "entry"), POSITIONS)
def test_a_fault_refuses_its_entry_and_leaves_what_the_entries_before_it_left(
    entries: list[str], kind: str, n: int, entry: int, case_of: CaseOf
) -> None:
    applied = [f"apply {words}" for words in entries]
    before = Serial().apply(case_of(*GIVEN, *(applied[:entry] or [NOTHING])))
    outcome = Serial().apply(case_of(*GIVEN, *applied, f"fault {kind}={n}"))
    assert (outcome.ended, outcome.value, outcome.errno) == ("returned", -1, ERRNOS[kind])
    assert outcome.entry_errnos == (*[0] * entry, ERRNOS[kind])
    assert outcome.active == outcome.inactive == outcome.at_first_refusal == before.active
    assert outcome.nr_memslot_pages == before.nr_memslot_pages
    assert (outcome.slots_lock, outcome.slots_arch_lock) == (False, False)
    assert (outcome.leaked, outcome.damage, outcome.dangling, outcome.corrupt) == (0, (), False, False)
    assert not outcome.warned


@pytest.mark.parametrize(("entries", "chances"), LISTS.values(), ids=LISTS.keys())
@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_behind_the_last_opportunity_never_fires(
    entries: list[str], chances: dict[str, list[int]], kind: str, case_of: CaseOf
) -> None:
    applied = [f"apply {words}" for words in entries]
    outcome = Serial().apply(case_of(*GIVEN, *applied, f"fault {kind}={len(chances.get(kind, []))}"))
    assert outcome.errno == 0
    assert outcome == Serial().apply(case_of(*GIVEN, *applied))


@pytest.mark.parametrize(("entries", "kind", "n", "entry"), POSITIONS)
def test_going_on_after_a_fault_is_applying_the_list_without_its_entry(
    entries: list[str], kind: str, n: int, entry: int, case_of: CaseOf
) -> None:
    applied = [f"apply {words}" for words in entries]
    serial = Serial(keep_going=True)
    outcome = serial.apply(case_of(*GIVEN, *applied, f"fault {kind}={n}"))
    rest = applied[:entry] + applied[entry + 1 :]
    without = serial.apply(case_of(*GIVEN, *(rest or [NOTHING])))
    assert outcome.active == outcome.inactive == without.active
    assert (outcome.leaked, outcome.nr_memslot_pages) == (0, without.nr_memslot_pages)
