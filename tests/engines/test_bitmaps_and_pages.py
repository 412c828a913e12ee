# SPDX-License-Identifier: GPL-2.0-only
"""Dirty bitmaps and arch arrays: born, carried by pointer, shared with INVALID copies, freed once (b.4)."""

from collections.abc import Callable

import pytest

from engines.simulated.engines import RfcV1, Serial
from engines.simulated.kernel import Kernel
from engines.simulated.objects import Area, SlotObject
from engines.simulated.rfc_v1 import ListCall
from engines.simulated.serial import set_memory_region
from engines.simulated.series import PUBLISHED
from memslots.case import Case

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]

PLAIN = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
LOGS = f"{PLAIN} flags=LOG_DIRTY_PAGES"
LOG_ON = "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"
LOG_OFF = "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
MOVE_LOG_ON = "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"
MOVE_LOG_OFF = "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000"
BEYOND_LOG_ON = "slot=0 gpa=0x10000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"
BEYOND_LOG_OFF = "slot=0 gpa=0x10000 size=0x1000 hva=0x100000000000"
DELETE = "slot=0 size=0"

NONE, SAME, NEW, GONE = "none", "the same", "a new one", "no slot"


def slot_0(kernel: Kernel) -> SlotObject | None:
    found = kernel.active(0).lookup(0)
    assert kernel.inactive(0).lookup(0) is found
    return found


def what_became_of(before: Area | None, slot: SlotObject | None, area: Area | None) -> str:
    if slot is None:
        return GONE
    if area is None:
        return NONE
    assert not area.freed
    return SAME if area is before else NEW


BITMAPS = {
    # state, request, fault, the slot's bitmap after it, whether the one before it was freed
    "CREATE without LOG": ("", LOG_OFF, "", NONE, False),
    "CREATE with LOG": ("", LOG_ON, "", NEW, False),
    "FLAGS_ONLY, LOG on": (PLAIN, LOG_ON, "", NEW, False),
    "FLAGS_ONLY, LOG off": (LOGS, LOG_OFF, "", NONE, True),
    "MOVE, LOG stays on": (LOGS, MOVE_LOG_ON, "", SAME, False),
    "MOVE, LOG stays off": (PLAIN, MOVE_LOG_OFF, "", NONE, False),
    "MOVE, LOG on": (PLAIN, MOVE_LOG_ON, "", NEW, False),
    "MOVE, LOG off": (LOGS, MOVE_LOG_OFF, "", NONE, True),
    "no-op": (LOGS, LOG_ON, "", SAME, False),
    "DELETE": (LOGS, DELETE, "", GONE, True),
    "DELETE without LOG": (PLAIN, DELETE, "", GONE, False),
    "CREATE refused by the hook": ("", BEYOND_LOG_ON, "", GONE, False),
    "MOVE refused by the hook, LOG stays on": (LOGS, BEYOND_LOG_ON, "", SAME, False),
    "MOVE refused by the hook, LOG on": (PLAIN, BEYOND_LOG_ON, "", NONE, False),
    "MOVE refused by the hook, LOG off": (LOGS, BEYOND_LOG_OFF, "", SAME, False),
    "FLAGS_ONLY refused by the hook, LOG on": (PLAIN, LOG_ON, "fault prepare=0", NONE, False),
    "FLAGS_ONLY refused by the hook, LOG off": (LOGS, LOG_OFF, "fault prepare=0", SAME, False),
    "DELETE refused by the hook": (LOGS, DELETE, "fault prepare=0", SAME, False),
    "no memory for the bitmap": (PLAIN, LOG_ON, "fault bitmap=0", NONE, False),
    "no bitmap is allocated where one is shared": (LOGS, MOVE_LOG_ON, "fault bitmap=0", SAME, False),
}


@pytest.mark.parametrize(("given", "words", "fault", "bitmap", "freed"), BITMAPS.values(), ids=BITMAPS.keys())
def test_a_bitmap_lives_as_long_as_logging_stays_on(
    *, given: str, words: str, fault: str, bitmap: str, freed: bool, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of("machine linux-6.1 max_gfn=0xf", given, f"apply {words}", fault)
    kernel = kernel_of(case)
    old = slot_0(kernel)
    before = old.dirty_bitmap if old else None
    assert (before is not None) == (given == LOGS)
    set_memory_region(kernel, case.apply[0])
    after = slot_0(kernel)
    assert what_became_of(before, after, after.dirty_bitmap if after else None) == bitmap
    assert (before is not None and before.freed) == freed
    # Whatever else was allocated on the way is freed again.
    alive = [area for area in kernel.bitmaps if not area.freed]
    assert alive == ([after.dirty_bitmap] if after and after.dirty_bitmap else [])
    assert not kernel.warned


ARRAYS = {
    "FLAGS_ONLY": (LOG_ON, SAME, False),
    "MOVE": (MOVE_LOG_OFF, NEW, True),
    "MOVE refused by the hook": (BEYOND_LOG_OFF, SAME, False),
    "DELETE": (DELETE, GONE, True),
}


@pytest.mark.parametrize(("words", "arrays", "freed"), ARRAYS.values(), ids=ARRAYS.keys())
def test_flags_only_shares_the_arch_arrays_and_move_replaces_them(
    words: str, arrays: str, freed: bool, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of("machine linux-6.1 max_gfn=0xf", PLAIN, f"apply {words}")
    kernel = kernel_of(case)
    old = slot_0(kernel)
    assert old is not None
    before = old.arch
    assert before is not None
    set_memory_region(kernel, case.apply[0])
    after = slot_0(kernel)
    assert what_became_of(before, after, after.arch if after else None) == arrays
    assert before.freed == freed


def test_delete_and_create_lose_the_bitmap_that_a_move_keeps(case_of: CaseOf, kernel_of: KernelOf) -> None:
    for requests, kept in (([MOVE_LOG_ON, LOG_ON], True), ([DELETE, LOG_ON], False)):
        case = case_of(LOGS, *(f"apply {words}" for words in requests))
        kernel = kernel_of(case)
        before = slot_0(kernel)
        assert before is not None
        bitmap = before.dirty_bitmap
        assert [set_memory_region(kernel, region) for region in case.apply] == [0, 0]
        after = slot_0(kernel)
        assert after is not None
        assert (after.dirty_bitmap is bitmap) == kept
        assert bitmap is not None
        assert bitmap.freed != kept


@pytest.mark.parametrize("words", [DELETE, MOVE_LOG_ON, MOVE_LOG_OFF], ids=["DELETE", "MOVE", "MOVE, LOG off"])
def test_the_bitmap_stays_readable_while_the_slot_is_invalid(words: str, case_of: CaseOf, kernel_of: KernelOf) -> None:
    case = case_of(LOGS, f"apply {words} invalidate")
    kernel = kernel_of(case)
    slot = slot_0(kernel)
    assert slot is not None
    bitmap, arrays = slot.dirty_bitmap, slot.arch
    assert bitmap is not None
    seen = 0
    for pause in ListCall(kernel, case).steps():
        shown = kernel.active(0).lookup(0)
        if shown is not None and shown.slot.flags >> 16:
            seen += 1
            assert shown is not slot
            assert (shown.dirty_bitmap, shown.arch, bitmap.freed) == (bitmap, arrays, False)
        else:
            assert pause == PUBLISHED
    assert seen == 3  # published, between the passes, behind the entry of the second pass


def test_an_area_freed_twice_warns_and_an_object_freed_twice_is_damage(case_of: CaseOf, kernel_of: KernelOf) -> None:
    kernel = kernel_of(case_of(LOGS, "list nent=0"))
    slot = slot_0(kernel)
    assert slot is not None
    kernel.vfree(slot.dirty_bitmap)
    kernel.kfree(None)
    kernel.vfree(None)
    assert (kernel.warned, kernel.damage) == (False, set())
    kernel.vfree(slot.dirty_bitmap)
    assert (kernel.warned, kernel.damage) == (True, set())
    kernel.kfree(slot)
    assert kernel.damage == set()
    kernel.kfree(slot)
    assert kernel.damage == {"double-free"}


@pytest.mark.parametrize(
    "entries",
    [
        [f"{DELETE} invalidate", LOG_ON],
        [f"{MOVE_LOG_ON} invalidate"],
        [f"{MOVE_LOG_OFF} invalidate"],
        [LOG_OFF],
        [f"{DELETE} invalidate"],
    ],
    ids=["DELETE, CREATE", "MOVE", "MOVE, LOG off", "FLAGS_ONLY", "DELETE"],
)
def test_a_list_leaves_no_bitmap_behind(entries: list[str], case_of: CaseOf) -> None:
    case = case_of(LOGS, *(f"apply {entry}" for entry in entries))
    outcome = RfcV1().apply(case)
    assert (outcome.value, outcome.leaked, outcome.warned, outcome.damage) == (0, 0, False, ())
    assert outcome.active == Serial().apply(case).active


def test_a_list_counts_its_pages_in_the_third_pass_only(case_of: CaseOf, kernel_of: KernelOf) -> None:
    case = case_of(
        PLAIN,
        "apply slot=0 size=0 invalidate",
        "apply slot=0 gpa=0x0 size=0x4000 hva=0x100000000000",
        "apply slot=1:0 gpa=0x0 size=0x2000 hva=0x0",
    )
    kernel = kernel_of(case)
    counted = [(kernel.phase, kernel.nr_memslot_pages) for _ in ListCall(kernel, case).steps()]
    before_p3 = [pages for phase, pages in counted if phase != "P3"]
    assert before_p3 == [1] * len(before_p3)
    # Entries 0 and 1 are finished before entry 2 has its address space published.
    assert [pages for phase, pages in counted if phase == "P3"] == [1, 4]
    assert kernel.nr_memslot_pages == 6
