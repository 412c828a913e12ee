# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that does not do as the model says: it is believed and read back, and given nothing large from then on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.protocol import RefusedGiven
from engines.real import clean, kvm
from engines.real.host import Host
from engines.real.kvm import IoctlSerial
from engines.simulated.engines import Serial
from engines.simulated.plain import PlainVm
from fuzz.replay import surprises
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Unfit
from memslots.machine import PROFILES, Machine
from memslots.region import Region
from memslots.textreader import read_case
from oracles.policy import Policy
from reports.why import why

HOUSE = Path(__file__).parent.parent.parent
ADMITTED = HOUSE / "corpus/mismatches/error_codes-eexist-ok-move-refuse-bccb1e1f.slots"
"""A MOVE that is refused one at a time, and let through by rfc-v1."""


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
    wrong_kernel: type[WrongKernel],
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
