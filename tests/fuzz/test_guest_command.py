# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots guest` and `--guest`: what is said and with which exit code, and that no guest is left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fuzz import supervisor
from fuzz.guest_command import CRASHED_CODE, DIED_CODE, HUNG_CODE
from fuzz.supervisor import Workers

if TYPE_CHECKING:
    from tests.conftest import FakeKernel

Kernels = Callable[..., "FakeKernel"]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]
SLOTS = "slots 1\napply slot=66 gpa=0x0 size=0x1000 hva=0x0\nexpect rfc-v1 ok\n"
WORD = '\\"slot\\": 66'
SOON = 30.0


def gone(kernel: "FakeKernel") -> bool:
    """Whether no guest of this kernel runs any more, once it has had time to die."""
    deadline = time.monotonic() + SOON
    while kernel.running() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not kernel.running()


def booted(kernel: "FakeKernel") -> None:
    """Wait until a guest of this kernel runs."""
    deadline = time.monotonic() + SOON
    while not kernel.running():
        assert time.monotonic() < deadline, "no guest was booted"
        time.sleep(0.01)


@pytest.fixture
def in_guest(sameslots: Sameslots) -> Sameslots:
    """Run `sameslots` where QEMU is the fake one."""

    def run(*args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return sameslots(*args, stdin=stdin, PATH=os.environ["PATH"])

    return run


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A case that is in order."""
    (tmp_path / "a.slots").write_text(SLOTS)
    return tmp_path / "a.slots"


def test_a_command_runs_inside_as_it_does_outside(
    fake_kernel: Kernels, in_guest: Sameslots, sameslots: Sameslots, case: Path
) -> None:
    kernel = fake_kernel()
    line = sameslots("show", "--json", case).stdout
    for words, stdin in ((["replay", case], ""), (["run", "--jsonl", "-"], line), (["replay", "nowhere"], "")):
        inside, outside = in_guest("guest", kernel, "--", *words, stdin=stdin), sameslots(*words, stdin=stdin)
        assert (inside.returncode, inside.stdout, inside.stderr) == (outside.returncode, outside.stdout, outside.stderr)
    assert gone(kernel)


def test_a_shell_command_runs_on_request(fake_kernel: Kernels, in_guest: Sameslots) -> None:
    done = in_guest("guest", "--shell", fake_kernel(), "--", "echo $((6 * 7));", "exit 9")
    assert (done.returncode, done.stdout) == (9, "42\n")


@pytest.mark.parametrize(
    ("harm", "code", "said"),
    [
        ("panic", CRASHED_CODE, "sameslots: guest crashed: Kernel panic - not syncing: of fright\n"),
        ("die", DIED_CODE, "sameslots: guest died: QEMU ended with 1: qemu-system-x86_64: cannot go on\n"),
    ],
)
def test_a_guest_that_is_lost_has_a_code_and_a_line(
    fake_kernel: Kernels, in_guest: Sameslots, harm: str, code: int, said: str
) -> None:
    kernel = fake_kernel(fatal=harm)
    done = in_guest("guest", kernel, "--", "replay", "fatal")
    assert done.returncode == code
    assert done.stderr.endswith(said)
    assert "Traceback" not in done.stderr
    assert gone(kernel)


def test_a_command_without_end_hangs(fake_kernel: Kernels, in_guest: Sameslots) -> None:
    kernel = fake_kernel()
    done = in_guest("guest", "--timeout", "0.5", "--shell", kernel, "--", "sleep 1000")
    assert (done.returncode, done.stdout) == (HUNG_CODE, "")
    assert (
        done.stderr == "sameslots: guest hung: the command has not ended after 0.5 s, though the guest still answers\n"
    )
    assert gone(kernel)


def test_a_guest_that_does_not_come_up_hangs(fake_kernel: Kernels, in_guest: Sameslots) -> None:
    kernel = fake_kernel(hello="hang")
    done = in_guest("guest", "--boot", "0.5", kernel, "--", "replay", "x")
    assert (done.returncode, done.stderr) == (HUNG_CODE, "sameslots: guest hung: it has not come up in 0.5 s\n")
    assert gone(kernel)


@pytest.mark.parametrize(("inside", "code"), [(0, CRASHED_CODE), (1, 1)])
def test_a_command_that_succeeds_on_an_oopsed_kernel_has_not(
    fake_kernel: Kernels, in_guest: Sameslots, inside: int, code: int
) -> None:
    done = in_guest("guest", "--shell", fake_kernel(odd="oops"), "--", f": odd; exit {inside}")
    assert done.returncode == code
    assert "BUG: kernel NULL pointer dereference" in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[-1].startswith(
        f"sameslots: guest crashed, and the command ended with {inside}: BUG"
    )


def test_the_console_goes_to_a_file_on_request(fake_kernel: Kernels, in_guest: Sameslots, tmp_path: Path) -> None:
    console = tmp_path / "console"
    assert in_guest("guest", "--console", console, "--shell", fake_kernel(), "--", "true").returncode == 0
    assert console.read_text() == "[    0.000000] Linux version 6.1.0-fake\n"
    done = in_guest("guest", "--console", tmp_path, "--shell", fake_kernel(), "--", "true")
    assert done.returncode == 2
    assert done.stderr == f"sameslots: {tmp_path}: Is a directory: expected a file for the console\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["guest"], 2, "Missing argument 'KERNEL'"),
        (["guest", "KERNEL"], 2, "expected a command to run in the guest"),
        (["guest", "KERNEL", "--"], 2, "expected a command to run in the guest"),
        (["guest", "KERNEL", "--console", "F", "--", "doctor"], 2, "options stand before KERNEL, and a command behind"),
        (["guest", "KERNEL", "-x", "doctor"], 2, "options stand before KERNEL, and a command behind it: found -x"),
        (["guest", "--module", "nosuch", "KERNEL", "doctor"], 2, "guest: module nosuch: KERNEL has none of this name"),
        (["replay", "--guest", "KERNEL,modules=nosuch", "CASE"], 2, "guest: module nosuch: KERNEL has none of"),
        (["guest", "nowhere", "--", "replay", "x"], 3, "nowhere: not there: expected a bzImage"),
        (["guest", "linux-image-6.1", "replay", "x"], 3, "linux-image-6.1: not downloaded: apt-get download"),
        (["guest", "/bin/sh", "replay", "x"], 2, "/bin/sh: no bzImage"),
        (["run", "--guest", "nowhere"], 3, "nowhere: not there"),
        (["fuzz", "--guest", "nowhere"], 3, "nowhere: not there"),
        (["fuzz", "--guest", "KERNEL,cpus=x"], 2, "cpus=x: expected a number above 0"),
        (["replay", "--guest", "nowhere", "CASE"], 3, "nowhere: not there"),
        (["reduce", "--guest", "nowhere", "CASE"], 3, "nowhere: not there"),
    ],
)
def test_what_cannot_be_is_said_on_one_line(
    fake_kernel: Kernels, in_guest: Sameslots, case: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    kernel = str(fake_kernel())
    out = ["--out", str(tmp_path / "out")] if words[0] == "fuzz" else []
    named = [word.replace("KERNEL", kernel).replace("CASE", str(case)) for word in words[1:]]
    done = in_guest(words[0], *out, *named)
    assert done.returncode == code
    assert said.replace("KERNEL", kernel if "KERNEL has" in said else "KERNEL") in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_guest_that_qemu_refuses_is_bad_usage(fake_kernel: Kernels, in_guest: Sameslots, case: Path) -> None:
    kernel = fake_kernel(silent="refuse")
    done = in_guest("guest", "--memory", "1X", kernel, "doctor")
    assert (done.returncode, done.stderr) == (2, "sameslots: guest: QEMU refuses: -m 1X: what is an X?\n")
    done = in_guest("replay", "--guest", f"{kernel},memory=1X", case, case)
    assert done.returncode == 3
    said = f"{kernel}: does not come up: guest: QEMU refuses: -m 1X: what is an X?\n"
    assert done.stderr.endswith(f"sameslots: {said}")
    assert len(kernel.boots()) == 2, "no case can have a guest"


def test_without_qemu_one_line_says_what_to_do(fake_kernel: Kernels, sameslots: Sameslots, tmp_path: Path) -> None:
    kernel = fake_kernel()
    (tmp_path / "bin/qemu-system-x86_64").unlink()
    for name in ("sh", "dirname"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    done = sameslots("guest", kernel, "replay", "x", PATH=str(tmp_path / "bin"))
    assert done.returncode == 3
    assert done.stderr == "sameslots: qemu-system-x86_64 is not installed: apt-get install qemu-system-x86\n"


@pytest.fixture
def begun(fake_kernel: Kernels) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `sameslots` with the fake QEMU; the test ends it."""
    processes: list[subprocess.Popen[str]] = []

    def begun(*args: str | Path) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [str(Path(sys.executable).parent / "sameslots"), *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509
            )
        )
        return processes[-1]

    yield begun
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_no_guest_is_left_however_the_command_ends(
    fake_kernel: Kernels, begun: Callable[..., subprocess.Popen[str]], number: int, code: int
) -> None:
    kernel = fake_kernel()
    process = begun("guest", "--shell", kernel, "--", "sleep 1000")
    booted(kernel)
    time.sleep(0.2)  # for the command to begin
    process.send_signal(number)
    assert process.wait(SOON) == code
    assert gone(kernel)


def test_a_reader_that_goes_away_ends_the_guest(
    fake_kernel: Kernels, begun: Callable[..., subprocess.Popen[str]]
) -> None:
    kernel = fake_kernel()
    process = begun("guest", "--shell", kernel, "--", "yes")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(SOON) == 141
    assert gone(kernel)


def test_run_replay_and_reduce_apply_cases_in_a_guest(
    fake_kernel: Kernels, in_guest: Sameslots, sameslots: Sameslots, tmp_path: Path
) -> None:
    kernel = fake_kernel()
    grow = Path(__file__).parents[2] / "docs/examples/grow.slots"
    line = sameslots("show", "--json", grow).stdout
    for words, stdin in ((["replay", grow], ""), (["run", "--jsonl", "-"], line), (["reduce", grow], "")):
        inside, outside = in_guest(*words, "--guest", kernel, stdin=stdin), sameslots(*words, stdin=stdin)
        assert (inside.returncode, inside.stdout) == (outside.returncode, outside.stdout)
        assert inside.stderr.startswith(f"guest: booting {kernel}\nguest: up after ")
    assert len(kernel.boots()) == 3
    assert gone(kernel)


def test_a_replay_goes_on_behind_a_case_that_its_guest_does_not_survive(
    fake_kernel: Kernels, in_guest: Sameslots, case: Path
) -> None:
    kernel = fake_kernel(**{WORD: "panic"})
    other = case.with_name("b.slots")
    other.write_text(SLOTS.replace("66", "67"))
    done = in_guest("replay", "--guest", kernel, case, other)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"{case}: expected rfc-v1 ok, got rfc-v1 crashed"
    assert done.stdout.splitlines()[-1] == "2 replayed: 1 as expected, 1 not, 0 bad"
    assert "boots 3, cases 3, crashed 2, the same in a fresh guest 1" in done.stderr
    assert gone(kernel)


@pytest.mark.parametrize("backend", ["random", "atheris"])
def test_a_campaign_has_its_engine_in_a_guest(
    fake_kernel: Kernels, in_guest: Sameslots, tmp_path: Path, backend: str
) -> None:
    if backend == "atheris":
        pytest.importorskip("atheris", reason="needs atheris: pip install atheris")
    kernel, out = fake_kernel(), tmp_path / "out"
    words = ("fuzz", "--backend", backend, "--seed", "3", "--runs", "32", "--out", out)
    done = in_guest(*words, "--guest", kernel)
    assert done.returncode == 1, done.stderr
    assert "minimal lists in" in done.stdout
    assert len(kernel.boots()) == 1
    assert gone(kernel)
    assert in_guest("replay", out).returncode == 0
    # The same folder is not for campaigns on other kernels.
    assert in_guest(*words).returncode == 2


@pytest.fixture
def signals() -> Iterator[None]:
    """Whatever the test does, signals are answered as before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, answer in before.items():
        signal.signal(number, answer)


@pytest.mark.usefixtures("signals")
def test_the_end_of_a_campaign_does_not_wait_for_a_guest_that_boots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker hears of the end when the guest is up; another one is given its time."""
    monkeypatch.setattr(supervisor, "_GRACE_SECONDS", 10 * SOON)
    (tmp_path / "waits.log").write_text("guest: booting bzImage\n")
    (tmp_path / "works.log").write_text("guest: up after 9 s\n")
    with Workers({"waits": ["sleep", "1000"], "works": ["cat"]}, tmp_path) as workers:
        assert workers.booting() == 1
    assert [process.returncode for process in workers._processes] == [-signal.SIGKILL, 0]


def test_ctrl_c_ends_a_campaign_whose_guest_never_comes_up(
    fake_kernel: Kernels, begun: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    kernel = fake_kernel(hello="hang")
    process = begun("fuzz", "--backend", "random", "--time", "1000", "--out", tmp_path / "out", "--guest", kernel)
    booted(kernel)
    assert (tmp_path / "out/random.log").read_text() == f"guest: booting {kernel}\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=SOON)
    assert process.returncode == 130
    assert out.startswith("0 trials ")
    assert gone(kernel)


def test_a_campaign_says_that_its_guest_boots(tmp_path: Path) -> None:
    """It is the last that the worker says, until the guest is up or lost."""
    workers = Workers({}, tmp_path)
    log = tmp_path / "random.log"
    workers.logs.append(log)
    for text, booting in (
        ("", 0),
        ("guest: hung: long ago\nguest: booting bzImage\n", 1),
        (f"{'x' * 5000}\nguest: booting {'b' * 200}", 1),
        ("guest: booting bzImage\nguest: up after 9 s\n", 0),
    ):
        log.write_text(text)
        assert workers.booting() == booting, text


def test_no_guest_is_left_by_a_campaign_that_is_killed(
    fake_kernel: Kernels, begun: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    kernel = fake_kernel()
    process = begun("fuzz", "--backend", "random", "--time", "1000", "--out", tmp_path / "out", "--guest", kernel)
    booted(kernel)
    process.kill()
    process.wait()
    assert gone(kernel)
