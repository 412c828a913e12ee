# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU witnesses a list: what it sees is judged by what stands there before and after, and nothing is left behind."""

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.protocol import RefusedGiven
from engines.real.guest_memory import CODE_OFFSET, backed, place_for_code
from engines.real.host import Host
from engines.real.testimony import BUG, ERROR, HOLE, OTHER, RIGHT, Witnessed, told
from engines.real.updater import WAYS
from engines.real.vcpu import Access, Exit, answering
from engines.real.witness import Witness
from engines.simulated.plain import PlainVm
from memslots.case import Case
from memslots.errors import Unfit

SPLIT = (
    "given slot=0 gpa=0x100000 size=0x4000 hva=0x100000000000",
    "apply slot=0 size=0",
    "apply slot=0 gpa=0x100000 size=0x1000 hva=0x100000000000",
    "apply slot=1 gpa=0x103000 size=0x1000 hva=0x100000003000",
)
MOST_ROUNDS = 20_000
"""A race that is not seen in so many rounds is not there."""


def watched(case: Case, way: str, go_on: Callable[[Witnessed], bool]) -> Witnessed:
    gc.collect()
    before = sorted(Path("/proc/self/fd").iterdir())
    with Witness(case) as witness:
        testimony = witness.watch(WAYS[way](), go_on)
    gc.collect()
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert threading.active_count() == 1
    return testimony


def every_kind_of_bug(testimony: Witnessed) -> bool:
    counts = testimony.counts
    return bool(counts["read", BUG] and counts["write", BUG] and counts["fetch", ERROR])


def test_one_at_a_time_a_vcpu_loses_memory_that_is_there_before_and_after(
    host: Host, case_of: Callable[..., Case]
) -> None:
    """RHBZ 1979276: reads and writes become MMIO, a fetch ends in KVM_EXIT_INTERNAL_ERROR."""
    testimony = watched(case_of(*SPLIT), "serial", lambda t: not every_kind_of_bug(t) and t.rounds < MOST_ROUNDS)
    assert every_kind_of_bug(testimony)
    assert set(testimony.lost) <= {0x100, 0x103}
    assert testimony.wrong_outside == 0
    assert testimony.outside > 0


def test_with_the_vcpu_kept_out_nothing_is_lost(host: Host, case_of: Callable[..., Case]) -> None:
    testimony = watched(case_of(*SPLIT), "inhibited", lambda t: t.rounds < 300)
    assert testimony.rounds >= 300
    assert testimony.bugs == 0
    assert sum(testimony.counts.values()) > 100, "the vCPU was at work"
    assert not testimony.lost


def test_memory_that_is_not_there_before_or_after_may_be_gone(host: Host, case_of: Callable[..., Case]) -> None:
    """A slot is created beside another: its pages are holes first, and the other one is always there."""
    case = case_of(
        "given slot=0 gpa=0x100000 size=0x2000 hva=0x100000000000",
        "apply slot=1 gpa=0x102000 size=0x2000 hva=0x200000000000",
    )
    testimony = watched(case, "serial", lambda t: t.rounds < 200)
    assert testimony.bugs == 0
    assert testimony.counts["read", HOLE] > 0
    assert testimony.counts["read", RIGHT] > 0


def test_a_read_only_slot_takes_no_writes_and_that_is_no_bug(host: Host, case_of: Callable[..., Case]) -> None:
    case = case_of(
        "given slot=0 gpa=0x100000 size=0x1000 hva=0x100000000000 flags=READONLY",
        "apply slot=0 gpa=0x100000 size=0x1000 hva=0x100000000000 flags=READONLY|LOG_DIRTY_PAGES",
    )
    testimony = watched(case, "serial", lambda t: t.rounds < 100)
    assert testimony.bugs == 0
    assert testimony.counts["write", HOLE] > 0
    assert testimony.counts["fetch", RIGHT] > 0


def test_what_a_reader_of_a_real_mode_cpu_cannot_reach_is_said(host: Host, case_of: Callable[..., Case]) -> None:
    high = case_of("apply slot=0 gpa=0x100000000 size=0x1000 hva=0x0")
    with pytest.raises(Unfit, match="reaches 0x100000000 bytes"):
        Witness(high)
    with pytest.raises(Unfit, match="0 pages of memory"):
        Witness(case_of("apply slot=0 size=0"))
    with pytest.raises(Unfit, match="address space 0"):
        Witness(case_of("apply slot=1:0 gpa=0x0 size=0x1000 hva=0x0"))
    with pytest.raises(Unfit, match="fault copy"):
        Witness(case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0", "fault copy=0"))
    with pytest.raises(RefusedGiven, match=r"given 0: .*EINVAL"):
        Witness(case_of("given slot=0 size=0", "apply slot=0 gpa=0x0 size=0x1000 hva=0x0"))


def test_an_error_of_the_updater_is_raised_to_who_watches(host: Host, case_of: Callable[..., Case]) -> None:
    class Broken:
        def apply(self, *_: object) -> int:
            raise Unfit("broken")

    with Witness(case_of(*SPLIT)) as witness, pytest.raises(Unfit, match="broken"):
        witness.watch(Broken(), lambda t: True)
    assert threading.active_count() == 1


DONE, MMIO, FETCHED = Access(Exit.DONE, 7, 0), Access(Exit.MMIO, 0xFFFF, 0), Access(Exit.INTERNAL_ERROR, 0, 0)


@pytest.mark.parametrize(
    ("kind", "access", "words", "writable", "comes_to"),
    [
        ("read", DONE, {7, 8}, True, RIGHT),
        ("read", DONE, {8, 7}, False, RIGHT),
        ("read", DONE, {8}, True, OTHER),
        ("read", DONE, {None}, True, OTHER),
        ("read", MMIO, {7, None}, True, HOLE),
        ("read", MMIO, {7, 8}, True, BUG),
        ("read", MMIO, {7}, False, BUG),
        ("write", DONE, {7}, True, RIGHT),
        ("write", DONE, {None}, True, OTHER),
        ("write", MMIO, {7}, True, BUG),
        ("write", MMIO, {7}, False, HOLE),
        ("write", MMIO, {None}, True, HOLE),
        ("fetch", DONE, {7}, True, RIGHT),
        ("fetch", FETCHED, {7}, True, ERROR),
        ("fetch", FETCHED, {7, None}, True, HOLE),
        ("read", FETCHED, {7, None}, True, ERROR),
        ("read", Access(Exit.SHUTDOWN, 0, 0), {None}, True, ERROR),
        ("read", Access(Exit.OTHER, 0, 0), {None}, True, ERROR),
    ],
)
def test_an_access_is_judged_by_what_may_stand_there(
    kind: str, access: Access, words: set[int | None], writable: bool, comes_to: str
) -> None:
    assert told(kind, access, words, writable) == comes_to


def test_every_page_says_which_one_it_is_whatever_names_it(case_of: Callable[..., Case]) -> None:
    """Addresses that touch or overlap lie in one piece of memory, those that do not in pieces of their own."""
    case = case_of(*SPLIT, "apply slot=2 gpa=0x200000 size=0x1000 hva=0x900000000000")
    moved = backed(case, (*case.given, *case.apply))
    vm = PlainVm(case.machine)
    for region in moved.case.given:
        assert vm.set_memory_region(region) == 0
    before = vm.walk()[0]
    assert [moved.word_of(before, gfn) for gfn in range(0xFF, 0x105)] == [None, 1, 2, 3, 4, None]
    for region in moved.case.apply:
        assert vm.set_memory_region(region) == 0
    after = vm.walk()[0]
    assert [moved.word_of(after, gfn) for gfn in (0x100, 0x101, 0x103, 0x200)] == [1, None, 4, 5]
    assert moved.memory.bytes[0x3000:0x3002] == b"\x04\x00"
    assert moved.memory.bytes[0x3000 + CODE_OFFSET : 0x3004 + CODE_OFFSET] == answering(4)
    moved.memory.close()


def test_the_code_stands_where_no_request_is(case_of: Callable[..., Case]) -> None:
    taken = case_of("apply slot=32763 gpa=0x0 size=0x2000 hva=0x0", "apply slot=0 gpa=0x3000 size=0x1000 hva=0x0")
    assert place_for_code(taken) == (2, 32762)
    with pytest.raises(Unfit, match="all of the first MiB"):
        place_for_code(case_of("apply slot=0 gpa=0x0 size=0x100000 hva=0x0"))


def test_the_answer_is_two_instructions() -> None:
    """mov ax, imm16 and hlt, as the processor's manual spells them."""
    assert answering(0x1234).hex(" ") == "b8 34 12 f4"
