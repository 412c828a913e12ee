# SPDX-License-Identifier: GPL-2.0-only
"""The kernel of this machine as an engine: it answers as the model does, shows what it does not, and is kept safe."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from engines.protocol import RefusedGiven
from engines.real import clean, kvm
from engines.real.device import opened
from engines.real.host import Host
from engines.real.kvm import IoctlSerial
from engines.real.rehearsal import MOST_PAGES, Rehearsal
from engines.real.vm import Vm
from engines.simulated.engines import Serial
from engines.simulated.plain import PlainVm
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of as drawn_case
from fuzz.replay import surprises
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import BadCase, Missing, Unfit
from memslots.machine import PROFILES, Machine, machine_of
from memslots.outcome import Outcome
from memslots.region import Region
from memslots.textreader import read_case
from oracles.policy import Policy
from reports.why import why

SHOWN = ("ended", "value", "errno", "entry_errnos", "before", "active", "at_first_refusal")
HOUSE = Path(__file__).parent.parent.parent
ADMITTED = HOUSE / "corpus/mismatches/error_codes-eexist-ok-move-refuse-bccb1e1f.slots"
"""A MOVE that is refused one at a time, and let through by rfc-v1."""


def shown(outcome: Outcome) -> dict[str, object]:
    return {name: getattr(outcome, name) for name in SHOWN}


@pytest.fixture
def engine(host: Host) -> Iterator[IoctlSerial]:
    """The engine; whatever the test does, no descriptor stays open."""
    gc.collect()
    before = sorted(Path("/proc/self/fd").iterdir())
    engine = IoctlSerial()
    yield engine
    engine.close()
    gc.collect()
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("region2", [True, False])
def test_the_kernel_answers_as_the_model_does(
    engine: IoctlSerial, host: Host, region2: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read back by REGION2 where the kernel has it, and as on a kernel before 6.8."""
    if region2 and not host.region2:
        pytest.skip(f"needs KVM_SET_USER_MEMORY_REGION2: Linux 6.8, here is {host.release}")
    monkeypatch.setattr(kvm, "this_host", lambda path: replace(host, region2=region2))
    rng = Random(4)
    reference = Serial()
    compared = refused = 0
    while compared < 400:
        case = drawn_case(drawn_choices(rng))
        try:
            outcome = engine.apply(case)
        except Unfit:
            continue
        assert shown(outcome) == shown(reference.apply(case)), case
        compared += 1
        refused += outcome.at_first_refusal is not None
    assert 40 < refused < 360


def test_what_it_does_not_show_is_none(engine: IoctlSerial, case_of: Callable[..., Case]) -> None:
    outcome = engine.apply(case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0"))
    assert engine.shows == set(SHOWN)
    assert {name for name in Outcome._fields if getattr(outcome, name) is None} >= set(Outcome._fields) - {
        *SHOWN,
        "kind",
    }


def test_it_goes_on_after_a_refusal_when_asked(host: Host, case_of: Callable[..., Case]) -> None:
    case = case_of(
        "given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000",
        "apply slot=1 gpa=0x1000 size=0x1000 hva=0x200000000000",
        "apply slot=0 size=0",
        "apply slot=1 gpa=0x1000 size=0x1000 hva=0x200000000000",
    )
    going = IoctlSerial(keep_going=True)
    try:
        outcome = going.apply(case)
    finally:
        going.close()
    assert shown(outcome) == shown(Serial(keep_going=True).apply(case))
    assert outcome.entry_errnos == (17, 0, 0)


def test_a_given_region_that_the_kernel_refuses_is_bad_input(engine: IoctlSerial, case_of: Callable[..., Case]) -> None:
    case = case_of("given slot=0 gpa=0x0 size=0x1000 hva=0x0", "given slot=1 size=0", "apply slot=0 size=0")
    with pytest.raises(RefusedGiven, match=r"given 1: .*EINVAL"):
        engine.apply(case)
    assert engine.apply(case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0")).errno == 0


def test_a_vm_is_used_again_and_each_case_finds_it_empty(
    engine: IoctlSerial, case_of: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Vm] = []

    class Counted(Vm):
        def __init__(self, fd: int) -> None:
            super().__init__(fd)
            made.append(self)

    monkeypatch.setattr(clean, "Vm", Counted)
    case = case_of("given slot=0 gpa=0x0 size=0x2000 hva=0x0", "apply slot=1 gpa=0x1000 size=0x1000 hva=0x0")
    outcomes = [engine.apply(case) for _ in range(5)]
    assert len(made) == 1
    assert {outcome.errno for outcome in outcomes} == {17}
    with pytest.raises(Unfit):
        engine.apply(case_of("apply slot=0 gpa=0x0 size=0x2000 hva=0x0", "fault slot=0"))
    with pytest.raises(Unfit):
        engine.apply(
            case_of("apply slot=0 gpa=0x0 size=0x2000 hva=0x0", "apply slot=1 gpa=0x4000 size=0x401000 hva=0x0")
        )
    assert engine.apply(case) == outcomes[0]
    assert len(made) == 2, "what a list left half applied is no clean VM"


def test_a_child_makes_a_vm_of_its_own(engine: IoctlSerial, case_of: Callable[..., Case]) -> None:
    case = case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0")
    expected = engine.apply(case)
    child = os.fork()
    if child == 0:
        os._exit(0 if engine.apply(case) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.apply(case) == expected


def test_a_case_for_another_machine_is_taken_where_that_changes_nothing(
    engine: IoctlSerial, host: Host, case_of: Callable[..., Case]
) -> None:
    other = machine_of("linux-6.1", {"max_gfn": 0xFF, "address_spaces": 3 - host.machine.address_spaces})
    plain = case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0")
    outcome = engine.apply(Case(plain.apply, machine=other))
    assert len(outcome.active) == other.address_spaces
    beyond = case_of("machine linux-6.1 max_gfn=0xff", "apply slot=0 gpa=0x100000 size=0x1000 hva=0x0")
    with pytest.raises(Unfit, match=r"entry 0: the case's machine answers otherwise .* max_gfn=0x"):
        engine.apply(beyond)
    with pytest.raises(Unfit, match="page_size=0x4000, and this host has 0x1000"):
        engine.apply(Case(plain.apply, machine=machine_of("linux-6.1", {"page_size": 0x4000})))


def test_the_host_is_what_its_vms_show(host: Host, engine: IoctlSerial) -> None:
    """The last gfn is accepted, the next is not; likewise the last id."""
    last, page = host.machine.max_gfn, host.machine.page_size

    def errno_of(slot: int, base_gfn: int) -> int | None:
        return engine.apply(Case((Region(slot, 0, base_gfn * page, page, 0),), machine=host.machine)).errno

    assert [errno_of(0, last), errno_of(0, last + 1)] == [0, 22]
    assert [errno_of(host.machine.user_slots - 1, 0), errno_of(host.machine.user_slots, 0)] == [0, 22]
    assert errno_of((host.machine.address_spaces - 1) << 16, 0) == 0
    assert errno_of(host.machine.address_spaces << 16, 0) == 22


LARGE = (MOST_PAGES + 1) * 4096
HUGE = ((1 << 31) - 1) * 4096


@pytest.mark.parametrize(
    ("region", "goes"),
    [
        (Region(1, 0, 0x100_0000, MOST_PAGES * 4096, 0), True),
        (Region(1, 0, 0x100_0000, LARGE, 0), False),
        (Region(1, 0, 0x100_0000, HUGE, 0), False),
        (Region(1, 1, (1 << 52) - 4096, HUGE, 0), False),  # beyond the maximum gfn: the bitmap is allocated before
        (Region(1, 0, 0x1000, LARGE, 0), True),  # overlaps slot 0
        (Region(0, 0, 0, LARGE, 0), True),  # resizes slot 0
        (Region(1, 4, 0x100_0000, LARGE, 0), True),  # unknown flag
        (Region(1, 0, 0x100_0001, LARGE, 0), True),  # unaligned
        (Region(40000, 0, 0x100_0000, LARGE, 0), True),
        (Region(1, 0, 0x100_0000, HUGE + 4096, 0), True),  # too many pages
        (Region(1, 0, 0x100_0000, LARGE, 1 << 47), False),  # user space ends there on some kernels alone
        (Region(1, 0, 0x100_0000, LARGE, (1 << 47) + 1), True),
        (Region(0, 0, 0x100_0000, 0x2000, 0), True),
    ],
)
def test_a_request_goes_to_the_kernel_only_if_it_cannot_allocate_much(region: Region, goes: bool) -> None:
    rehearsal = Rehearsal(PROFILES["linux-6.1"], PROFILES["linux-6.1"])
    rehearsal.answer(Region(0, 0, 0, 0x2000, 0), "given 0")
    assert rehearsal.may_go(region) == goes
    before = rehearsal.slots()
    if not goes:
        with pytest.raises(Unfit, match=r"entry 3: memory_size=.*1024 pages"):
            rehearsal.answer(region, "entry 3")
        assert rehearsal.slots() == before
    rehearsal.led_astray = True
    assert rehearsal.may_go(region) == (region.memory_size <= MOST_PAGES * 4096)


BEYOND = "gpa=0x10000000000000 size=0x7fffffff000 hva=0x0"
"""Behind the last gfn of every machine: EINVAL, and the dirty bitmap is allocated before that is seen."""


@pytest.mark.parametrize(
    ("machine", "host", "entry"),
    [
        ("linux-6.18 readonly=0", "linux-6.18", f"slot=0 flags=LOG_DIRTY_PAGES|READONLY {BEYOND}"),
        ("linux-6.18 user_slots=8", "linux-6.18", f"slot=9 flags=LOG_DIRTY_PAGES {BEYOND}"),
        ("linux-6.18", "linux-6.1", f"slot=1:0 flags=LOG_DIRTY_PAGES {BEYOND}"),
    ],
)
def test_what_only_the_case_s_machine_is_certain_to_refuse_does_not_go(
    wrong_kernel: type["WrongKernel"],
    case_of: Callable[..., Case],
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    host: str,
    entry: str,
) -> None:
    """Both answer EINVAL to it: the one to a field, the host to the last gfn of a CREATE. Nor does it the other way."""
    sent: list[Region] = []
    wrong_kernel.wrong = lambda model, region: sent.append(region)
    ours, theirs = (case_of(f"machine {each}", f"apply {entry}") for each in (machine, host))
    engine = IoctlSerial()
    for case, there in ((ours, theirs.machine), (theirs, ours.machine)):
        monkeypatch.setattr(kvm, "this_host", lambda path, there=there: Host("6.1.0-wrong", there, False, False))
        with pytest.raises(Unfit, match="entry 0: memory_size=0x7fffffff000: expected at most 1024 pages"):
            engine.apply(case)
    engine.close()
    assert sent == []


class WrongKernel:
    """A VM whose kernel goes wrong at one request: it answers otherwise, or changes otherwise, than Linux."""

    made: list["WrongKernel"]
    wrong: Callable[[PlainVm, Region], int | None]

    def __init__(self, fd: int) -> None:
        self.model = PlainVm(PROFILES["linux-6.1"])
        self.closed = False
        self.made.append(self)

    def set_memory_region(self, region: Region) -> int:
        answer = type(self).wrong(self.model, region)
        return self.model.set_memory_region(region) if answer is None else answer

    def set(self, slot: int, flags: int, gpa: int, size: int, hva: int) -> int:
        return self.model.set_memory_region(Region(slot, flags, gpa, size, hva))

    def logs(self, slot: int) -> bool:
        there = self.model.slot(slot >> 16, slot & 0xFFFF)
        return there is not None and there.flags & 1 == 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> type[WrongKernel]:
    """A kernel that can be made to go wrong, in place of this machine's."""
    machine = Machine()
    monkeypatch.setattr(clean, "Vm", WrongKernel)
    monkeypatch.setattr(clean, "opened", lambda path: os.open(os.devnull, os.O_RDWR))
    monkeypatch.setattr(kvm, "this_host", lambda path: Host("6.1.0-wrong", machine, False, False))
    WrongKernel.made = []
    WrongKernel.wrong = lambda model, region: None
    return WrongKernel


CREATE_TWO = ("apply slot=0 gpa=0x0 size=0x1000 hva=0x10000", "apply slot=1 gpa=0x1000 size=0x1000 hva=0x20000")


def test_a_kernel_that_does_otherwise_than_it_says_is_read_back(
    wrong_kernel: type[WrongKernel], case_of: Callable[..., Case]
) -> None:
    """It says 0 to slot 1 and puts it elsewhere; the VM is not used again."""

    def wrong(model: PlainVm, region: Region) -> int | None:
        if region.slot != 1:
            return None
        return model.set_memory_region(region._replace(guest_phys_addr=0x1000, flags=1))

    case = case_of(*CREATE_TWO)
    engine = IoctlSerial()
    right = engine.apply(case)
    wrong_kernel.wrong = wrong
    assert [vm.closed for vm in wrong_kernel.made] == [False], "a sound VM is kept"
    outcome = engine.apply(case)
    assert [vm.closed for vm in wrong_kernel.made] == [True]
    engine.close()
    [before], [after] = right.active[0][1:], outcome.active[0][1:]
    assert after == before._replace(flags=1)


GIVEN_TWO = tuple(line.replace("apply", "given") for line in CREATE_TWO)


def test_a_kernel_that_goes_wrong_over_given_is_read_back_before_the_list(
    wrong_kernel: type[WrongKernel], case_of: Callable[..., Case]
) -> None:
    wrong_kernel.wrong = lambda model, region: (
        model.set_memory_region(region._replace(flags=1)) if region.slot == 1 else None
    )
    engine = IoctlSerial()
    outcome = engine.apply(case_of(*GIVEN_TWO, "apply slot=0 size=0"))
    engine.close()
    assert [slot.flags for slot in outcome.before[0]] == [0, 1]
    assert [slot.flags for slot in outcome.active[0]] == [1]


def test_a_kernel_that_accepts_what_given_must_not_hold_is_given_nothing_large(
    wrong_kernel: type[WrongKernel], case_of: Callable[..., Case]
) -> None:
    """Slot 1 over slot 0: Linux refuses it. This kernel does not, and may not refuse to resize slot 0 either."""
    sent: list[Region] = []

    def wrong(model: PlainVm, region: Region) -> int | None:
        sent.append(region)
        return 0 if region.slot == 1 else None

    wrong_kernel.wrong = wrong
    engine = IoctlSerial()
    over = CREATE_TWO[0].replace("apply slot=0", "given slot=1")
    with pytest.raises(Unfit, match="entry 0: memory_size=0x401000"):
        engine.apply(case_of(GIVEN_TWO[0], over, "apply slot=0 gpa=0x0 size=0x401000 hva=0x10000"))
    engine.close()
    assert [region.slot for region in sent] == [0, 1]


def test_a_kernel_that_refuses_given_alone_is_a_finding_and_no_bad_input(
    wrong_kernel: type[WrongKernel], case_of: Callable[..., Case]
) -> None:
    wrong_kernel.wrong = lambda model, region: 12 if region.slot == 1 else None
    engine = IoctlSerial()
    case = case_of(*GIVEN_TWO, "apply slot=2 gpa=0x2000 size=0x1000 hva=0x30000")
    verdict = Trial(Serial(), engine, Policy.PREFIX).verdict(case)
    with pytest.raises(RefusedGiven, match=r"given 1: .*EINVAL"):
        engine.apply(case_of(GIVEN_TWO[0], "given slot=7 size=0", "apply slot=2 size=0"))
    engine.close()
    assert [slot.id for slot in verdict.outcome.before[0]] == [0]
    assert [slot.id for slot in verdict.outcome.active[0]] == [0, 2]
    assert [finding.bucket for finding in verdict.findings] == ["final_slots ok ok nowhere"]


def test_a_kernel_that_refuses_what_linux_accepts_is_believed(
    wrong_kernel: type[WrongKernel], case_of: Callable[..., Case]
) -> None:
    wrong_kernel.wrong = lambda model, region: 12 if region.slot == 1 else None
    engine = IoctlSerial()
    outcome = engine.apply(case_of(*CREATE_TWO))
    assert (outcome.errno, outcome.entry_errnos) == (12, (0, 12))
    assert [slot.id for slot in outcome.active[0]] == [0]
    assert outcome.at_first_refusal == outcome.active
    engine.close()


def test_a_kernel_that_has_answered_wrongly_is_given_nothing_large(
    wrong_kernel: type[WrongKernel], case_of: Callable[..., Case]
) -> None:
    """The last request would be refused by Linux: slot 0 cannot be resized. Here nothing is certain any more."""
    case = case_of(*CREATE_TWO, "apply slot=0 gpa=0x0 size=0x401000 hva=0x10000")
    engine = IoctlSerial(keep_going=True)
    assert engine.apply(case).entry_errnos == (0, 0, 22)
    wrong_kernel.wrong = lambda model, region: 12 if region.slot == 1 else None
    with pytest.raises(Unfit, match="entry 2: memory_size=0x401000"):
        engine.apply(case)
    engine.close()


def test_a_bucket_is_the_same_whoever_says_what_is_right(wrong_kernel: type[WrongKernel]) -> None:
    """A kernel tells errnos alone: what the entry asked for that it refuses, the model knows."""
    file = read_case(ADMITTED)
    for reference in ("serial", "kvm"):
        assert list(surprises(ADMITTED, file, reference, Policy.ATOMIC)) == []
    assert wrong_kernel.made


def test_what_a_wrong_refusal_was_of_is_told(wrong_kernel: type[WrongKernel], case_of: Callable[..., Case]) -> None:
    wrong_kernel.wrong = lambda model, region: 12 if region.slot == 1 else None
    case = case_of(*CREATE_TWO)
    finding, *_ = Trial(Serial(), IoctlSerial()).verdict(case).findings
    assert finding.bucket == "error_codes ok ENOMEM CREATE refuse"
    outcome = IoctlSerial().apply(case)
    assert why(finding.mismatch, finding.parting, outcome).endswith("why, its kernel knows.")
    finding, *_ = Trial(IoctlSerial(), Serial()).verdict(case).findings
    assert finding.bucket == "error_codes ENOMEM ok CREATE refuse"
    wrong_kernel.wrong = lambda model, region: None
    assert IoctlSerial().apply(case).mishaps is None, "nothing is known of a request that is accepted"


def test_without_the_device_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="is not there: load kvm_amd or kvm_intel"):
        opened(str(tmp_path / "kvm"))
    with pytest.raises(Missing, match="KVM_GET_API_VERSION answers -25, expected 12"):
        opened(os.devnull)
    with pytest.raises(Missing, match="expected KVM's device"):
        opened(str(tmp_path))


def test_a_killed_process_leaves_a_machine_that_works(host: Host, engine: IoctlSerial) -> None:
    program = "from fuzz.calibration import *\nc = Calibration()\nprint('begun', flush=True)\nr = Random(1)\n"
    program += "while True: c.compare(drawn_sequence(r, c.host.machine))\n"
    with subprocess.Popen([sys.executable, "-c", program], cwd=HOUSE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert engine.apply(Case((Region(0, 0, 0, 4096, 0),), machine=host.machine)).errno == 0
    assert not issubclass(Missing, BadCase)
