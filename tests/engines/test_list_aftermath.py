# SPDX-License-Identifier: GPL-2.0-only
"""What a list has left in the two sets of a VM, wherever they differ: told as it is, or that it cannot be told."""

from collections.abc import Callable
from errno import ENOMEM
from pathlib import Path

import pytest

from engines.real.aftermath import Aftermath
from engines.real.list_limits import rehearsed
from engines.real.list_vm import packed_list
from engines.real.probe import Unexplained
from engines.real.readback import Named
from memslots.case import Case
from memslots.region import Region
from memslots.slot import SlotSets
from tests.engines.wrecked_kernel import MACHINE, WreckedKvm, WreckedVm

LINE = "machine linux-6.1 max_gfn=0xfffffff"
Wrong = Callable[[WreckedVm], None]
Left = Callable[..., tuple[str, str]]


@pytest.fixture
def left(
    tmp_path: Path, case_of: Callable[..., Case], written: Callable[[SlotSets | None], str]
) -> Callable[..., tuple[str, str]]:
    """The active and the inactive sets, as text, after a list over which the kernel has gone wrong."""

    def left(wrong: Wrong, *lines: str, patch_8: bool = False) -> tuple[str, str]:
        case = case_of(LINE, *lines)
        kvm = WreckedKvm(tmp_path / "kmsg", wrong, looks_at_inactive=patch_8)
        vm = kvm.vm()
        for region in case.given:
            assert vm.set_memory_region(region) == 0
        assert vm.set_list(packed_list(case)) == 0
        before, after = rehearsed(case, MACHINE)
        named = Named(MACHINE, MACHINE, (*case.given, *case.apply))
        active, inactive = Aftermath(vm, MACHINE, kvm.host(), named).sets((after, before), lambda step: None)
        return written(active), written(inactive)

    return left


def edits(case_of: Callable[..., Case], active: bool, *requests: str) -> Wrong:
    """A kernel that makes these requests of one set alone."""
    regions: tuple[Region, ...] = case_of(LINE, *[f"apply {request}" for request in requests]).apply

    def wrong(vm: WreckedVm) -> None:
        for region in regions:
            at = vm.looked_at[region.as_id]
            if region.as_id == 0:
                at = vm.sets.index(vm.active)
            assert vm.sets[at if active else 1 - at].set_memory_region(region) == 0

    return wrong


MOVES = (
    "given slot=0 gpa=0x10000 size=0x4000 hva=0x10000",
    "apply slot=0 gpa=0x20000 size=0x4000 hva=0x10000",
)


@pytest.mark.parametrize("patch_8", [False, True])
@pytest.mark.parametrize("active", [False, True])
def test_a_slot_that_lies_elsewhere_in_one_set_is_found_by_readers(
    left: Left, case_of: Callable[..., Case], active: bool, patch_8: bool
) -> None:
    """Its shape is the same, and every request for it is answered alike."""
    wrong = edits(case_of, active, MOVES[0].removeprefix("given "))
    sets = left(wrong, *MOVES, patch_8=patch_8)
    moved, stayed = "s0=[0x20000,+0x4000)", "s0=[0x10000,+0x4000)"
    assert sets == ((stayed, moved) if active else (moved, stayed))


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("slot", ["slot=1:0", "slot=0 flags=READONLY"])
def test_a_slot_that_lies_elsewhere_where_no_reader_looks_is_a_contradiction(
    left: Left, case_of: Callable[..., Case], slot: str, active: bool
) -> None:
    lines = [line.replace("slot=0", slot) for line in MOVES]
    wrong = edits(case_of, active, lines[0].removeprefix("given "))
    with pytest.raises(Unexplained, match="made a moment ago and to be given back, answered errno"):
        left(wrong, *lines)


def test_of_sets_in_which_slots_have_changed_places_each_is_read(left: Left, case_of: Callable[..., Case]) -> None:
    """Every page is covered in both, so that nothing that is asked on the way is granted in one of them alone.

    What is looked for first lies at a place that is free in both: to ask for that must not exchange them.
    """
    wrong_here = edits(
        case_of,
        True,
        "slot=1:0 gpa=0x10000 size=0x1000 hva=0x10000",
    )
    wrong_there = edits(
        case_of,
        False,
        "slot=1:1 gpa=0x40000 size=0x1000 hva=0x20000",
        "slot=1:0 gpa=0x20000 size=0x1000 hva=0x10000",
        "slot=1:1 gpa=0x10000 size=0x1000 hva=0x20000",
    )

    def wrong(vm: WreckedVm) -> None:
        wrong_here(vm)
        wrong_there(vm)

    sets = left(
        wrong,
        "given slot=1:0 gpa=0x10000 size=0x1000 hva=0x10000",
        "given slot=1:1 gpa=0x20000 size=0x1000 hva=0x20000",
        "apply slot=1:0 gpa=0x30000 size=0x1000 hva=0x10000",
    )
    assert sets == (
        "1:s0=[0x10000,+0x1000) 1:s1=[0x20000,+0x1000)",
        "1:s0=[0x20000,+0x1000) 1:s1=[0x10000,+0x1000)",
    )


@pytest.mark.parametrize("active", [False, True])
def test_where_nothing_tells_which_set_is_active_it_is_the_one_that_requests_meet(
    left: Left, case_of: Callable[..., Case], active: bool
) -> None:
    slot = "slot=1:0 gpa=0x10000 size=0x4000 hva=0x10000"
    sets = left(edits(case_of, active, "slot=1:0 size=0"), f"given {slot}", f"apply {slot} flags=LOG_DIRTY_PAGES")
    there = "1:s0=[0x10000,+0x4000)L"
    assert sets == (("", there) if active else (there, ""))


@pytest.mark.parametrize("active", [False, True])
def test_a_slot_that_is_read_only_in_one_set_is_told(left: Left, case_of: Callable[..., Case], active: bool) -> None:
    slot = "slot=1:0 gpa=0x10000 size=0x4000 hva=0x10000"
    sets = left(
        edits(case_of, active, "slot=1:0 size=0", slot),
        f"given {slot}",
        "apply slot=1:0 size=0",
        f"apply {slot} flags=READONLY",
    )
    plain, readonly = "1:s0=[0x10000,+0x4000)", "1:s0=[0x10000,+0x4000)R"
    assert sets == ((plain, readonly) if active else (readonly, plain))


def test_a_slot_that_is_invalid_in_one_set_lies_where_readers_find_it_in_the_other(left: Left) -> None:
    """Its place is that of the second request for such a slot."""

    def wrong(vm: WreckedVm) -> None:
        vm.invalid.add(0)
        vm.valid_in = vm.sets[1 - vm.looked_at[0]]

    assert left(wrong, *MOVES) == ("inv0=[0x20000,+0x4000)", "s0=[0x20000,+0x4000)")


def test_memory_that_readers_find_and_no_slot_holds_is_a_contradiction(left: Left) -> None:
    with pytest.raises(Unexplained, match="gfn 0x10, which readers find and no slot holds"):
        left(lambda vm: vm.phantoms.add(0x10000), *MOVES)


def test_another_answer_than_any_that_a_taken_place_has_is_a_contradiction(left: Left) -> None:
    """Out of memory, wherever the page is taken: that does not tell whether the id is."""

    def wrong(vm: WreckedVm) -> None:
        vm.when_refused = lambda errno: ENOMEM

    with pytest.raises(Unexplained, match=f"slot 0x0 at the anchor answered errno {ENOMEM}"):
        left(wrong, *MOVES)
