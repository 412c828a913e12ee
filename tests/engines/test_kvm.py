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
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of as drawn_case
from memslots.case import Case
from memslots.errors import BadCase, Missing, Unfit
from memslots.machine import PROFILES, machine_of
from memslots.outcome import Outcome
from memslots.region import Region

SHOWN = ("ended", "value", "errno", "entry_errnos", "before", "active", "at_first_refusal")
HOUSE = Path(__file__).parent.parent.parent


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
