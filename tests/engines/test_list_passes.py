# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl pass by pass (c.3, c.4): what readers see, what is being edited, what each batch entry holds."""

from collections.abc import Callable

import pytest

from engines.simulated.ended import Oops
from engines.simulated.engines import RfcV1
from engines.simulated.kernel import Kernel
from engines.simulated.rfc_v1 import ListCall
from engines.simulated.series import PUBLISHED, UNLOCKED
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
MOVE_0 = "apply slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000 invalidate"
LOG_0 = "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"
NO_OP_0 = "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
CREATE_2 = "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0"
CREATE_3 = "apply slot=3 gpa=0x3000 size=0x1000 hva=0x0"

S0, S0L, S0_MOVED = "s0=[0x0,+0x1000)", "s0=[0x0,+0x1000)L", "s0=[0x9000,+0x1000)"
S1, S2, S3 = "s1=[0x5000,+0x1000)", "s2=[0x2000,+0x1000)", "s3=[0x3000,+0x1000)"
INV0, INV1 = "inv0=[0x0,+0x1000)", "inv1=[0x5000,+0x1000)"

Shown = tuple[str, str, str]


def passes(kernel: Kernel, call: ListCall, written: Written) -> list[Shown]:
    """At each pause and at the end: where the call stands, the active sets, the inactive ones."""

    def shown(where: str) -> Shown:
        return where, written(kernel.walk(0)), written(kernel.walk(1))

    return [*(shown(f"{kernel.phase} {pause}") for pause in call.steps()), shown("end")]


TRACES: dict[str, tuple[list[str], list[Shown]]] = {
    "flagged DELETE": (
        [SLOT_0, DELETE_0],
        [
            (f"P1 {PUBLISHED}", INV0, S0),
            (f"P1 {UNLOCKED}", INV0, INV0),
            (f"P2 {UNLOCKED}", INV0, ""),
            (f"P3 {PUBLISHED}", "", INV0),
            ("end", "", ""),
        ],
    ),
    "flagged MOVE": (
        [SLOT_0, MOVE_0],
        [
            (f"P1 {PUBLISHED}", INV0, S0),
            (f"P1 {UNLOCKED}", INV0, INV0),
            (f"P2 {UNLOCKED}", INV0, S0_MOVED),
            (f"P3 {PUBLISHED}", S0_MOVED, INV0),
            ("end", S0_MOVED, S0_MOVED),
        ],
    ),
    "unflagged CREATE": (
        [CREATE_2],
        [
            (f"P1 {UNLOCKED}", "", ""),
            (f"P2 {UNLOCKED}", "", S2),
            (f"P3 {PUBLISHED}", S2, ""),
            ("end", S2, S2),
        ],
    ),
    "unflagged FLAGS_ONLY": (
        [SLOT_0, LOG_0],
        [
            (f"P1 {UNLOCKED}", S0, S0),
            (f"P2 {UNLOCKED}", S0, S0L),
            (f"P3 {PUBLISHED}", S0L, S0),
            ("end", S0L, S0L),
        ],
    ),
    "unflagged DELETE": (
        [SLOT_0, "apply slot=0 size=0"],
        [
            (f"P1 {UNLOCKED}", S0, S0),
            (f"P2 {PUBLISHED}", INV0, S0),
            (f"P2 {UNLOCKED}", INV0, ""),
            (f"P3 {PUBLISHED}", "", INV0),
            ("end", "", ""),
        ],
    ),
    "unflagged MOVE": (
        [SLOT_0, "apply slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000"],
        [
            (f"P1 {UNLOCKED}", S0, S0),
            (f"P2 {PUBLISHED}", INV0, S0),
            (f"P2 {UNLOCKED}", INV0, S0_MOVED),
            (f"P3 {PUBLISHED}", S0_MOVED, INV0),
            ("end", S0_MOVED, S0_MOVED),
        ],
    ),
    "two flagged DELETEs publish one after the other": (
        [SLOT_0, SLOT_1, DELETE_0, DELETE_1],
        [
            (f"P1 {PUBLISHED}", f"{INV0} {S1}", f"{S0} {S1}"),
            (f"P1 {PUBLISHED}", f"{INV0} {INV1}", f"{INV0} {S1}"),
            (f"P1 {UNLOCKED}", f"{INV0} {INV1}", f"{INV0} {INV1}"),
            (f"P2 {UNLOCKED}", f"{INV0} {INV1}", INV1),
            (f"P2 {UNLOCKED}", f"{INV0} {INV1}", ""),
            (f"P3 {PUBLISHED}", "", f"{INV0} {INV1}"),
            ("end", "", ""),
        ],
    ),
    "CREATEs appear together": (
        [CREATE_2, CREATE_3],
        [
            (f"P1 {UNLOCKED}", "", ""),
            (f"P2 {UNLOCKED}", "", S2),
            (f"P2 {UNLOCKED}", "", f"{S2} {S3}"),
            (f"P3 {PUBLISHED}", f"{S2} {S3}", ""),
            ("end", f"{S2} {S3}", f"{S2} {S3}"),
        ],
    ),
    "the first pass looks ahead of unflagged entries": (
        [SLOT_0, CREATE_2, DELETE_0],
        [
            (f"P1 {PUBLISHED}", INV0, S0),
            (f"P1 {UNLOCKED}", INV0, INV0),
            (f"P2 {UNLOCKED}", INV0, f"{INV0} {S2}"),
            (f"P2 {UNLOCKED}", INV0, S2),
            (f"P3 {PUBLISHED}", S2, INV0),
            ("end", S2, S2),
        ],
    ),
    "a resize": (
        [SLOT_0, DELETE_0, "apply slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"],
        [
            (f"P1 {PUBLISHED}", INV0, S0),
            (f"P1 {UNLOCKED}", INV0, INV0),
            (f"P2 {UNLOCKED}", INV0, ""),
            (f"P2 {UNLOCKED}", INV0, "s0=[0x0,+0x2000)"),
            (f"P3 {PUBLISHED}", "s0=[0x0,+0x2000)", INV0),
            ("end", "s0=[0x0,+0x2000)", "s0=[0x0,+0x2000)"),
        ],
    ),
    "address spaces are published one after the other, in the order of their first entries": (
        ["apply slot=1:2 gpa=0x2000 size=0x1000 hva=0x0", CREATE_2, "apply slot=1:3 gpa=0x3000 size=0x1000 hva=0x0"],
        [
            (f"P1 {UNLOCKED}", "", ""),
            (f"P2 {UNLOCKED}", "", f"1:{S2}"),
            (f"P2 {UNLOCKED}", "", f"{S2} 1:{S2}"),
            (f"P2 {UNLOCKED}", "", f"{S2} 1:{S2} 1:{S3}"),
            (f"P3 {PUBLISHED}", f"1:{S2} 1:{S3}", S2),
            (f"P3 {PUBLISHED}", f"{S2} 1:{S2} 1:{S3}", f"1:{S2}"),
            ("end", f"{S2} 1:{S2} 1:{S3}", f"{S2} 1:{S2} 1:{S3}"),
        ],
    ),
}


@pytest.mark.parametrize(("lines", "trace"), TRACES.values(), ids=TRACES.keys())
def test_both_sets_after_each_pass(
    lines: list[str], trace: list[Shown], case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    case = case_of(*lines)
    kernel = kernel_of(case)
    call = ListCall(kernel, case)
    assert passes(kernel, call, written) == trace
    assert call.r == 0
    outcome = RfcV1().apply(case)
    assert (written(outcome.active), written(outcome.inactive)) == trace[-1][1:]
    assert outcome.publications == sum(PUBLISHED in where for where, _, _ in trace)
    assert (outcome.leaked, outcome.corrupt, outcome.dangling, outcome.damage, outcome.warned) == (
        0,
        False,
        False,
        (),
        0,
    )


ENTRIES = {
    # request; old, new, invalid after the first pass and after the second; the change
    "flagged DELETE": (DELETE_0, (True, False, True), (True, False, True), Change.DELETE),
    "flagged MOVE": (MOVE_0, (True, True, True), (True, True, True), Change.MOVE),
    "unflagged CREATE": (CREATE_2, (False, False, False), (False, True, False), Change.CREATE),
    "unflagged FLAGS_ONLY": (LOG_0, (False, False, False), (True, True, False), Change.FLAGS_ONLY),
    "unflagged no-op": (NO_OP_0, (False, False, False), (True, False, False), Change.CREATE),
    "unflagged DELETE": ("apply slot=0 size=0", (False, False, False), (True, False, True), Change.DELETE),
}


@pytest.mark.parametrize(("line", "after_p1", "after_p2", "change"), ENTRIES.values(), ids=ENTRIES.keys())
def test_what_a_batch_entry_holds_after_each_pass(
    *,
    line: str,
    after_p1: tuple[bool, ...],
    after_p2: tuple[bool, ...],
    change: Change,
    case_of: CaseOf,
    kernel_of: KernelOf,
) -> None:
    case = case_of(SLOT_0, line)
    kernel = kernel_of(case)
    original = kernel.active(0).lookup(0)
    assert original is not None
    call = ListCall(kernel, case)
    held = []
    for pause in call.steps():
        [entry] = call.batch
        if pause == UNLOCKED:
            held.append(tuple(o is not None for o in (entry.old, entry.new, entry.invalid)))
        assert entry.old in (None, original)
        assert not original.freed
        if len(held) == 2:
            break
    assert held == [after_p1, after_p2]
    assert entry.change is change


@pytest.mark.parametrize("line", [DELETE_0, MOVE_0, CREATE_2, LOG_0, "apply slot=0 size=0"])
def test_the_third_pass_frees_what_was_replaced_and_every_invalid_copy(
    line: str, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of(SLOT_0, line)
    kernel = kernel_of(case)
    call = ListCall(kernel, case)
    for _ in call.steps():
        [entry] = call.batch
        assert not any(o is not None and o.freed for o in (entry.old, entry.new, entry.invalid))
    assert entry.old is None or entry.old.freed
    assert entry.invalid is None or entry.invalid.freed
    assert entry.new is None or not entry.new.freed
    assert [o for o in kernel.allocated if not o.freed] == kernel.active(0).in_gfn_order()


def test_a_no_op_that_reaches_the_third_pass_replaces_nothing_by_nothing(case_of: CaseOf, kernel_of: KernelOf) -> None:
    case = case_of(SLOT_0, NO_OP_0)
    kernel = kernel_of(case)
    assert not kernel.warned
    with pytest.raises(Oops) as oops:
        list(ListCall(kernel, case).steps())
    assert (oops.value.kind, kernel.phase, kernel.warned, kernel.publications) == ("null-dereference", "P3", True, 1)
    assert (kernel.slots_lock, kernel.slots_arch_lock) == (True, True)
