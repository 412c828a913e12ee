# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots witness`: a table, an exit code that tells whether the bug was seen, and an end at Ctrl-C."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from engines.real.host import Host
from engines.real.updater import WAYS
from fuzz.witness_command import witness
from tests.engines.wrong_way import LeavesOther

Sameslots = Callable[..., subprocess.CompletedProcess[str]]
SPLIT = str(Path(__file__).parent.parent.parent / "docs" / "examples" / "split.slots")


def test_the_bug_is_the_exit_code(host: Host, sameslots: Sameslots) -> None:
    seen = sameslots("witness", SPLIT, "--time", "3")
    assert seen.returncode == 1, seen.stdout + seen.stderr
    first, head, read, write, fetch, lost, *emulated, last = seen.stdout.splitlines()
    assert first.startswith(f"{SPLIT}, serial: applied ")
    assert head.split("  ")[-1].strip() == "other data"
    assert [line.split()[0] for line in (read, write, fetch)] == ["read", "write", "fetch"]
    assert "gfn 0x10" in lost
    assert [line.split(":")[0] for line in emulated] in ([], ["KVM emulates real mode here"])
    assert ", 0 wrong; " in last
    gone = sameslots("witness", SPLIT, "--apply", "inhibited", "--rounds", "200")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert "not as before" not in gone.stdout


def test_what_is_wrong_between_the_lists_is_the_exit_code_too(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WAYS, "inhibited", lambda: LeavesOther(longer=False))
    words = [SPLIT, "--apply", "inhibited", "--rounds", "200"]
    ran = CliRunner().invoke(witness, words, standalone_mode=False)
    assert ran.exception is None
    assert ran.return_value == 1
    wrong = re.search(r"^between the lists: ([\d,]+) accesses, ([\d,]+) wrong; ", ran.stdout, re.MULTILINE)
    assert wrong is not None
    accesses, others = (int(number.replace(",", "")) for number in wrong.groups())
    assert accesses > others > 0


@pytest.mark.parametrize("way", ["serial", "inhibited"])
def test_nothing_seen_is_not_nothing_wrong(host: Host, sameslots: Sameslots, way: str) -> None:
    ran = sameslots("witness", SPLIT, "--apply", way, "--time", "0")
    assert ran.returncode == 2
    assert "applied 0 times" in ran.stdout
    assert "sameslots: the vCPU has seen nothing " in ran.stderr
    assert ran.stderr.endswith(": expected more --time or --rounds\n")


def test_a_list_that_takes_all_memory_away_can_show_nothing(host: Host, sameslots: Sameslots, tmp_path: Path) -> None:
    path = tmp_path / "x.slots"
    path.write_text("slots 1\ngiven slot=0 gpa=0x100000 size=0x1000 hva=0x100000000000\napply slot=0 size=0\n")
    ran = sameslots("witness", path, "--rounds", "5")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1] == (
        f"sameslots: {path}: no page has memory before the list and after it: nothing is there that it could lose"
    )


def test_ctrl_c_ends_it_with_its_table(host: Host, started: Callable[..., subprocess.Popen[str]]) -> None:
    running = started("witness", SPLIT, "--apply", "inhibited", "--time", "60")
    assert running.stderr is not None
    assert "event=witness" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out.splitlines()[-1].endswith("interrupted")


def test_a_case_that_cannot_be_witnessed_is_bad_input(host: Host, sameslots: Sameslots, tmp_path: Path) -> None:
    path = tmp_path / "x.slots"
    path.write_text("slots 1\napply slot=0 gpa=0x100000000 size=0x1000 hva=0x0\n")
    ran = sameslots("witness", path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"sameslots: {path}: a vCPU in real mode reaches 0x100000000 bytes: expected a list below that\n"
    )
    path.write_text("slots 1\ngiven slot=0 size=0\napply slot=0 size=0\n")
    assert sameslots("witness", path).stderr.startswith(f"sameslots: {path}:2: given 0: the serial ioctl refuses it")


def test_a_list_is_not_let_loose_on_a_kernel_unasked(host: Host, sameslots: Sameslots) -> None:
    ran = sameslots("witness", SPLIT, "--apply", "list", SAMESLOTS_GUEST=None, SAMESLOTS_DISPOSABLE=None)
    assert ran.returncode == 2
    assert "--this-machine-is-disposable" in ran.stderr
    if not host.region_list:
        ran = sameslots("witness", SPLIT, "--apply", "list", "--this-machine-is-disposable")
        assert ran.returncode == 3
        assert "has no KVM_SET_USER_MEMORY_REGION_LIST" in ran.stderr


HANGS = """
import sys, threading
from engines.real import updater, watched_witness
from fuzz.__main__ import main


class Hangs(updater.OneAtATime):
    def apply(self, *_):
        return {does}


updater.WAYS["serial"] = lambda: Hangs(inhibited=False)
watched_witness.WatchedWitness.__init__.__kwdefaults__["patience"] = 0.5
sys.argv = ["sameslots", "witness", {path!r}, "--time", "60"]
main()
"""


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("threading.Event().wait()", "hung over the list: the kernel has not come back for "),
        ("1", "the list returns 1; the model says that it is accepted"),
    ],
)
def test_a_kernel_that_does_otherwise_than_the_model_is_the_exit_code(host: Host, does: str, said: str) -> None:
    """It ends, though the list never comes back."""
    program = HANGS.format(does=does, path=SPLIT)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.splitlines()[0].startswith(f"{SPLIT}, serial: applied 0 times")
    assert ran.stdout.splitlines()[-1].startswith(said)
