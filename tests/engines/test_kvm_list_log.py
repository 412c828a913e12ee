# SPDX-License-Identifier: GPL-2.0-only
"""What the log of a kernel with the list ioctl says: of which case, of which phase of it, and of whose task."""

import os
import signal

import pytest

from engines.real import kvm_list, watched
from engines.real.watched import Watched, Work
from engines.simulated.engines import Serial
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Missing
from memslots.outcome import Outcome
from memslots.region import Region
from oracles.policy import Policy
from tests.engines.list_engines import Made, findings, hangs
from tests.engines.wrecked_kernel import WreckedVm, loop


def warning(line: int = 1, pid: int | None = None) -> str:
    """Of this process, if not of another."""
    number = os.getpid() if pid is None else pid
    return f"WARNING: CPU: 0 PID: {number} at virt/kvm/kvm_main.c:{line} kvm_replace_memslot+0x5/0x30"


WARNS = ("warn", "kvm_replace_memslot (virt/kvm/kvm_main.c:1)")
LOCKDEP = "WARNING: bad unlock balance detected!"


@pytest.fixture(autouse=True)
def as_outside_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is a file: it knows processes by the numbers that they have for us."""
    monkeypatch.setattr(kvm_list, "known_as", lambda pid: pid)


def test_what_the_log_says_belongs_to_the_case(made: Made, grow: Case) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        if vm.kvm.goes_wrong is goes_wrong:
            vm.kvm.say(warning(), "WARNING: possible recursive locking detected")

    engine, kvm = made(goes_wrong)
    kvm.say(warning())
    outcome = engine.apply(grow)
    assert outcome.warned is True
    assert [(event.kind, event.detail) for event in outcome.mishaps or ()] == [
        WARNS,
        ("log", "possible recursive locking detected"),
    ]
    assert findings(engine, grow) == ["invariants warned"]
    kvm.goes_wrong = lambda vm: None
    engine.close()
    kvm.say(warning())
    assert engine.apply(grow).warned is False, "what was said between two cases is nobody's"


def told_in_phases(outcome: Outcome) -> list[tuple[str, str, str]]:
    return [(event.phase, event.kind, event.detail) for event in outcome.mishaps or ()]


def test_what_the_log_says_of_given_is_not_the_call_s(made: Made, grow: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `given` speak, not those that a list is made of here, nor what comes then."""
    does, list_does = WreckedVm.set_memory_region, WreckedVm.set_list

    def warns(vm: WreckedVm, region: Region) -> int:
        if not vm.lists:
            vm.kvm.say(warning())
        return does(vm, region)

    def set_list(vm: WreckedVm, packed: bytearray) -> int:
        vm.lists += 1
        return list_does(vm, packed)

    monkeypatch.setattr(WreckedVm, "set_memory_region", warns)
    monkeypatch.setattr(WreckedVm, "set_list", set_list)
    engine, kvm = made()
    outcome = engine.apply(grow)
    assert (outcome.warned, told_in_phases(outcome)) == (False, [("given", *WARNS)])
    assert findings(engine, grow) == []
    kvm.goes_wrong = lambda vm: vm.kvm.say(warning(2))
    outcome = engine.apply(grow)
    assert outcome.warned is True
    assert told_in_phases(outcome) == [("given", *WARNS), ("", "warn", WARNS[1].replace(":1", ":2"))]
    [finding] = Trial(Serial(), engine, Policy.PREFIX).verdict(grow).findings
    assert finding.bucket == "invariants warned ok ok UNKNOWN warn"


@pytest.mark.parametrize("when", ["when_read", "at_close"])
def test_what_the_log_says_after_the_call_is_told_as_such(made: Made, grow: Case, when: str) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        def speaks() -> None:
            setattr(vm, when, lambda: None)
            vm.kvm.say(warning(), LOCKDEP)

        setattr(vm, when, speaks)
        if when == "at_close":
            vm.kvm.say("a line that means nothing, so that the VM is not kept")

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.warned, outcome.dangling) == ("returned", False, None)
    expected = [("afterwards", *WARNS), ("afterwards", "log", "bad unlock balance detected")]
    assert told_in_phases(outcome) == expected


@pytest.mark.parametrize("when", ["given", "", "afterwards"])
def test_a_warn_of_another_task_is_shown_and_is_not_the_call_s(
    made: Made, grow: Case, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    does = WreckedVm.set_memory_region

    def sets(vm: WreckedVm, region: Region) -> int:
        if when == "given" and region in grow.given:
            vm.kvm.say(warning(2, 1))
        return does(vm, region)

    def goes_wrong(vm: WreckedVm) -> None:
        if when == "":
            vm.kvm.say(warning(2, 1))
        elif when == "afterwards":
            vm.kvm.say("a line that means nothing, so that the VM is not kept")
            vm.at_close = lambda: vm.kvm.say(warning(2, 1))

    monkeypatch.setattr(WreckedVm, "set_memory_region", sets)
    engine, kvm = made(goes_wrong)
    outcome = engine.apply(grow)
    assert outcome.warned is False
    assert told_in_phases(outcome) == [
        (when, "log", "WARN of task 1: kvm_replace_memslot (virt/kvm/kvm_main.c:2)"),
    ]
    assert findings(engine, grow) == []
    monkeypatch.undo()
    monkeypatch.setattr(kvm_list, "known_as", lambda pid: pid)
    kvm.goes_wrong = lambda vm: vm.kvm.say(warning(2, 1), warning())
    outcome = engine.apply(grow)
    assert outcome.warned is True
    assert [event.kind for event in outcome.mishaps or ()] == ["warn", "log"]


def test_in_a_container_every_warn_of_a_task_is_the_call_s(
    made: Made, grow: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm_list, "known_as", lambda pid: None)
    engine, _ = made(lambda vm: vm.kvm.say(warning(1, 4_000_000)))
    assert engine.apply(grow).warned is True


def test_a_vm_is_not_used_again_when_the_log_has_spoken_after_the_call(made: Made, grow: Case) -> None:
    """Each VM answers how many lists it has seen."""

    def goes_wrong(vm: WreckedVm) -> int:
        def speaks() -> None:
            vm.when_read = lambda: None
            vm.kvm.say("something odd")

        if vm.lists == 2:
            vm.when_read = speaks
        return vm.lists

    engine, _ = made(goes_wrong)
    assert [engine.apply(grow).value for _ in range(4)] == [1, 2, 1, 2]


def test_of_a_log_that_has_lost_lines_silence_is_no_proof(made: Made, grow: Case) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        vm.kvm.say("a line")
        vm.kvm.loses(3)
        vm.kvm.say("another line")

    engine, kvm = made(goes_wrong)
    assert engine.apply(grow).warned is None
    kvm.goes_wrong = lambda vm: vm.kvm.say(warning())
    assert engine.apply(grow).warned is True
    kvm.goes_wrong = lambda vm: None
    assert engine.apply(grow).warned is False


def test_without_a_log_nothing_is_said_of_it(made: Made, grow: Case) -> None:
    engine, kvm = made()
    kvm.log.unlink()
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.warned, outcome.damage) == ("returned", None, None)


def test_a_warn_that_speaks_once_may_speak_in_each_case(
    made: Made, grow: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is asked of the kernel whose log it is, and of no other."""
    asked: list[int] = []
    monkeypatch.setattr(kvm_list, "warn_once_more", lambda: asked.append(len(asked)))
    engine, kvm = made()
    engine.apply(grow)
    assert asked == []
    monkeypatch.setattr(kvm_list, "KMSG", str(kvm.log))
    for _ in range(2):
        engine.apply(grow)
    assert asked == [0, 1]


class Unkillable(Watched):
    """A child that the kernel holds, as far as its parent can tell."""

    pids: list[int]

    def __init__(self, work: Work) -> None:
        super().__init__(work, kill=lambda pid, number: None)
        self.pids.append(self.pid)

    def close(self) -> bool:
        ended = super().close()
        if not ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        return ended


@pytest.fixture
def unkillable(monkeypatch: pytest.MonkeyPatch) -> type[Unkillable]:
    monkeypatch.setattr(kvm_list, "Watched", Unkillable)
    monkeypatch.setattr(watched, "_DIE_SECONDS", 0.05)
    Unkillable.pids = []
    return Unkillable


def test_a_task_that_was_given_up_is_not_the_next_case_s(unkillable: type[Unkillable], made: Made, grow: Case) -> None:
    """The kernel speaks of a task that hangs after two minutes, and of the one that it is about at once."""
    engine, kvm = made(hangs)
    assert engine.apply(grow).ended == "hung"
    [pid] = unkillable.pids
    late = [
        f"INFO: task python:{pid} blocked for more than 120 seconds.",
        f"watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [python:{pid}]",
    ]
    kvm.goes_wrong = lambda vm: vm.kvm.say(*late, f"INFO: task python:{pid}1 blocked for more than 120 seconds.")
    outcome = engine.apply(grow)
    assert outcome.ended == "returned"
    assert told_in_phases(outcome) == [("", "log", f"INFO: task python:{pid}1 blocked for more than 120 seconds")]


def test_so_many_tasks_that_hang_are_enough(
    unkillable: type[Unkillable], made: Made, grow: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm_list, "_MOST_STUCK", 2)
    engine, _ = made(hangs)
    assert [engine.apply(grow).ended for _ in range(2)] == ["hung"] * 2
    assert len(unkillable.pids) == 2
    with pytest.raises(Missing, match="since 2 tasks hang in it that cannot be killed"):
        engine.apply(grow)


def test_a_task_that_did_not_end_with_its_engine_is_not_the_next_case_s(
    unkillable: type[Unkillable], made: Made, grow: Case
) -> None:
    engine, kvm = made()
    engine.apply(grow)
    [pid] = unkillable.pids
    os.kill(pid, signal.SIGSTOP)
    engine.close()
    kvm.goes_wrong = lambda vm: vm.kvm.say(f"INFO: task python:{pid} blocked for more than 120 seconds.")
    assert engine.apply(grow).mishaps is None


def test_a_kernel_with_a_task_that_loops_for_ever_is_suspect(
    unkillable: type[Unkillable], made: Made, grow: Case
) -> None:
    engine, _ = made(lambda vm: loop())
    assert engine.apply(grow).ended == "looped"
    assert len(unkillable.pids) == 1
    with pytest.raises(Missing, match="since a task loops in it that cannot be killed"):
        engine.apply(grow)
