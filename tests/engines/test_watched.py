# SPDX-License-Identifier: GPL-2.0-only
"""A watched child answers, dies or is stuck, its parent can tell which, and none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.real import watched
from engines.real.device import die_with
from engines.real.watched import Died, Failed, Stuck, Tell, Watched

SECONDS = 0.2


def nothing(_: object) -> None:
    """What nobody listens to."""


def runs(pid: int) -> bool:
    """Whether a process is there that is no zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_it_answers_in_a_process_of_its_own_and_remembers() -> None:
    asked: list[object] = []

    def work(question: object, tell: Tell) -> object:
        asked.append(question)
        return os.getpid(), len(asked)

    child = Watched(work)
    assert child.ask("a", SECONDS, nothing) == (child.pid, 1)
    assert child.ask("b", SECONDS, nothing) == (child.pid, 2)
    assert child.pid != os.getpid()
    assert asked == []
    assert child.close()
    assert gone(child.pid)


def test_what_it_tells_is_heard_before_it_goes_on(tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def note(text: str) -> None:
        with diary.open("a") as file:
            file.write(text)

    def work(question: object, tell: Tell) -> object:
        for step in "ab":
            tell(step)
            note(step)
        return None

    child = Watched(work)
    child.ask("", SECONDS, lambda step: note(f"heard {step} "))
    child.close()
    assert diary.read_text() == "heard a aheard b b"


def test_silence_is_counted_from_the_last_word() -> None:
    def work(question: object, tell: Tell) -> object:
        for _ in range(4):
            time.sleep(SECONDS / 2)
            tell("")
        return "done"

    child = Watched(work)
    assert child.ask("", SECONDS * 4, nothing) == "done"
    child.close()


def waits(flag: Path) -> None:
    while not flag.exists():
        time.sleep(SECONDS / 4)


def works(flag: Path) -> None:
    while not flag.exists():
        pass


@pytest.mark.parametrize("does", [waits, works])
def test_a_child_that_is_silent_while_it_works_is_given_more_time(
    does: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits and wakes again, or uses the processor, until its parent has looked at it four times."""
    flag = tmp_path / "flag"
    looks = 0

    def counting(pid: int) -> str:
        nonlocal looks
        looks += 1
        if looks == 5:
            flag.touch()
        return wakes(pid)

    wakes = watched._wakes
    monkeypatch.setattr(watched, "_wakes", counting)
    child = Watched(lambda question, tell: does(flag))
    assert child.ask("", SECONDS, nothing) is None
    assert looks >= 5
    child.close()


def test_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def waking(pid: int) -> str:
        looks.append(pid)
        return str(len(looks))

    monkeypatch.setattr(watched, "_wakes", waking)
    child = Watched(lambda question, tell: sleeps())
    with pytest.raises(Stuck):
        child.ask("", SECONDS / 10, nothing)
    assert looks == [child.pid] * 7


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_that_dies_tells_of_what(number: signal.Signals) -> None:
    child = Watched(lambda question, tell: os.kill(os.getpid(), number))
    with pytest.raises(Died) as died:
        child.ask("", SECONDS, nothing)
    assert (died.value.signal, died.value.gone) == (number, True)
    assert gone(child.pid)


def test_a_child_that_leaves_has_no_signal() -> None:
    child = Watched(lambda question, tell: os._exit(3))
    with pytest.raises(Died) as died:
        child.ask("", SECONDS, nothing)
    assert (died.value.signal, died.value.gone) == (None, True)


def sleeps() -> None:
    time.sleep(3600)


def is_stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def ignores_what_it_can() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sleeps()


def loops() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("does", "running"), [(sleeps, False), (is_stopped, False), (ignores_what_it_can, False), (loops, True)]
)
def test_a_child_that_is_stuck_is_told_from_one_that_loops(does: Callable[[], None], running: bool) -> None:
    child = Watched(lambda question, tell: does())
    with pytest.raises(Stuck) as stuck:
        child.ask("", SECONDS, nothing)
    assert (stuck.value.running, stuck.value.gone) == (running, True)
    assert gone(child.pid)


def test_a_child_that_cannot_be_killed_is_abandoned_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.real.watched._DIE_SECONDS", 0.05)
    child = Watched(lambda question, tell: sleeps(), kill=lambda pid, number: None)
    with pytest.raises(Stuck) as stuck:
        child.ask("", SECONDS, nothing)
    assert not stuck.value.gone
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)


def test_a_fault_of_ours_comes_back_as_what_it_is() -> None:
    def work(question: object, tell: Tell) -> object:
        raise KeyError("our own mistake")

    child = Watched(work)
    with pytest.raises(Failed, match="KeyError: 'our own mistake'"):
        child.ask("", SECONDS, nothing)
    assert gone(child.pid)


def test_ctrl_c_is_for_the_parent() -> None:
    def work(question: object, tell: Tell) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return "still here"

    child = Watched(work)
    assert child.ask("", SECONDS, nothing) == "still here"
    child.close()


PARENT = """
import ctypes, os, signal, sys, time
from engines.real.watched import Watched

def loops(question, tell):
    while question:
        pass

def sleeps(question, tell):
    time.sleep(3600)

def is_held(question, tell):
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
    os.kill(os.getppid(), signal.SIGUSR1)
    time.sleep(3600)

signal.signal(signal.SIGUSR1, lambda number, frame: os.kill(os.getpid(), signal.SIGKILL))
idle = Watched(loops)
idle.ask(0, 5, print)
busy = [Watched(work) for work in (loops, sleeps)]
held = Watched(is_held, kill=lambda pid, number: None)
print(idle.pid, *[child.pid for child in busy], held.pid, flush=True)
for child in (*busy, held):
    child._pipe.send(("ask", 1))
time.sleep(3600)
"""
"""Is killed when `held`, the last of its children, is at work; `held` stands for one that the kernel keeps."""


def test_it_ends_with_its_parent_and_keeps_nobody_waiting() -> None:
    """A parent that is killed leaves no child behind, idle or busy; one that is held keeps no pipe of it open."""
    house = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", PARENT], cwd=house, stdout=subprocess.PIPE, timeout=20, check=False)
    *ours, held = map(int, done.stdout.split())
    try:
        assert len(ours) == 3
        deadline = time.monotonic() + 10
        while any(map(runs, ours)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [pid for pid in ours if runs(pid)] == []
        assert runs(held)
    finally:
        for pid in filter(runs, (*ours, held)):
            os.kill(pid, signal.SIGKILL)


def test_it_does_not_begin_when_its_parent_has_gone() -> None:
    """Between the fork and its first step."""
    pid = os.fork()
    if pid == 0:
        die_with(os.getpid())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
