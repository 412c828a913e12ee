# SPDX-License-Identifier: GPL-2.0-only
"""An engine in a guest: answers as it does outside, and goes on in another guest where one is lost."""

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import pytest

from engines.catalogue import ENGINES, engine_named
from engines.guests.applying import FailedInside
from engines.guests.console import Console
from engines.guests.engine import Guests
from engines.guests.frames import Frame, Kind
from engines.guests.guest import Guest
from engines.guests.plan import Plan
from engines.protocol import RefusedGiven
from engines.real.host import Host
from memslots.case import Case
from memslots.errors import BadInput, Missing, Unfit
from memslots.outcome import Outcome

if TYPE_CHECKING:
    from tests.conftest import FakeKernel

Kernels = Callable[..., "FakeKernel"]
LISTS = {
    "accepted": ("apply slot=0 gpa=0x0 size=0x1000 hva=0x0",),
    "refused": ("apply slot=0 size=0",),
    "crashes": ("given slot=0 gpa=0x0 size=0x1000 hva=0x0", "apply slot=0 gpa=0x0 size=0x1000 hva=0x0"),
    "lies": (
        "machine linux-6.18 max_gfn=0xfff",
        "list nent=3 header_flags=4",
        "apply slot=0 padding=01",
        "fault slot=0",
    ),
}
FATAL = "apply slot=66 gpa=0x0 size=0x1000 hva=0x0"
"""What the fake guest comes to harm at: `"slot": 66` in the request."""
WORD = '\\"slot\\": 66'


@pytest.fixture
def said() -> io.StringIO:
    """What is told of guests."""
    return io.StringIO()


@pytest.fixture
def guests_of(fake_kernel: Kernels, said: io.StringIO) -> Iterator[Callable[..., tuple[Guests, "FakeKernel"]]]:
    """Guests of a kernel that comes to harm at some words."""
    made: list[Guests] = []
    kernels: list[FakeKernel] = []

    def make(**harm: str) -> tuple[Guests, "FakeKernel"]:
        kernels.append(fake_kernel(**{WORD if word == "fatal" else word: what for word, what in harm.items()}))
        made.append(Guests(Plan(str(kernels[-1]), case=30.0 if "hang" not in harm.values() else 1.0), news=said))
        return made[-1], kernels[-1]

    yield make
    for guests in made:
        guests.close()
    assert not [pid for kernel in kernels for pid in kernel.running()]


Making = Callable[..., tuple[Guests, "FakeKernel"]]


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("name", [name for name in ENGINES if name in ("serial", "rfc-v1")])
def test_an_engine_answers_as_it_does_outside(
    case_of: Callable[..., Case], guests_of: Making, name: str, record: bool
) -> None:
    guests, kernel = guests_of()
    for quick in (False, True):
        inside, outside = guests.named(name, quick=quick), engine_named(name, quick=quick)
        assert (inside.name, inside.shows) == (outside.name, outside.shows)
        for lines in LISTS.values():
            case = case_of(*lines)
            assert inside.apply(case, record=record) == outside.apply(case, record=record)
    assert len(kernel.boots()) == 1


def test_no_guest_is_booted_before_there_is_a_case(guests_of: Making) -> None:
    guests, kernel = guests_of()
    guests.named("rfc-v1")
    assert guests.machine("rfc-v1") is None
    assert kernel.boots() == []


def test_an_engine_that_there_is_not_is_bad_input(guests_of: Making) -> None:
    guests, _ = guests_of()
    with pytest.raises(BadInput, match="no engine 'x'"):
        guests.named("x")


def test_what_an_engine_raises_inside_is_raised_outside(case_of: Callable[..., Case], guests_of: Making) -> None:
    guests, kernel = guests_of()
    bad = case_of("given slot=0 gpa=0x1 size=0x1000 hva=0x0", "apply slot=0 size=0")
    with pytest.raises(RefusedGiven, match=r"given 0: .*EINVAL") as refused:
        guests.named("rfc-v1").apply(bad)
    assert refused.value.index == 0
    assert guests.named("rfc-v1").apply(case_of(*LISTS["accepted"])).value == 0
    assert len(kernel.boots()) == 1


def test_a_mistake_of_ours_inside_is_no_crash_of_the_kernel(case_of: Callable[..., Case], guests_of: Making) -> None:
    guests, kernel = guests_of(fatal="mistake")
    with pytest.raises(FailedInside, match="Traceback"):
        guests.named("rfc-v1").apply(case_of(FATAL))
    assert guests.named("rfc-v1").apply(case_of(*LISTS["accepted"])).value == 0
    assert len(kernel.boots()) == 1


def test_a_guest_that_cannot_be_trusted_any_more_is_replaced(case_of: Callable[..., Case], guests_of: Making) -> None:
    guests, kernel = guests_of(fatal="untrusted later")
    engine = guests.named("rfc-v1")
    engine.apply(case_of(*LISTS["accepted"]))
    assert engine.apply(case_of(FATAL)).value == 0
    assert len(kernel.boots()) == 2


def test_a_guest_that_cannot_be_trusted_from_the_start_is_missing(
    case_of: Callable[..., Case], guests_of: Making
) -> None:
    guests, kernel = guests_of(fatal="untrusted")
    with pytest.raises(Missing, match="restart the guest"):
        guests.named("rfc-v1").apply(case_of(FATAL))
    assert len(kernel.boots()) == 1


def test_the_kernel_of_a_guest_tells_its_machine(host: Host, case_of: Callable[..., Case], guests_of: Making) -> None:
    """The fake guest has this machine's kernel."""
    guests, _ = guests_of()
    assert guests.machine("kvm") == host.machine
    with pytest.raises(Unfit, match="a real kernel fails when it likes"):
        guests.named("kvm").apply(case_of("apply slot=0", "fault slot=0"))


ENDS = {
    "panic": ("crashed", None),
    "oops-and-hang": ("crashed", "null-dereference"),
    "hang": ("hung", None),
    "die": ("crashed", None),
    "garbage": ("crashed", None),
}


@pytest.mark.parametrize("harm", [harm for harm in ENDS if harm != "oops-and-hang"])
def test_a_lost_guest_is_an_outcome_once_a_fresh_one_is_lost_too(
    case_of: Callable[..., Case], guests_of: Making, said: io.StringIO, harm: str
) -> None:
    guests, kernel = guests_of(fatal=harm)
    engine = guests.named("rfc-v1")
    harmless = case_of(*LISTS["accepted"])
    assert engine.apply(harmless).ended == "returned"
    outcome = engine.apply(case_of(FATAL))
    assert (outcome.ended, outcome.kind, outcome.value) == (*ENDS[harm], None)
    # The second boot is for the case alone, and the third for the next one.
    assert len(kernel.boots()) == 2
    assert engine.apply(harmless).ended == "returned"
    assert len(kernel.boots()) == 3
    assert len(kernel.running()) == 1
    assert guests.counts["the same in a fresh guest"] == 1
    assert "(case 2 of this guest)" in said.getvalue()
    assert "(case 1 of this guest)" in said.getvalue()


def test_a_loss_that_a_fresh_guest_does_not_share_is_counted_and_is_no_outcome(
    case_of: Callable[..., Case], guests_of: Making, said: io.StringIO
) -> None:
    guests, kernel = guests_of(fatal="panic later")
    engine = guests.named("rfc-v1")
    engine.apply(case_of(*LISTS["accepted"]))
    assert engine.apply(case_of(FATAL)) == engine_named("rfc-v1").apply(case_of(FATAL))
    assert len(kernel.boots()) == 2
    guests.close()
    assert "cases 3, crashed 1, otherwise in a fresh guest 1" in said.getvalue()


def test_a_case_that_leaves_an_oops_behind_is_tried_again_in_a_fresh_guest(
    case_of: Callable[..., Case], guests_of: Making, said: io.StringIO
) -> None:
    guests, kernel = guests_of(fatal="oops")
    engine = guests.named("rfc-v1")
    outcome = engine.apply(case_of(FATAL))
    assert outcome == engine_named("rfc-v1").apply(case_of(FATAL))
    assert len(kernel.boots()) == 2
    engine.apply(case_of(*LISTS["accepted"]))
    assert len(kernel.boots()) == 3
    assert "guest: suspect: BUG: kernel NULL pointer dereference, address: 0000000000000010 (case 1" in said.getvalue()


def test_a_quick_engine_does_not_try_again(case_of: Callable[..., Case], guests_of: Making) -> None:
    guests, kernel = guests_of(fatal="panic")
    assert guests.named("rfc-v1", quick=True).apply(case_of(FATAL)).ended == "crashed"
    assert len(kernel.boots()) == 1


def test_a_crash_says_of_what_kind_it_is(
    case_of: Callable[..., Case], guests_of: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.guests.guest._AFTER_AN_OOPS", 0.1)
    guests, _ = guests_of(fatal="oops-and-hang")
    outcome: Outcome = guests.named("rfc-v1").apply(case_of(FATAL))
    assert (outcome.ended, outcome.kind) == ENDS["oops-and-hang"]


class Echo:
    """A guest that answers what it was asked, in order, once it is asked for the answer."""

    console = Console()
    boot_seconds = 0.0

    def __init__(self, plan: Plan) -> None:
        self.answers: list[Frame] = []
        self.interrupted = False
        self.closed = False

    def send(self, frame: Frame, deadline: float, why: str) -> None:
        self.answers.append(Frame(Kind.ANSWER, frame.payload))
        if frame.payload == b"interrupted":
            self.interrupted = True

    def receive(self, deadline: float, why: str) -> Frame:
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        return self.answers.pop(0)

    def close(self) -> None:
        self.closed = True


def test_an_answer_that_nobody_waited_for_is_not_the_next_case_s() -> None:
    booted: list[Echo] = []

    def boot(plan: Plan) -> Guest:
        booted.append(Echo(plan))
        return cast(Guest, booted[-1])

    with Guests(Plan("bzImage"), boot=boot, news=io.StringIO()) as guests:
        assert guests.answer(b"one") == b"one"
        with pytest.raises(KeyboardInterrupt):
            guests.answer(b"interrupted")
        assert guests.answer(b"two") == b"two"
    assert [guest.closed for guest in booted] == [True, True]


def test_a_kernel_that_does_not_come_up_is_missing_after_a_second_try(
    case_of: Callable[..., Case], guests_of: Making
) -> None:
    guests, kernel = guests_of(hello="die")
    with pytest.raises(Missing, match=r"does not come up: guest died: .*cannot go on"):
        guests.named("rfc-v1").apply(case_of(*LISTS["accepted"]))
    assert len(kernel.boots()) == 2
