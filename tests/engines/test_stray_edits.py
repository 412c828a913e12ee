# SPDX-License-Identifier: GPL-2.0-only
"""replace() checks nothing (b.2): what stale unlinks, double links, a base met twice and nothing at all come to."""

from collections.abc import Callable

import pytest

from engines.simulated.ended import Oops
from engines.simulated.engines import RfcV1, Serial
from engines.simulated.kernel import Kernel
from engines.simulated.rfc_v1 import ListCall
from memslots.case import Case
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000"
DELETE_0 = "apply slot=0 size=0 invalidate"
MOVE_0_AWAY = "apply slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000 invalidate"
LOG_0 = "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"

STRAY = {
    # Two entries on one slot: what the first one replaced is in no set when its turn comes.
    "DELETE twice, flagged": [SLOT_0, DELETE_0, DELETE_0],
    "MOVE twice, flagged": [
        SLOT_0,
        MOVE_0_AWAY,
        "apply slot=0 gpa=0xb000 size=0x1000 hva=0x100000000000 invalidate",
    ],
    "DELETE after MOVE, flagged": [SLOT_0, MOVE_0_AWAY, DELETE_0],
    "MOVE after DELETE, flagged": [SLOT_0, DELETE_0, MOVE_0_AWAY],
    "FLAGS_ONLY and a flagged DELETE": [SLOT_0, LOG_0, DELETE_0],
    # The swap of an unflagged entry turns the sets round under the entries before it.
    "an unflagged DELETE behind a CREATE": [
        SLOT_0,
        "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0",
        "apply slot=0 size=0",
    ],
    "an unflagged MOVE behind a CREATE": [
        SLOT_0,
        "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0",
        "apply slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000",
    ],
    "two unflagged DELETEs": [SLOT_0, SLOT_1, "apply slot=0 size=0", "apply slot=1 size=0"],
    "an unflagged DELETE of a pending CREATE": [
        SLOT_0,
        "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0",
        "apply slot=2 size=0",
    ],
}


@pytest.mark.parametrize("lines", STRAY.values(), ids=STRAY.keys())
def test_stale_unlinks_and_double_links_make_the_outcome_corrupt(lines: list[str], case_of: CaseOf) -> None:
    case = case_of(*lines)
    outcome = RfcV1().apply(case)
    assert outcome.corrupt
    events = RfcV1().apply(case, record=True).events
    assert events is not None
    assert [event.kind for event in events if event.kind == "stray"]


SOUND = {
    "an unflagged DELETE before a CREATE": [
        SLOT_0,
        "apply slot=0 size=0",
        "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0",
    ],
    "an unflagged MOVE alone": [SLOT_0, "apply slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000"],
    "an unflagged DELETE here and CREATEs before it there": [
        SLOT_0,
        "apply slot=1:2 gpa=0x2000 size=0x1000 hva=0x0",
        "apply slot=0 size=0",
    ],
}


@pytest.mark.parametrize("lines", SOUND.values(), ids=SOUND.keys())
def test_unflagged_deletes_and_moves_work_where_no_entry_stands_before_them(lines: list[str], case_of: CaseOf) -> None:
    case = case_of(*lines)
    outcome = RfcV1().apply(case)
    assert (outcome.value, outcome.corrupt, outcome.leaked, outcome.dangling) == (0, False, 0, False)
    assert outcome.active == outcome.inactive == Serial().apply(case).active


def test_a_sound_edit_is_no_stray_and_a_repeated_one_is(case_of: CaseOf, kernel_of: KernelOf) -> None:
    for again in ("unlink", "link"):
        kernel = kernel_of(case_of(SLOT_0, SLOT_1, "list nent=0"), linked=True)
        slot = kernel.inactive(0).lookup(0)
        kernel.replace(slot, None)
        kernel.replace(None, slot)
        assert not kernel.corrupt
        if again == "unlink":
            kernel.replace(slot, None)
            assert not kernel.corrupt
            kernel.replace(slot, None)
        else:
            with pytest.raises(Oops):
                kernel.replace(None, slot)
        assert kernel.corrupt


def test_replacing_nothing_by_nothing_warns_and_dereferences_null(case_of: CaseOf, kernel_of: KernelOf) -> None:
    kernel = kernel_of(case_of(SLOT_0, "list nent=0"))
    with pytest.raises(Oops) as oops:
        kernel.replace(None, None)
    assert (oops.value.ended, oops.value.kind, kernel.warned) == ("crashed", "null-dereference", True)


def test_a_move_onto_the_very_base_that_the_list_creates_is_a_bug(
    case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    """BUG() comes last: the object is in the hash, the one before it in no index, and nobody unlocks."""
    case = case_of(SLOT_0, "apply slot=2 gpa=0x9000 size=0x1000 hva=0x0", MOVE_0_AWAY)
    outcome = RfcV1().apply(case)
    assert (outcome.ended, outcome.kind, outcome.value, outcome.errno) == ("crashed", "bug", None, None)
    assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.warned) == (True, True, False)
    assert written(outcome.active) == "inv0=[0x0,+0x1000)"
    assert written(outcome.inactive) == "s2=[0x9000,+0x1000)"
    for linked in (False, True):
        kernel = kernel_of(case, linked=linked)
        call = ListCall(kernel, case)
        with pytest.raises(Oops):
            list(call.steps())
        assert kernel.inactive(0).lookup(0) is call.batch[1].new is not None


def test_two_deletes_of_a_lone_slot_free_and_uncount_it_twice(case_of: CaseOf) -> None:
    """The second commit's `old` is the first INVALID copy: it is freed by then, and shares what the slot pointed to."""
    outcome = RfcV1().apply(case_of(f"{SLOT_0} flags=LOG_DIRTY_PAGES", DELETE_0, DELETE_0))
    assert (outcome.ended, outcome.value, outcome.corrupt, outcome.publications) == ("returned", 0, True, 3)
    assert outcome.active == outcome.inactive == ((), ())
    assert outcome.damage == ("double-free", "use-after-free")
    assert outcome.warned  # a vmalloc area freed twice
    assert outcome.nr_memslot_pages == (1 << 64) - 1


@pytest.mark.parametrize(
    ("given", "crashes"),
    [([SLOT_0], True), ([f"{SLOT_0} flags=LOG_DIRTY_PAGES", SLOT_0], False)],
    ids=["one swap before", "two swaps before"],
)
def test_the_parity_of_the_swaps_decides_whether_a_freed_copy_is_fatal(
    given: list[str], crashes: bool, case_of: CaseOf
) -> None:
    """FLAGS_ONLY frees the INVALID copy, then the DELETE unlinks it once more: fatal in set 0 (c.8).

    In set 1 the call returns. The new object is still in the hash, its arch arrays freed: closing the VM warns (b.7).
    """
    case = case_of(*given, LOG_0, DELETE_0)
    outcome = RfcV1().apply(case)
    assert outcome.corrupt
    assert "use-after-free" in (outcome.damage or ())
    if crashes:
        assert (outcome.ended, outcome.kind) == ("crashed", "use-after-free")
        return
    assert (outcome.ended, outcome.value, outcome.warned) == ("returned", 0, True)
    events = RfcV1().apply(case, record=True).events
    assert events is not None
    assert "warn" not in [event.kind for event in events]
