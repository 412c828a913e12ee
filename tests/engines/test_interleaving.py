# SPDX-License-Identifier: GPL-2.0-only
"""Another thread falls in wherever the list ioctl drops slots_lock, and a reader sees what each publication shows."""

from collections.abc import Callable
from errno import EEXIST, EINVAL

import pytest

from engines.simulated.ended import Ended, Hung
from engines.simulated.engines import Serial
from engines.simulated.kernel import Kernel
from engines.simulated.rfc_v1 import ListCall
from engines.simulated.serial import set_memory_region
from engines.simulated.series import PUBLISHED, UNLOCKED
from memslots.case import Case
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000"
DELETE_0 = "apply slot=0 size=0 invalidate"
CREATE_2 = "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0"
CREATE_3 = "apply slot=3 gpa=0x3000 size=0x1000 hva=0x0"
INV0, S2, S3 = "inv0=[0x0,+0x1000)", "s2=[0x2000,+0x1000)", "s3=[0x3000,+0x1000)"

LISTS = {
    # list, how often slots_lock is dropped: behind the first pass and behind each entry of the second
    "DELETE": ([SLOT_0, DELETE_0], 2),
    "resize": ([SLOT_0, DELETE_0, "apply slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"], 3),
    "CREATEs": ([CREATE_2, CREATE_3], 3),
    "MOVE": ([SLOT_0, "apply slot=0 gpa=0x9000 size=0x1000 hva=0x100000000000 invalidate"], 2),
    "FLAGS_ONLY": ([SLOT_0, "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"], 2),
    "unflagged DELETE": ([SLOT_0, "apply slot=0 size=0"], 2),
}

TURNS = [
    pytest.param(lines, turn, id=f"{name}, pause {turn}")
    for name, (lines, pauses) in LISTS.items()
    for turn in range(pauses)
]


@pytest.mark.parametrize(("lines", "turn"), TURNS)
def test_a_serial_update_falls_in_at_every_unlocked_pause(
    lines: list[str], turn: int, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    """In the other address space, so that each does its work as if the other were not there."""
    case = case_of(*lines)
    kernel = kernel_of(case)
    call = ListCall(kernel, case)
    [other] = case_of("apply slot=1:7 gpa=0x0 size=0x1000 hva=0x7000").apply
    unlocked = 0
    for pause in call.steps():
        if pause == UNLOCKED:
            assert (kernel.slots_lock, kernel.slots_arch_lock) == (False, False)
            if unlocked == turn:
                assert set_memory_region(kernel, other) == 0
            unlocked += 1
    alone = Serial().apply(case)
    seven = ((1, 7, 0, 1, 0x7000, 0),)
    assert call.r == 0
    assert kernel.walk(0) == kernel.walk(1) == (alone.active[0], seven)
    assert kernel.active(1).generation == 3
    assert (kernel.slots_lock, kernel.slots_arch_lock, kernel.corrupt, kernel.damage) == (False, False, False, set())


@pytest.mark.parametrize(("lines", "pauses"), LISTS.values(), ids=LISTS.keys())
def test_slots_lock_is_dropped_between_the_passes_and_behind_each_entry(
    lines: list[str], pauses: int, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of(*lines)
    assert list(ListCall(kernel_of(case), case).steps()).count(UNLOCKED) == pauses


@pytest.mark.parametrize(("lines", "pauses"), LISTS.values(), ids=LISTS.keys())
def test_no_update_falls_in_at_a_publication(
    lines: list[str], pauses: int, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of(*lines)
    kernel = kernel_of(case)
    [other] = case_of("apply slot=1:7 gpa=0x0 size=0x1000 hva=0x7000").apply
    published = 0
    for pause in ListCall(kernel, case).steps():
        if pause == PUBLISHED:
            published += 1
            with pytest.raises(Hung):
                set_memory_region(kernel, other)
    assert published == kernel.publications > 0
    assert kernel.walk(0)[1] == ()


def test_readers_of_a_resize_see_it_before_invalid_and_after(
    case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    case = case_of(SLOT_0, SLOT_1, DELETE_0, "apply slot=0 gpa=0x0 size=0x2000 hva=0x100000000000")
    kernel = kernel_of(case)
    seen = [written(kernel.walk(0))]
    seen += [written(kernel.walk(0)) for _ in ListCall(kernel, case).steps()]
    other = "s1=[0x5000,+0x1000)"
    assert list(dict.fromkeys(seen)) == [f"s0=[0x0,+0x1000) {other}", f"{INV0} {other}", f"s0=[0x0,+0x2000) {other}"]


def test_an_update_behind_the_first_pass_survives_the_list(
    case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    case = case_of(SLOT_0, DELETE_0, CREATE_2)
    kernel = kernel_of(case)
    requests = case_of(CREATE_3, "apply slot=4 gpa=0x0 size=0x1000 hva=0x0", "apply slot=9 size=0").apply
    steps = ListCall(kernel, case).steps()
    assert [next(steps), next(steps)] == [PUBLISHED, UNLOCKED]
    # The INVALID copy still keeps others off its range.
    assert [set_memory_region(kernel, region) for region in requests] == [0, -EEXIST, -EINVAL]
    assert written(kernel.walk(0)) == f"{INV0} {S3}"
    assert list(steps) == [UNLOCKED, UNLOCKED, PUBLISHED]
    assert written(kernel.walk(0)) == written(kernel.walk(1)) == f"{S2} {S3}"
    assert not kernel.corrupt


def test_an_update_between_two_entries_publishes_half_the_list(
    case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    case = case_of(CREATE_2, CREATE_3)
    kernel = kernel_of(case, linked=True)
    [other] = case_of("apply slot=9 gpa=0x9000 size=0x1000 hva=0x0").apply
    steps = ListCall(kernel, case).steps()
    assert [next(steps), next(steps)] == [UNLOCKED, UNLOCKED]
    assert written(kernel.walk(0)) == ""
    assert set_memory_region(kernel, other) == 0
    assert written(kernel.walk(0)) == f"{S2} s9=[0x9000,+0x1000)"
    # The third pass publishes the other set, where slot 2 never came to be, and links it here once more.
    assert [next(steps), next(steps)] == [UNLOCKED, PUBLISHED]
    assert written(kernel.walk(0)) == f"{S3} s9=[0x9000,+0x1000)"
    assert not kernel.corrupt
    with pytest.raises(Ended) as ended:
        list(steps)
    assert (ended.value.ended, ended.value.kind, kernel.corrupt) == ("crashed", "bug", True)


@pytest.mark.parametrize("given", [[SLOT_0], [SLOT_0, SLOT_1]], ids=["one swap before", "two swaps before"])
def test_a_delete_that_falls_in_frees_the_invalid_copy_under_the_list(
    given: list[str], case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of(*given, DELETE_0)
    kernel = kernel_of(case, linked=True)
    steps = ListCall(kernel, case).steps()
    assert [next(steps), next(steps)] == [PUBLISHED, UNLOCKED]
    [other] = case_of("apply slot=0 size=0").apply
    assert set_memory_region(kernel, other) == 0
    assert kernel.damage == set()
    ended = None
    try:
        list(steps)
    except Ended as end:
        ended = end.kind
    assert ended in (None, "use-after-free")
    assert "use-after-free" in kernel.damage


HELD = {
    # list; what the next caller meets: nothing, or a lock that nobody will release
    "X3, slots_lock held": (["apply slot=32764 size=0"], True),
    "X4, nothing held": (["apply slot=9 size=0 invalidate"], False),
    "X7, slots_arch_lock held": (["apply slot=9 size=0", f"{CREATE_2} invalidate"], True),
    "X8, nothing held": (["apply slot=9 size=0"], False),
}


@pytest.mark.parametrize(("lines", "hangs"), HELD.values(), ids=HELD.keys())
def test_a_lock_that_a_list_left_behind_hangs_the_next_update(
    lines: list[str], hangs: bool, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of(SLOT_0, *lines)
    kernel = kernel_of(case)
    for _ in ListCall(kernel, case).steps():
        pass
    [update, no_change] = case_of(CREATE_3, "apply slot=32764 size=0").apply
    assert set_memory_region(kernel, no_change) == -EINVAL
    if hangs:
        with pytest.raises(Hung):
            set_memory_region(kernel, update)
        assert kernel.slots_lock
    else:
        assert set_memory_region(kernel, update) == 0


def test_after_a_failed_second_pass_every_later_swap_shows_the_other_set(
    case_of: CaseOf, kernel_of: KernelOf, written: Written
) -> None:
    case = case_of(SLOT_1, CREATE_2, "apply slot=9 size=0")
    kernel = kernel_of(case)
    call = ListCall(kernel, case)
    list(call.steps())
    assert call.r == -EINVAL
    s1, s1_logging = "s1=[0x5000,+0x1000)", "s1=[0x5000,+0x1000)L"
    requests = case_of(
        "apply slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES",
        "apply slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000",
        "apply slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000 flags=LOG_DIRTY_PAGES",
    ).apply
    shown = [written(kernel.walk(0))]
    for region in requests:
        assert set_memory_region(kernel, region) == 0
        shown.append(written(kernel.walk(0)))
    assert shown == [s1, f"{s1_logging} {S2}", s1, f"{s1_logging} {S2}"]
