# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's commit: deletions, then creations, readers kept out iff a deleted range meets a created one."""

from collections.abc import Callable
from errno import EEXIST, ENOMEM
from random import Random

import pytest

from engines.simulated.boot import at_rest
from engines.simulated.engines import Serial
from engines.simulated.qemu_commit import QemuCommit
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of as drawn_case
from memslots.case import Case
from memslots.errors import Unfit
from memslots.slot import SlotSets, slot_of

CaseOf = Callable[..., Case]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x2000 size=0x2000 hva=0x100000002000"
SMM_0 = "given slot=1:0 gpa=0x0 size=0x1000 hva=0x0"
S0, S1 = "s0=[0x0,+0x2000)", "s1=[0x2000,+0x2000)"


def steps(case: Case) -> list[tuple[str, int]]:
    """Phase and entry of each publication, in order."""
    events = QemuCommit().apply(case, record=True).events or ()
    return [(event.phase, event.entry) for event in events if event.kind == "publish"]


def test_deletions_come_first_and_both_keep_the_order_of_the_list(case_of: CaseOf) -> None:
    case = case_of(
        SLOT_0,
        SLOT_1,
        "apply slot=2 gpa=0x8000 size=0x1000 hva=0x0",
        "apply slot=1 size=0",
        "apply slot=3 gpa=0x9000 size=0x1000 hva=0x0",
        "apply slot=0 size=0",
    )
    assert steps(case) == [("del", 1), ("del", 1), ("del", 3), ("del", 3), ("add", 0), ("add", 2)]


def test_system_memory_is_committed_before_smm(case_of: CaseOf) -> None:
    case = case_of(
        SLOT_0,
        SMM_0,
        "apply slot=1:0 size=0",
        "apply slot=1:1 gpa=0x8000 size=0x1000 hva=0x0",
        "apply slot=0 size=0",
        "apply slot=1 gpa=0x0 size=0x1000 hva=0x0",
    )
    assert steps(case) == [("del", 2), ("del", 2), ("add", 3), ("del", 0), ("del", 0), ("add", 1)]
    # Each listener inhibits for itself: only in system memory a deleted range meets a created one.
    published = QemuCommit().apply(case).published or ()
    assert [(as_id, inhibited) for as_id, _, inhibited in published] == [(0, True)] * 3 + [(1, False)] * 3


MEETING = {
    "the same range": ("0x0", "0x2000", True),
    "the last page": ("0x1000", "0x2000", True),
    "around it": ("0x0", "0x8000", True),
    "right behind": ("0x2000", "0x1000", False),
    "far away": ("0x8000", "0x1000", False),
}


@pytest.mark.parametrize(("gpa", "size", "inhibited"), MEETING.values(), ids=MEETING.keys())
def test_readers_are_inhibited_where_ranges_meet(gpa: str, size: str, *, inhibited: bool, case_of: CaseOf) -> None:
    case = case_of(SLOT_0, "apply slot=0 size=0", f"apply slot=5 gpa={gpa} size={size} hva=0x0")
    assert [each.inhibited for each in QemuCommit().apply(case).published or ()] == [inhibited] * 3


def fitting(seed: int, wanted: int) -> list[Case]:
    """Drawn lists that QEMU could send, without faults."""
    rng = Random(seed)
    cases: list[Case] = []
    while len(cases) < wanted:
        case = drawn_case(drawn_choices(rng))
        try:
            QemuCommit().apply(case)
        except Unfit:
            continue
        if case.apply and not case.faults:
            cases.append(case)
    return cases


def test_inhibition_is_what_comparing_every_pair_of_ranges_says() -> None:
    met = 0
    for case in fitting(8, 300):
        vm = at_rest(case).vm
        outcome = QemuCommit().apply(case)
        for as_id in range(case.machine.address_spaces):
            own = [region for region in case.named() if region.as_id == as_id]
            deleted = [vm.slot(as_id, region.id) for region in own if not region.memory_size]
            created = [slot_of(region, case.machine.page_shift) for region in own if region.memory_size]
            meets = any(slot is not None and slot.overlaps(new) for slot in deleted for new in created)
            met += meets
            assert {each.inhibited for each in outcome.published or () if each.as_id == as_id} <= {meets}, case
    assert met > 20


def test_a_list_that_serial_accepts_comes_to_the_same_slots() -> None:
    accepted = 0
    for case in fitting(9, 300):
        serial = Serial().apply(case)
        if not serial.value:
            accepted += 1
            outcome = QemuCommit().apply(case)
            assert (outcome.value, outcome.active, outcome.generation) == (0, serial.active, serial.generation), case
    assert accepted > 50


UNFIT = {
    "a MOVE": (["apply slot=0 gpa=0x8000 size=0x2000 hva=0x100000000000"], "entry 0: .*moves"),
    "FLAGS_ONLY": (["apply slot=0 gpa=0x0 size=0x2000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"], "entry 0: .*flags"),
    "a no-op": (["apply slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"], "entry 0"),
    "a resize": (["apply slot=0 gpa=0x0 size=0x4000 hva=0x100000000000"], "entry 0"),
    "a slot changed before it is deleted": (
        ["apply slot=0 gpa=0x8000 size=0x2000 hva=0x100000000000", "apply slot=0 size=0"],
        "entry 0",
    ),
    "a slot that is not there": (["apply slot=5 size=0"], "entry 0: .*deletes what stands"),
    "a slot deleted twice": (["apply slot=0 size=0", "apply slot=0 size=0"], "entry 1: .*deletes what stands"),
    "a slot that the list itself creates": (
        ["apply slot=5 gpa=0x8000 size=0x1000 hva=0x0", "apply slot=5 size=0"],
        "entry 1: .*deletes what stands",
    ),
    "a slot created twice": (
        ["apply slot=5 gpa=0x8000 size=0x1000 hva=0x0", "apply slot=5 gpa=0x9000 size=0x1000 hva=0x0"],
        "entry 1: .*creates a slot once",
    ),
    "half a page": (["apply slot=5 gpa=0x8000 size=0x800 hva=0x0"], "entry 0: .*such fields"),
    "an id of the kernel's own": (["apply slot=32764 gpa=0x8000 size=0x1000 hva=0x0"], "entry 0: .*such fields"),
    "no such address space": (["apply slot=2:0 size=0"], "entry 0: .*such fields"),
    "entries that nobody gives": (["list nent=4294967295", "apply slot=0 size=0"], "entry 1: .*deletes what stands"),
}


@pytest.mark.parametrize(("lines", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_what_qemu_would_never_send_is_said_to_be_so(lines: list[str], why: str, case_of: CaseOf) -> None:
    with pytest.raises(Unfit, match=why):
        QemuCommit().apply(case_of(SLOT_0, *lines))


REFUSED = {
    "overlap": (["apply slot=5 gpa=0x2000 size=0x1000 hva=0x0", "apply slot=0 size=0"], EEXIST, S1),
    "no INVALID copy": (["apply slot=0 size=0", "apply slot=1 size=0", "fault invalid=1"], ENOMEM, S1),
    "the hook": (["apply slot=5 gpa=0x8000 size=0x1000 hva=0x0", "fault prepare=0"], ENOMEM, f"{S0} {S1}"),
}


@pytest.mark.parametrize(("lines", "errno", "left"), REFUSED.values(), ids=REFUSED.keys())
def test_what_was_done_before_a_refusal_stays(
    lines: list[str], errno: int, left: str, case_of: CaseOf, written: Written
) -> None:
    outcome = QemuCommit().apply(case_of(SLOT_0, SLOT_1, *lines))
    assert (outcome.value, outcome.errno) == (-1, errno)
    assert written(outcome.active) == written(outcome.at_first_refusal) == left
    assert (outcome.leaked, outcome.slots_lock, outcome.slots_arch_lock) == (0, False, False)


def test_recorded_or_not_a_commit_is_the_same() -> None:
    for case in fitting(10, 100):
        assert QemuCommit().apply(case, record=True)._replace(events=None) == QemuCommit().apply(case), case
