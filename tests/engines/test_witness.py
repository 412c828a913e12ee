# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU witnesses a list: what it sees is judged by what stands there before and after, and nothing is left behind."""

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.protocol import RefusedGiven
from engines.real.guest_memory import CODE_OFFSET, SCRATCH_OFFSET, backed, place_for_code
from engines.real.host import Host
from engines.real.testimony import BUG, ERROR, HOLE, OTHER, RIGHT, Backing, Place, Witnessed, told
from engines.real.updater import WAYS
from engines.real.vcpu import Access, Exit, Vcpu, answering
from engines.real.witness import Witness
from engines.simulated.plain import PlainVm
from memslots.case import Case
from memslots.errors import Unfit
from tests.engines.wrong_way import LeavesOther

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
    """Each access is before the list or after it, and judged by what stands there then."""
    testimony = watched(case_of(*SPLIT), "inhibited", lambda t: t.rounds < 300)
    assert testimony.rounds >= 300
    assert testimony.bugs == 0
    assert testimony.during == 0
    assert testimony.outside > 100, "the vCPU was at work"
    assert not testimony.lost


@pytest.mark.parametrize("longer", [False, True])
def test_what_stands_after_the_list_is_held_to_it(host: Host, case_of: Callable[..., Case], longer: bool) -> None:
    """Not to what is right before it: the page that should have gone is the one that was there."""
    with Witness(case_of(*SPLIT)) as witness:
        testimony = witness.watch(LeavesOther(longer), lambda t: not t.wrong_outside and t.rounds < MOST_ROUNDS)
    assert testimony.wrong_outside == testimony.bugs > 0
    assert testimony.outside > testimony.wrong_outside
    assert testimony.during == 0


def test_runs_that_were_interrupted_are_counted(
    host: Host, case_of: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Vcpu.read
    reads = 0

    def interrupted(vcpu: Vcpu, guest_phys_addr: int) -> Access:
        nonlocal reads
        reads += 1
        return read(vcpu, guest_phys_addr)._replace(retries=3)

    monkeypatch.setattr(Vcpu, "read", interrupted)
    testimony = watched(case_of(*SPLIT), "inhibited", lambda t: t.rounds < 5)
    assert testimony.retries >= 3 * reads > 0


def test_memory_that_is_not_there_before_or_after_may_be_gone(host: Host, case_of: Callable[..., Case]) -> None:
    """A slot is created beside another: its pages are holes first, and the other one is always there."""
    case = case_of(
        "given slot=0 gpa=0x100000 size=0x2000 hva=0x100000000000",
        "apply slot=1 gpa=0x102000 size=0x2000 hva=0x200000000000",
    )

    def go_on(so_far: Witnessed) -> bool:
        seen = so_far.counts["read", HOLE] and so_far.counts["read", RIGHT]
        return so_far.rounds < 200 or (not seen and so_far.rounds < MOST_ROUNDS)

    testimony = watched(case, "serial", go_on)
    assert testimony.bugs == 0
    assert testimony.counts["read", HOLE] > 0
    assert testimony.counts["read", RIGHT] > 0


def test_a_read_only_slot_takes_no_writes_and_that_is_no_bug(host: Host, case_of: Callable[..., Case]) -> None:
    case = case_of(
        "given slot=0 gpa=0x100000 size=0x1000 hva=0x100000000000 flags=READONLY",
        "apply slot=0 gpa=0x100000 size=0x1000 hva=0x100000000000 flags=READONLY|LOG_DIRTY_PAGES",
    )

    def go_on(so_far: Witnessed) -> bool:
        seen = so_far.counts["write", HOLE] and so_far.counts["fetch", RIGHT]
        return so_far.rounds < 100 or (not seen and so_far.rounds < MOST_ROUNDS)

    testimony = watched(case, "serial", go_on)
    assert testimony.bugs == 0
    assert testimony.counts["write", HOLE] > 0
    assert testimony.counts["fetch", RIGHT] > 0


def test_a_slot_that_turns_read_only_is_gone_for_a_moment(host: Host, case_of: Callable[..., Case]) -> None:
    """DELETE and CREATE, for READONLY cannot be toggled: writes may fail, reads may not."""
    case = case_of(
        "given slot=0 gpa=0xffff0000 size=0x10000 hva=0x100000000000",
        "apply slot=0 size=0",
        "apply slot=0 gpa=0xffff0000 size=0x10000 hva=0x100000000000 flags=READONLY",
    )
    testimony = watched(case, "serial", lambda t: not t.counts["read", BUG] and t.rounds < MOST_ROUNDS)
    assert testimony.counts["read", BUG]
    assert not testimony.counts["write", BUG]
    assert testimony.wrong_outside == 0


def test_a_slot_that_moves_over_itself_is_gone_for_an_emulated_vcpu_alone(
    host: Host, case_of: Callable[..., Case]
) -> None:
    """One ioctl: what is seen is the INVALID slot. A processor's page fault tries again, KVM's emulator does not.

    All of the first 2 MiB is taken: the code of the vCPU stands elsewhere.
    """
    case = case_of(
        "given slot=0 gpa=0x0 size=0x200000 hva=0x100000000000",
        "given slot=10 gpa=0xc0000000 size=0x200000 hva=0x200000000000",
        "apply slot=10 gpa=0xbffff000 size=0x200000 hva=0x200000000000",
    )
    with Witness(case) as witness:
        emulated = witness.emulated

    def go_on(so_far: Witnessed) -> bool:
        seen = so_far.counts["read", RIGHT] > 0 and (every_kind_of_bug(so_far) or not emulated)
        # Without emulation nothing must be lost, however long one looks.
        return (not seen or (not emulated and so_far.rounds < 100)) and so_far.rounds < MOST_ROUNDS

    testimony = watched(case, "serial", go_on)
    assert every_kind_of_bug(testimony) == emulated
    assert set(testimony.lost) <= {0xC0000, 0xC01FE}
    assert not any(seen == OTHER for _, seen in testimony.counts)
    assert testimony.counts["read", RIGHT] > 0
    assert testimony.wrong_outside == 0


def test_a_refused_list_is_witnessed_up_to_its_refusal(host: Host, case_of: Callable[..., Case]) -> None:
    """One at a time it leaves a hole. What one ioctl for all should leave is another question."""
    case = case_of(*SPLIT[:2], "apply slot=9 size=0")
    testimony = watched(case, "serial", lambda t: t.rounds < 20)
    assert testimony.bugs == 0
    assert testimony.rounds >= 20
    with Witness(case) as witness, pytest.raises(Unfit, match=r"refuses the list \(EINVAL\)"):
        witness.watch(WAYS["list"](), lambda t: True)


def test_another_answer_than_the_model_s_is_a_finding(host: Host, case_of: Callable[..., Case]) -> None:
    """Where there is no list ioctl, it is ENOTTY; what stands then is not what was expected, and it ends."""
    if host.region_list:
        pytest.skip("needs a kernel without KVM_SET_USER_MEMORY_REGION_LIST")
    testimony = watched(case_of(*SPLIT), "list", lambda t: t.rounds < MOST_ROUNDS)
    assert testimony.finding == "the list is refused (ENOTTY); the model says that it is accepted"
    assert testimony.rounds == 0


def test_what_a_reader_of_a_real_mode_cpu_cannot_reach_is_said(host: Host, case_of: Callable[..., Case]) -> None:
    high = case_of("apply slot=0 gpa=0x100000000 size=0x1000 hva=0x0")
    with pytest.raises(Unfit, match="reaches 0x100000000 bytes"):
        Witness(high)
    with pytest.raises(Unfit, match="0 pages of memory"):
        Witness(case_of("apply slot=0 size=0"))
    with pytest.raises(Unfit, match="no memory before the list and none after it"):
        Witness(case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0", "apply slot=0 size=0"))
    with pytest.raises(Unfit, match="address space 0"):
        Witness(case_of("apply slot=1:0 gpa=0x0 size=0x1000 hva=0x0"))
    with pytest.raises(Unfit, match="fault copy"):
        Witness(case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0", "fault copy=0"))
    with pytest.raises(RefusedGiven, match=r"given 0: .*EINVAL"):
        Witness(case_of("given slot=0 size=0", "apply slot=0 gpa=0x0 size=0x1000 hva=0x0"))


def test_the_local_apic_s_page_says_nothing_of_a_list(host: Host, case_of: Callable[..., Case]) -> None:
    """KVM's emulator takes it for MMIO, whatever slot is there."""
    case = case_of(
        "given slot=0 gpa=0xfedff000 size=0x2000 hva=0x100000000000",
        "apply slot=1 gpa=0xfee01000 size=0x1000 hva=0x200000000000",
    )
    testimony = watched(case, "serial", lambda t: t.rounds < 50)
    assert testimony.bugs == 0
    assert not testimony.lost
    with Witness(case) as witness:
        assert [place.gfn for place in witness.places] == [0xFEDFF, 0xFEDFE, 0xFEE01, 0xFEE02]


def test_an_error_of_the_updater_is_raised_to_who_watches(host: Host, case_of: Callable[..., Case]) -> None:
    class Broken:
        keeps_prefix = inhibits = True

        def apply(self, *_: object) -> int:
            raise Unfit("broken")

    with Witness(case_of(*SPLIT)) as witness, pytest.raises(Unfit, match="broken"):
        witness.watch(Broken(), lambda t: True)
    assert threading.active_count() == 1


DONE, MMIO, FETCHED = Access(Exit.DONE, 7, 0), Access(Exit.MMIO, 0xFFFF, 0), Access(Exit.INTERNAL_ERROR, 0, 0)


@pytest.mark.parametrize(
    ("kind", "access", "words", "comes_to"),
    [
        ("read", DONE, {7, 8}, RIGHT),
        ("read", DONE, {8}, OTHER),
        ("read", DONE, {None}, OTHER),
        ("read", MMIO, {7, None}, HOLE),
        ("read", MMIO, {7, 8}, BUG),
        ("write", DONE, {7}, RIGHT),
        ("write", DONE, {8}, OTHER),
        ("write", DONE, {None}, OTHER),
        ("write", MMIO, {7}, BUG),
        ("write", MMIO, {7, None}, HOLE),
        ("fetch", DONE, {7}, RIGHT),
        ("fetch", DONE, {8}, OTHER),
        ("fetch", FETCHED, {7}, ERROR),
        ("fetch", FETCHED, {7, None}, HOLE),
        ("read", FETCHED, {7, None}, ERROR),
        ("read", Access(Exit.SHUTDOWN, 0, 0), {None}, ERROR),
        ("read", Access(Exit.OTHER, 0, 0), {None}, ERROR),
    ],
)
def test_an_access_is_judged_by_what_may_stand_there(
    kind: str, access: Access, words: set[int | None], comes_to: str
) -> None:
    assert told(kind, access, words) == comes_to


def test_a_page_that_turns_read_only_takes_a_write_before_and_none_after() -> None:
    place = Place(0x100, Backing(7, 7), Backing(7, None))
    assert [place.words(kind) for kind in ("read", "write", "fetch")] == [{7}, {7, None}, {7}]


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
    moved.memory.bytes[0x3000 + SCRATCH_OFFSET : 0x3002 + SCRATCH_OFFSET] = b"\x34\x12"
    assert moved.reached({None, 1, 4}, 0x1234) == 4
    assert moved.reached({None, 1, 2}, 0x1234) == moved.reached({4}, 0x1235) == 0
    assert moved.memory.bytes[0x3000 + CODE_OFFSET : 0x3004 + CODE_OFFSET] == answering(4)
    moved.memory.close()


def test_the_code_stands_where_no_request_is(case_of: Callable[..., Case]) -> None:
    high = case_of("apply slot=32763 gpa=0x1000 size=0x2000 hva=0x0", "apply slot=0 gpa=0x4000 size=0x800 hva=0x0")
    assert place_for_code(high, 32764) == (0, 32762)
    low = case_of("apply slot=1 gpa=0x0 size=0x2000 hva=0x0", "apply slot=0 gpa=0x4000 size=0x800 hva=0x0")
    assert place_for_code(low, 2**15) == (3, 32767), "with a page between it and the slot below, if that is free"
    ram = case_of("apply slot=0 gpa=0x0 size=0xfffff000 hva=0x0")
    assert place_for_code(ram, 2) == (0xFFFFF, 1)
    with pytest.raises(Unfit, match="every page that a vCPU in real mode reaches"):
        place_for_code(case_of("apply slot=0 gpa=0x0 size=0x100000000 hva=0x0"), 2)


def test_the_answer_is_two_instructions() -> None:
    """mov ax, imm16 and hlt, as the processor's manual spells them."""
    assert answering(0x1234).hex(" ") == "b8 34 12 f4"
