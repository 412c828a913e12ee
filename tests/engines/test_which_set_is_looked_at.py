# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl looks at the inactive set of the moment (c.5), and what that makes of lists that serial accepts."""

from collections.abc import Callable
from errno import EEXIST, EINVAL, EIO

import pytest

from engines.simulated.engines import RfcV1, Serial
from engines.simulated.kernel import Kernel
from engines.simulated.rfc_v1 import ListCall
from memslots.case import Case
from memslots.outcome import Change
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000"
DELETE_0 = "apply slot=0 size=0 invalidate"
DELETE_1 = "apply slot=1 size=0 invalidate"
MOVE_0_TO_1 = "apply slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 invalidate"
MOVE_0_AWAY = "apply slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000 invalidate"
LOG_0 = "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"
NO_OP_0 = "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"

S0, INV0 = "s0=[0x0,+0x1000)", "inv0=[0x0,+0x1000)"
S1, INV1 = "s1=[0x5000,+0x1000)", "inv1=[0x5000,+0x1000)"

REFUSED = {
    # lines; the errno; active and inactive sets at the end
    "a MOVE meets a slot that an earlier entry deletes": (
        [SLOT_0, SLOT_1, DELETE_1, MOVE_0_TO_1],
        EEXIST,
        f"{S0} {INV1}",
        f"{S0} {INV1}",
    ),
    "a MOVE meets a slot that an earlier entry moves away": (
        [
            SLOT_0,
            SLOT_1,
            "apply slot=1 gpa=0x9000 size=0x1000 hva=0x100000100000 invalidate",
            MOVE_0_TO_1,
        ],
        EEXIST,
        f"{S0} {INV1}",
        f"{S0} {INV1}",
    ),
    "a CREATE before the DELETE that makes room": (
        [SLOT_0, "apply slot=2 gpa=0x0 size=0x1000 hva=0x0", DELETE_0],
        EEXIST,
        INV0,
        INV0,
    ),
    "a CREATE before the MOVE that makes room": (
        [SLOT_0, "apply slot=2 gpa=0x0 size=0x1000 hva=0x0", MOVE_0_AWAY],
        EEXIST,
        INV0,
        INV0,
    ),
    "a CREATE on a pending CREATE": (
        ["apply slot=2 gpa=0x0 size=0x2000 hva=0x0", "apply slot=3 gpa=0x1000 size=0x1000 hva=0x0"],
        EEXIST,
        "",
        "s2=[0x0,+0x2000)",
    ),
    "a CREATE on a pending MOVE": (
        [SLOT_0, MOVE_0_AWAY, "apply slot=2 gpa=0x8000 size=0x2000 hva=0x0"],
        EEXIST,
        INV0,
        "s0=[0x9000,+0x1000)",
    ),
    "a resize of a pending CREATE": (
        ["apply slot=2 gpa=0x0 size=0x2000 hva=0x0", "apply slot=2 gpa=0x0 size=0x3000 hva=0x0"],
        EINVAL,
        "",
        "s2=[0x0,+0x2000)",
    ),
    "a DELETE, flagged, of a slot that the list creates": (
        [SLOT_0, "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0", "apply slot=2 size=0 invalidate"],
        EINVAL,
        S0,
        S0,
    ),
    "a DELETE of a pending CREATE, whose pages are not counted yet": (
        ["apply slot=2 gpa=0x0 size=0x2000 hva=0x0", "apply slot=2 size=0"],
        EIO,
        "",
        "s2=[0x0,+0x2000)",
    ),
    "the same with other pages, one too few": (
        [SLOT_0, "apply slot=2 gpa=0x2000 size=0x2000 hva=0x0", "apply slot=2 size=0"],
        EIO,
        S0,
        f"{S0} s2=[0x2000,+0x2000)",
    ),
}


@pytest.mark.parametrize(("lines", "errno", "active", "inactive"), REFUSED.values(), ids=REFUSED.keys())
def test_a_list_is_refused_over_what_its_inactive_set_holds(
    *, lines: list[str], errno: int, active: str, inactive: str, case_of: CaseOf, written: Written
) -> None:
    outcome = RfcV1().apply(case_of(*lines))
    assert (outcome.value, outcome.errno) == (-1, errno)
    assert (written(outcome.active), written(outcome.inactive)) == (active, inactive)
    assert (outcome.slots_lock, outcome.slots_arch_lock) == (False, False)
    assert outcome.warned == (errno == EIO)


ACCEPTED = {
    "a CREATE where an earlier entry deleted": (
        [SLOT_0, DELETE_0, "apply slot=2 gpa=0x0 size=0x2000 hva=0x0"],
        "s2=[0x0,+0x2000)",
    ),
    "a CREATE where an earlier entry moved away": (
        [SLOT_0, MOVE_0_AWAY, "apply slot=2 gpa=0x0 size=0x1000 hva=0x0"],
        "s0=[0x9000,+0x1000) s2=[0x0,+0x1000)",
    ),
    "a CREATE of the id that an earlier entry deleted": (
        [SLOT_0, DELETE_0, "apply slot=0 gpa=0x3000 size=0x2000 hva=0x0 flags=READONLY"],
        "s0=[0x3000,+0x2000)R",
    ),
    "a CREATE in the other address space, over a slot that stays": (
        [SLOT_0, "apply slot=1:2 gpa=0x0 size=0x1000 hva=0x0"],
        f"{S0} 1:s2=[0x0,+0x1000)",
    ),
    "FLAGS_ONLY of a slot that an earlier entry creates": ([NO_OP_0, LOG_0], "s0=[0x0,+0x1000)L"),
    "a MOVE over its own old range": (
        [
            "given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000",
            "apply slot=0 gpa=0x1000 size=0x2000 hva=0x100000000000 invalidate",
        ],
        "s0=[0x1000,+0x2000)",
    ),
}


@pytest.mark.parametrize(("lines", "active"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_earlier_entries_of_the_second_pass_make_room(
    lines: list[str], active: str, case_of: CaseOf, written: Written
) -> None:
    case = case_of(*lines)
    outcome = RfcV1().apply(case)
    assert (outcome.value, outcome.leaked, outcome.corrupt) == (0, 0, False)
    assert written(outcome.active) == written(outcome.inactive) == active
    assert Serial().apply(case).active == outcome.active


def test_a_move_is_not_held_against_what_the_list_creates(case_of: CaseOf, written: Written) -> None:
    """Its overlap is tested in the first pass only: two slots on one gfn, where serial answers EEXIST."""
    case = case_of(SLOT_0, "apply slot=2 gpa=0x8000 size=0x4000 hva=0x0", MOVE_0_AWAY)
    outcome = RfcV1().apply(case)
    assert (outcome.value, outcome.errno, outcome.leaked) == (0, 0, 0)
    assert written(outcome.active) == written(outcome.inactive) == "s0=[0x9000,+0x1000) s2=[0x8000,+0x4000)"
    assert Serial().apply(case).errno == EEXIST


def stepped(case: Case, kernel_of: KernelOf) -> ListCall:
    """The call, run up to the end of its second pass."""
    call = ListCall(kernel_of(case, linked=True), case)
    for _ in call.steps():
        if call.kernel.phase == "P2" and call.kernel.index == len(case.apply) - 1 and not call.kernel.slots_lock:
            return call
    raise AssertionError("the second pass did not end")


CLASSIFIED = {
    "FLAGS_ONLY of a slot that this list creates": (
        [NO_OP_0, LOG_0],
        [Change.CREATE, Change.FLAGS_ONLY],
    ),
    "FLAGS_ONLY, not a no-op, where a later entry has made the slot INVALID": (
        [SLOT_0, NO_OP_0, DELETE_0],
        [Change.FLAGS_ONLY, Change.DELETE],
    ),
    "an unflagged DELETE has swapped: the pending CREATE is not found again": (
        [
            SLOT_0,
            "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0",
            "apply slot=0 size=0",
            "apply slot=2 gpa=0x3000 size=0x2000 hva=0x0",
        ],
        [Change.CREATE, Change.DELETE, Change.CREATE],
    ),
}


@pytest.mark.parametrize(("lines", "changes"), CLASSIFIED.values(), ids=CLASSIFIED.keys())
def test_pending_objects_and_invalid_copies_are_what_a_request_is_compared_with(
    lines: list[str], changes: list[Change], case_of: CaseOf, kernel_of: KernelOf
) -> None:
    batch = stepped(case_of(*lines), kernel_of).batch
    assert [entry.change for entry in batch] == changes
    # A no-op would leave `new` empty.
    assert [entry.new is not None for entry in batch] == [change is not Change.DELETE for change in changes]


def test_flags_only_on_a_pending_create_replaces_that_object(case_of: CaseOf, kernel_of: KernelOf) -> None:
    first, second = stepped(case_of(NO_OP_0, LOG_0), kernel_of).batch
    assert second.old is first.new is not None
