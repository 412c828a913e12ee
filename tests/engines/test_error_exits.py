# SPDX-License-Identifier: GPL-2.0-only
"""Error exits of the list ioctl that return (c.7, X3 to X9): errno, locks, both sets, what leaks.

X1 and X2 stand in test_list_header.py; X10, X11 and the deadlock of X7 in test_fatal_exits.py.
"""

from collections.abc import Callable
from errno import EEXIST, EINVAL, EIO, ENOMEM

import pytest

from engines.simulated.engines import RfcV1
from engines.simulated.kernel import Kernel
from engines.simulated.rfc_v1 import ListCall
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

EXITS: dict[str, tuple[list[str], str, int, tuple[bool, bool], str, str, int]] = {
    # entries, fault, errno, (slots_lock, slots_arch_lock), active, inactive, leaked
    # X3, a bad id: the originals of DELETE and MOVE and the new object of the MOVE leak.
    "X3 at once": (["slot=32764 size=0"], "", EINVAL, SLOTS, UNCHANGED, UNCHANGED, 0),
    "X3 behind flagged": (
        [DELETE_0, MOVE_1, CREATE_3, "slot=65535 size=0"],
        "",
        EINVAL,
        SLOTS,
        f"{I0} {I1} {S2}",
        f"{I0} {I1} {S2}",
        3,
    ),
    "X3 itself flagged": (["slot=1:32767 size=0 invalidate", DELETE_0], "", EINVAL, SLOTS, UNCHANGED, UNCHANGED, 0),
    # X4, a flagged entry refused by steps 3 to 14.
    "X4 flag": ([DELETE_0, "slot=1 size=0 flags=0x4 invalidate"], "", EINVAL, FREE, f"{I0} {S1} {S2}", "=", 1),
    "X4 size": ([DELETE_0, "slot=1 size=0x800 invalidate"], "", EINVAL, FREE, f"{I0} {S1} {S2}", "=", 1),
    "X4 space": ([DELETE_0, "slot=2:1 size=0 invalidate"], "", EINVAL, FREE, f"{I0} {S1} {S2}", "=", 1),
    "X4 missing": ([MOVE_1, f"{MISSING} invalidate"], "", EINVAL, FREE, f"{S0} {I1} {S2}", "=", 2),
    "X4 overlap": (
        [DELETE_2, "slot=1 gpa=0x0 size=0x1000 hva=0x100000100000 invalidate"],
        "",
        EEXIST,
        FREE,
        f"{S0} {S1} {I2}",
        "=",
        1,
    ),
    "X4 behind two of one slot": (
        # The second INVALID copy replaces the first, which is in no set from then on.
        [DELETE_0, DELETE_0, f"{MISSING} invalidate"],
        "",
        EINVAL,
        FREE,
        f"{I0} {S1} {S2}",
        "=",
        2,
    ),
    "X4 no slot object": ([DELETE_0, MOVE_1], "slot=0", ENOMEM, FREE, f"{I0} {S1} {S2}", "=", 1),
    # X6, no INVALID copy; or the hook refuses an entry flagged by mistake.
    "X6 DELETE": ([DELETE_0], "invalid=0", ENOMEM, FREE, UNCHANGED, "=", 0),
    "X6 second DELETE": ([DELETE_0, DELETE_2], "invalid=1", ENOMEM, FREE, f"{I0} {S1} {S2}", "=", 1),
    "X6 MOVE": ([DELETE_0, MOVE_1], "invalid=1", ENOMEM, FREE, f"{I0} {S1} {S2}", "=", 2),
    "X6 mis-flagged CREATE": ([DELETE_0, f"{BEYOND_3} invalidate"], "", EINVAL, FREE, f"{I0} {S1} {S2}", "=", 2),
    "X6 mis-flagged, hook": ([f"{CREATE_3} invalidate"], "prepare=0", ENOMEM, FREE, UNCHANGED, "=", 1),
    "X6 mis-flagged, bitmap": ([f"{LOG_2} invalidate"], "bitmap=0", ENOMEM, FREE, UNCHANGED, "=", 1),
    # X7, an entry flagged by mistake keeps slots_arch_lock; here an earlier entry fails before anyone takes it.
    # Its new object leaks, with the bitmap if it has one.
    "X7 CREATE": ([MISSING, f"{CREATE_3} invalidate"], "", EINVAL, ARCH, UNCHANGED, "=", 1),
    "X7 FLAGS_ONLY": ([MISSING, DELETE_0, f"{LOG_2} invalidate"], "", EINVAL, ARCH, f"{I0} {S1} {S2}", "=", 3),
    # X8, an entry refused in the second pass: the sets part.
    "X8 at once": ([MISSING, DELETE_0], "", EINVAL, FREE, f"{I0} {S1} {S2}", "=", 1),
    "X8 in between": (
        [DELETE_0, CREATE_3, "slot=4 gpa=0x3000 size=0x1000 hva=0x0", MOVE_1, DELETE_2],
        "",
        EEXIST,
        FREE,
        f"{I0} {I1} {I2}",
        f"{I1} {I2} {S3}",
        4,
    ),
    "X8 behind a MOVE": (
        [MOVE_1, CREATE_3, "slot=3 size=0 hva=0x1"],
        "",
        EINVAL,
        FREE,
        f"{S0} {I1} {S2}",
        f"{S0} s1=[0x8000,+0x1000) {S2} {S3}",
        1,
    ),
    "X8 unknown flag": ([CREATE_3, "slot=2 size=0 flags=0x4"], "", EINVAL, FREE, UNCHANGED, f"{UNCHANGED} {S3}", 0),
    "X8 no slot object": ([DELETE_0, CREATE_3], "slot=0", ENOMEM, FREE, f"{I0} {S1} {S2}", f"{S1} {S2}", 1),
    # X9, CREATE or FLAGS_ONLY refused by the hook or without a bitmap: the new object leaks too.
    "X9 CREATE": ([DELETE_0, BEYOND_3, DELETE_2], "", EINVAL, FREE, f"{I0} {S1} {I2}", f"{S1} {I2}", 3),
    "X9 CREATE, bitmap": ([CREATE_3_LOG], "bitmap=0", ENOMEM, FREE, UNCHANGED, "=", 1),
    "X9 CREATE, hook": ([CREATE_3_LOG], "prepare=0", ENOMEM, FREE, UNCHANGED, "=", 1),
    "X9 FLAGS_ONLY, bitmap": ([CREATE_3, LOG_2], "bitmap=0", ENOMEM, FREE, UNCHANGED, f"{UNCHANGED} {S3}", 1),
    "X9 FLAGS_ONLY, hook": ([LOG_2], "prepare=0", ENOMEM, FREE, UNCHANGED, "=", 1),
    # An unflagged DELETE or MOVE without its INVALID copy, in the second pass.
    "P2 DELETE": ([CREATE_3, "slot=0 size=0"], "invalid=0", ENOMEM, FREE, UNCHANGED, f"{UNCHANGED} {S3}", 0),
    "P2 MOVE": ([MOVE_1.removesuffix(" invalidate")], "invalid=0", ENOMEM, FREE, UNCHANGED, "=", 1),
}


@pytest.mark.parametrize(
    ("entries", "fault", "errno", "locks", "active", "inactive", "leaked"), EXITS.values(), ids=EXITS.keys()
)
def test_what_each_error_exit_leaves_behind(
    *,
    entries: list[str],
    fault: str,
    errno: int,
    locks: tuple[bool, bool],
    active: str,
    inactive: str,
    leaked: int,
    case_of: CaseOf,
    written: Written,
) -> None:
    case = case_of(MACHINE, *GIVEN, *(f"apply {words}" for words in entries), f"fault {fault}" if fault else "")
    outcome = RfcV1().apply(case)
    assert (outcome.ended, outcome.value, outcome.errno) == ("returned", -1, errno)
    assert (outcome.slots_lock, outcome.slots_arch_lock) == locks
    assert written(outcome.active) == active
    assert written(outcome.inactive) == (active if inactive == "=" else inactive)
    assert outcome.leaked == leaked
    assert (outcome.nr_memslot_pages, outcome.damage, outcome.corrupt, outcome.dangling) == (3, (), False, False)
    # Only the WARN about what is flagged and neither DELETE nor MOVE.
    assert outcome.warned == any(("hva=0x0 " in e or "LOG" in e) and "invalidate" in e for e in entries)


NO_OPS = {
    "at once": ([f"{NO_OP_2} invalidate"], FREE, UNCHANGED, 0),
    "behind DELETE and MOVE": ([DELETE_0, MOVE_1, f"{NO_OP_2} invalidate"], FREE, f"{I0} {I1} {S2}", 3),
    "behind a mis-flagged CREATE": ([f"{CREATE_3} invalidate", f"{NO_OP_2} invalidate"], ARCH, UNCHANGED, 1),
}


@pytest.mark.parametrize(("entries", "locks", "both", "leaked"), NO_OPS.values(), ids=NO_OPS.keys())
def test_x5_a_flagged_no_op_returns_plus_one_and_leaves_what_was_invalidated(
    *, entries: list[str], locks: tuple[bool, bool], both: str, leaked: int, case_of: CaseOf, written: Written
) -> None:
    outcome = RfcV1().apply(case_of(MACHINE, *GIVEN, *(f"apply {words}" for words in [*entries, DELETE_2])))
    assert (outcome.ended, outcome.value, outcome.errno) == ("returned", 1, 0)
    assert (outcome.slots_lock, outcome.slots_arch_lock) == locks
    assert written(outcome.active) == written(outcome.inactive) == both
    assert outcome.leaked == leaked


def test_x4_fewer_pages_counted_than_a_flagged_delete_has_is_eio(
    case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    case = case_of(MACHINE, *GIVEN, f"apply {DELETE_0}", f"apply {DELETE_2}")
    kernel = kernel_of(case)
    kernel.nr_memslot_pages = 0
    call = ListCall(kernel, case)
    for _ in call.steps():
        pass
    assert (call.r, kernel.warned, kernel.slots_lock) == (-EIO, True, False)
    assert written(kernel.walk(0)) == written(kernel.walk(1)) == UNCHANGED


@pytest.mark.parametrize(
    ("slot", "damage"), [("1:0", ()), ("2:0", ("out-of-bounds",)), ("65535:0", ("out-of-bounds",))]
)
def test_an_address_space_beyond_the_last_is_written_to_before_it_is_refused(
    slot: str, damage: tuple[str, ...], case_of: CaseOf
) -> None:
    outcome = RfcV1().apply(case_of(*GIVEN, f"apply slot={slot} size=0"))
    assert (outcome.value, outcome.errno, outcome.damage) == (-1, EINVAL, damage)
    # Flagged, it is refused in the first pass, before anything is written.
    flagged = RfcV1().apply(case_of(*GIVEN, f"apply slot={slot} size=0 invalidate"))
    assert (flagged.value, flagged.errno, flagged.damage) == (-1, EINVAL, ())
