# SPDX-License-Identifier: GPL-2.0-only
"""What the single ioctl makes of a request that passes its checks: the change (b.3, 10 to 12), and going on."""

from collections.abc import Callable
from errno import EEXIST, EINVAL

import pytest

from engines.simulated.ended import Hung
from engines.simulated.engines import Serial
from engines.simulated.kernel import Kernel
from engines.simulated.rfc_v1 import ListCall
from engines.simulated.serial import set_memory_region
from memslots.case import Case
from memslots.outcome import Change
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
LOGS_0 = f"{SLOT_0} flags=LOG_DIRTY_PAGES"
READONLY_0 = f"{SLOT_0} flags=READONLY"

CHANGES = {
    "CREATE": ("", "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000", Change.CREATE, "s0=[0x0,+0x1000)"),
    "CREATE, another id": (
        SLOT_0,
        "slot=1 gpa=0x1000 size=0x1000 hva=0x100000000000",
        Change.CREATE,
        "s0=[0x0,+0x1000) s1=[0x1000,+0x1000)",
    ),
    "CREATE, another address space": (
        SLOT_0,
        "slot=1:0 gpa=0x0 size=0x1000 hva=0x100000000000",
        Change.CREATE,
        "s0=[0x0,+0x1000) 1:s0=[0x0,+0x1000)",
    ),
    "DELETE": (SLOT_0, "slot=0 size=0", Change.DELETE, ""),
    "MOVE": (
        SLOT_0,
        "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000",
        Change.MOVE,
        "s0=[0x5000,+0x1000)",
    ),
    "MOVE with other flags": (
        SLOT_0,
        "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
        Change.MOVE,
        "s0=[0x5000,+0x1000)L",
    ),
    "FLAGS_ONLY, on": (
        SLOT_0,
        "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
        Change.FLAGS_ONLY,
        "s0=[0x0,+0x1000)L",
    ),
    "FLAGS_ONLY, off": (
        LOGS_0,
        "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
        Change.FLAGS_ONLY,
        "s0=[0x0,+0x1000)",
    ),
    "no-op": (SLOT_0, "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000", Change.NO_OP, "s0=[0x0,+0x1000)"),
    "no-op, READONLY": (
        READONLY_0,
        "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=READONLY",
        Change.NO_OP,
        "s0=[0x0,+0x1000)R",
    ),
}


@pytest.mark.parametrize(("given", "words", "change", "active"), CHANGES.values(), ids=CHANGES.keys())
def test_what_differs_from_the_stored_slot_makes_the_change(
    *, given: str, words: str, change: Change, active: str, case_of: CaseOf, written: Written
) -> None:
    case = case_of(given, f"apply {words}")
    recorded = Serial().apply(case, record=True)
    assert recorded.events is not None
    assert recorded.events[-1].change is change
    for outcome in (recorded, Serial().apply(case)):
        assert (outcome.value, outcome.errno, outcome.entry_errnos) == (0, 0, (0,))
        assert written(outcome.active) == written(outcome.inactive) == active
        assert (outcome.leaked, outcome.warned, outcome.damage, outcome.corrupt) == (0, False, (), False)


FROZEN = {
    "more pages": (SLOT_0, "slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"),
    "another hva": (SLOT_0, "slot=0 gpa=0x0 size=0x1000 hva=0x100000001000"),
    "READONLY on": (SLOT_0, "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=READONLY"),
    "READONLY off": (READONLY_0, "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"),
    "READONLY for LOG": (READONLY_0, "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"),
    "moved with another hva": (SLOT_0, "slot=0 gpa=0x5000 size=0x1000 hva=0x100000001000"),
    "moved with READONLY on": (SLOT_0, "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=READONLY"),
}


@pytest.mark.parametrize(("given", "words"), FROZEN.values(), ids=FROZEN.keys())
def test_size_hva_and_readonly_of_a_slot_cannot_change(given: str, words: str, case_of: CaseOf) -> None:
    outcome = Serial().apply(case_of(given, f"apply {words}"))
    assert (outcome.errno, outcome.publications) == (EINVAL, 0)
    assert outcome.active == outcome.before


@pytest.mark.parametrize(
    ("keep_going", "errnos", "active"),
    [
        (False, (0, EEXIST), "s0=[0x0,+0x1000) s1=[0x5000,+0x1000)"),
        (True, (0, EEXIST, 0, EINVAL, 0), "s1=[0x5000,+0x1000) s3=[0x9000,+0x1000)"),
    ],
    ids=["stops", "goes on"],
)
def test_serial_stops_at_the_first_refusal_unless_asked_to_go_on(
    keep_going: bool, errnos: tuple[int, ...], active: str, case_of: CaseOf, written: Written
) -> None:
    case = case_of(
        SLOT_0,
        "apply slot=1 gpa=0x5000 size=0x1000 hva=0x0",
        "apply slot=2 gpa=0x5000 size=0x1000 hva=0x0",
        "apply slot=0 size=0",
        "apply slot=7 size=0",
        "apply slot=3 gpa=0x9000 size=0x1000 hva=0x0",
    )
    outcome = Serial(keep_going=keep_going).apply(case)
    assert (outcome.value, outcome.errno, outcome.entry_errnos) == (-1, EEXIST, errnos)
    assert written(outcome.before) == "s0=[0x0,+0x1000)"
    assert written(outcome.at_first_refusal) == "s0=[0x0,+0x1000) s1=[0x5000,+0x1000)"
    assert written(outcome.active) == active


INVALID_LEFT = {
    # given flags, the later request's flags, does it WARN
    "as it was": ("0", "0", True),
    "as it was, logging": ("LOG_DIRTY_PAGES", "LOG_DIRTY_PAGES", True),
    "as it was, READONLY": ("READONLY", "READONLY", False),
    "with logging on": ("0", "LOG_DIRTY_PAGES", False),
}


@pytest.mark.parametrize(("was", "asked", "warns"), INVALID_LEFT.values(), ids=INVALID_LEFT.keys())
def test_a_request_equal_to_an_invalid_copy_is_flags_only_and_no_no_op(
    *, was: str, asked: str, warns: bool, case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    """The stored word is compared, INVALID included. A list that failed in its first pass has left it INVALID."""
    case = case_of(
        f"{SLOT_0} flags={was}",
        "apply slot=0 size=0 invalidate",
        "apply slot=7 size=0 invalidate",
        f"apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags={asked}",
    )
    kernel = kernel_of(case)
    for _ in ListCall(kernel, case).steps():
        pass
    assert written(kernel.walk(0)).startswith("inv0=")
    generation = kernel.active(0).generation
    assert set_memory_region(kernel, case.apply[2]) == 0
    letters = {"0": "", "LOG_DIRTY_PAGES": "L", "READONLY": "R"}[asked]
    assert written(kernel.walk(0)) == written(kernel.walk(1)) == f"s0=[0x0,+0x1000){letters}"
    assert kernel.active(0).generation == generation + 2
    assert kernel.warned == warns


@pytest.mark.parametrize("linked", [False, True])
def test_overlap_misses_a_long_slot_that_begins_before_the_one_below(
    linked: bool, case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    """The search starts at the slot with the greatest base; only rfc-v1 leaves slots that overlap one another."""
    case = case_of(
        SLOT_0,
        "apply slot=1 gpa=0x4000 size=0x4000 hva=0x0",
        "apply slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 invalidate",
    )
    kernel = kernel_of(case, linked=linked)
    for _ in ListCall(kernel, case).steps():
        pass
    assert written(kernel.walk(0)) == "s0=[0x5000,+0x1000) s1=[0x4000,+0x4000)"
    requests = case_of(
        "apply slot=2 gpa=0x5000 size=0x1000 hva=0x0",
        "apply slot=2 gpa=0x4000 size=0x1000 hva=0x0",
        "apply slot=2 gpa=0x7000 size=0x1000 hva=0x0",
    ).apply
    assert [set_memory_region(kernel, region) for region in requests] == [-EEXIST, -EEXIST, 0]


def test_a_taken_slots_lock_is_waited_for_only_behind_the_id_check(case_of: CaseOf, kernel_of: KernelOf) -> None:
    case = case_of("apply slot=32764 size=0", "apply slot=0 flags=0x4 size=0")
    kernel = kernel_of(case)
    kernel.lock_slots()
    assert set_memory_region(kernel, case.apply[0]) == -EINVAL
    with pytest.raises(Hung):
        set_memory_region(kernel, case.apply[1])
