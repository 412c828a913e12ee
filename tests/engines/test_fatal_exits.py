# SPDX-License-Identifier: GPL-2.0-only
"""Error exits that leave a freed slot or never return (c.7: X7, X10, X11), and every fault of one list."""

from collections.abc import Callable
from errno import EFAULT, EINVAL, ENOMEM

import pytest

from engines.simulated.ended import Oops
from engines.simulated.engines import RfcV1
from engines.simulated.kernel import Kernel
from engines.simulated.rfc_v1 import ListCall
from engines.simulated.series import PUBLISHED, UNLOCKED
from memslots.case import Case
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Written = Callable[[SlotSets | None], str]

MACHINE = "machine linux-6.1 max_gfn=0xff"
GIVEN = [
    "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
    "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000",
    "given slot=2 gpa=0x2000 size=0x1000 hva=0x100000200000",
]
S0, S1, S2 = "s0=[0x0,+0x1000)", "s1=[0x1000,+0x1000)", "s2=[0x2000,+0x1000)"
I0, I1, I2 = "inv0=[0x0,+0x1000)", "inv1=[0x1000,+0x1000)", "inv2=[0x2000,+0x1000)"
S3 = "s3=[0x3000,+0x1000)"
UNCHANGED = f"{S0} {S1} {S2}"

DELETE_0 = "slot=0 size=0 invalidate"
DELETE_2 = "slot=2 size=0 invalidate"
MOVE_1 = "slot=1 gpa=0x8000 size=0x1000 hva=0x100000100000 invalidate"
CREATE_3 = "slot=3 gpa=0x3000 size=0x1000 hva=0x0"
CREATE_3_LOG = f"{CREATE_3} flags=LOG_DIRTY_PAGES"
BEYOND_3 = "slot=3 gpa=0x100000 size=0x1000 hva=0x0"
LOG_2 = "slot=2 gpa=0x2000 size=0x1000 hva=0x100000200000 flags=LOG_DIRTY_PAGES"
NO_OP_2 = "slot=2 gpa=0x2000 size=0x1000 hva=0x100000200000"
MISSING = "slot=9 size=0"

SLOTS, ARCH, FREE = (True, False), (False, True), (False, False)

ROLLBACKS = {
    # entries, fault, errno, leaked
    "MOVE beyond the maximum gfn": ("slot=1 gpa=0x100000 size=0x1000 hva=0x100000100000", "", EINVAL, 1),
    "MOVE, hook": ("slot=1 gpa=0x8000 size=0x1000 hva=0x100000100000", "prepare=0", ENOMEM, 1),
    "MOVE, bitmap": ("slot=1 gpa=0x8000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES", "bitmap=0", ENOMEM, 1),
    "DELETE, hook": ("slot=1 size=0", "prepare=0", ENOMEM, 0),
}


@pytest.mark.parametrize(("words", "fault", "errno", "leaked"), ROLLBACKS.values(), ids=ROLLBACKS.keys())
def test_x10_the_rollback_of_an_unflagged_entry_publishes_a_freed_invalid_copy(
    *, words: str, fault: str, errno: int, leaked: int, case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    case = case_of(MACHINE, *GIVEN, f"apply {words}", f"fault {fault}" if fault else "")
    outcome = RfcV1().apply(case)
    assert (outcome.ended, outcome.value, outcome.errno, outcome.publications) == ("returned", -1, errno, 2)
    assert (outcome.slots_lock, outcome.slots_arch_lock) == FREE
    assert written(outcome.active) == f"{S0} {I1} {S2}"
    assert written(outcome.inactive) == UNCHANGED
    assert (outcome.leaked, outcome.dangling, outcome.corrupt) == (leaked, True, False)
    kernel = kernel_of(case)
    original = kernel.active(0).lookup(1)
    seen = [(pause, written(kernel.walk(0)), written(kernel.walk(1))) for pause in ListCall(kernel, case).steps()]
    assert seen == [
        (UNLOCKED, UNCHANGED, UNCHANGED),
        (PUBLISHED, f"{S0} {I1} {S2}", UNCHANGED),
        (PUBLISHED, f"{S0} {I1} {S2}", f"{S0} {I1} {S2}"),
    ]
    invalid = kernel.active(0).lookup(1)
    assert invalid is not None
    assert invalid.freed
    assert kernel.inactive(0).lookup(1) is original
    assert not (original and original.freed)


DEAD: dict[str, tuple[list[str], str, str, str | None, tuple[bool, bool], int]] = {
    # entries, fault, ended, kind, (slots_lock, slots_arch_lock), publications
    # X7: whoever takes slots_arch_lock next waits for it, holding slots_lock.
    "X7 CREATE alone": ([f"{CREATE_3} invalidate"], "", "hung", None, (True, True), 0),
    "X7 FLAGS_ONLY alone": ([f"{LOG_2} invalidate"], "", "hung", None, (True, True), 0),
    "X7 two in the first pass": ([f"{CREATE_3} invalidate", f"{LOG_2} invalidate"], "", "hung", None, (True, True), 0),
    "X7 and a flagged DELETE": ([f"{CREATE_3} invalidate", DELETE_0], "", "hung", None, (True, True), 0),
    "X7 behind a flagged DELETE": ([DELETE_0, f"{LOG_2} invalidate"], "", "hung", None, (True, True), 1),
    "X7 behind a CREATE": ([CREATE_3, f"{LOG_2} invalidate"], "", "hung", None, (True, True), 0),
    # X11: NULL stands for the INVALID copy, and the original's base is taken.
    "X11 beyond the maximum gfn": (
        ["slot=1 gpa=0x100000 size=0x1000 hva=0x100000100000 invalidate"],
        "",
        "crashed",
        "bug",
        SLOTS,
        2,
    ),
    "X11 hook": ([DELETE_0, MOVE_1], "prepare=1", "crashed", "bug", SLOTS, 3),
    "X11 bitmap": ([f"{MOVE_1} flags=LOG_DIRTY_PAGES"], "bitmap=0", "crashed", "bug", SLOTS, 2),
    # An unflagged no-op keeps `old` and change CREATE: the third pass replaces nothing by nothing.
    "no-op": ([NO_OP_2], "", "crashed", "null-dereference", (True, True), 1),
    "no-op behind others": ([DELETE_0, CREATE_3, NO_OP_2], "", "crashed", "null-dereference", (True, True), 2),
}


@pytest.mark.parametrize(("entries", "fault", "ended", "kind", "locks", "publications"), DEAD.values(), ids=DEAD.keys())
def test_a_call_that_never_returns_keeps_its_locks(
    *,
    entries: list[str],
    fault: str,
    ended: str,
    kind: str | None,
    locks: tuple[bool, bool],
    publications: int,
    case_of: CaseOf,
) -> None:
    case = case_of(MACHINE, *GIVEN, *(f"apply {words}" for words in entries), f"fault {fault}" if fault else "")
    outcome = RfcV1().apply(case)
    assert (outcome.ended, outcome.kind, outcome.value, outcome.errno) == (ended, kind, None, None)
    assert (outcome.slots_lock, outcome.slots_arch_lock) == locks
    assert outcome.publications == publications
    # A WARN about the flag (X7), or from replacing nothing by nothing; BUG() is none.
    assert outcome.warned == (kind != "bug")


ALL_KINDS = [DELETE_0, "slot=0 gpa=0x0 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES", LOG_2, MOVE_1]
IN_P1, AFTER_P1 = f"{I0} {S1} {S2}", f"{I0} {I1} {S2}"
FAULTS = {
    # fault, how it ends, locks, active, inactive, leaked: of DELETE, CREATE, FLAGS_ONLY, MOVE in this order
    "copy=0": (-EFAULT, FREE, UNCHANGED, UNCHANGED, 0),
    "copy=1": (-EFAULT, FREE, UNCHANGED, UNCHANGED, 0),
    "array=0": (-ENOMEM, FREE, UNCHANGED, UNCHANGED, 0),
    "array=1": ("null-dereference", SLOTS, UNCHANGED, UNCHANGED, 0),
    "array=2": ("null-dereference", FREE, AFTER_P1, AFTER_P1, 0),
    "slot=0": (-ENOMEM, FREE, IN_P1, IN_P1, 1),
    "slot=1": (-ENOMEM, FREE, AFTER_P1, f"{I1} {S2}", 3),
    "slot=2": (-ENOMEM, FREE, AFTER_P1, f"s0=[0x0,+0x1000)L {I1} {S2}", 3),
    "invalid=0": (-ENOMEM, FREE, UNCHANGED, UNCHANGED, 0),
    "invalid=1": (-ENOMEM, FREE, IN_P1, IN_P1, 2),
    "bitmap=0": (-ENOMEM, FREE, AFTER_P1, f"{I1} {S2}", 4),
    "bitmap=1": (-ENOMEM, FREE, AFTER_P1, f"s0=[0x0,+0x1000)L {I1} {S2}", 4),
    "prepare=1": (-ENOMEM, FREE, AFTER_P1, f"{I1} {S2}", 4),
    "prepare=2": (-ENOMEM, FREE, AFTER_P1, f"s0=[0x0,+0x1000)L {I1} {S2}", 4),
    "copy=2": None,
    "array=3": None,
    "slot=3": None,
    "invalid=2": None,
    "bitmap=2": None,
    "prepare=4": None,
}


@pytest.mark.parametrize(("fault", "exit_"), FAULTS.items(), ids=FAULTS.keys())
def test_every_fault_of_one_list_takes_its_exit(
    fault: str,
    exit_: tuple[int | str, tuple[bool, bool], str, str, int] | None,
    case_of: CaseOf,
    written: Written,
) -> None:
    lines = [*GIVEN, *(f"apply {words}" for words in ALL_KINDS)]
    outcome = RfcV1().apply(case_of(*lines, f"fault {fault}"))
    if exit_ is None:
        assert outcome.value == 0
        assert outcome == RfcV1().apply(case_of(*lines))
        return
    how, locks, active, inactive, leaked = exit_
    assert (outcome.kind if outcome.errno is None else -outcome.errno) == how
    assert (outcome.slots_lock, outcome.slots_arch_lock) == locks
    assert (written(outcome.active), written(outcome.inactive)) == (active, inactive)
    assert (outcome.leaked, outcome.damage, outcome.corrupt) == (leaked, (), False)


@pytest.mark.parametrize("fault", ["prepare=0", "prepare=3"])
def test_a_hook_that_fails_for_a_flagged_entry_is_a_bug(fault: str, case_of: CaseOf) -> None:
    """DELETE (the hook of s390) and MOVE: X11."""
    outcome = RfcV1().apply(case_of(*GIVEN, *(f"apply {words}" for words in ALL_KINDS), f"fault {fault}"))
    assert (outcome.ended, outcome.kind) == ("crashed", "bug")


@pytest.mark.parametrize(("given", "crashes"), [(GIVEN[:1], True), (GIVEN[:2], False)], ids=["set 0", "set 1"])
def test_unlinking_a_freed_object_crashes_in_set_0_only(
    given: list[str], crashes: bool, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    """c.8: which set is inactive is a matter of how often it was swapped."""
    kernel = kernel_of(case_of(*given, "list nent=0"))
    slot = kernel.inactive(0).lookup(0)
    kernel.kfree(slot)
    ended = ""
    try:
        kernel.replace(slot, None)
    except Oops as oops:
        ended = f"{oops.ended} {oops.kind}"
    assert ended == ("crashed use-after-free" if crashes else "")
    assert kernel.damage == {"use-after-free"}
