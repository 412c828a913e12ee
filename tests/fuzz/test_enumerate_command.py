# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots enumerate` as a user runs it: its processes, interrupted, killed and resumed; and bad usage."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.real.host import Host
from fuzz.enumerate_command import processes
from fuzz.enumeration import Enumeration
from fuzz.ledger import DATABASE, Ledger, settings_of
from fuzz.replay import surprises
from fuzz.scope import Scope
from memslots.errors import BadInput
from memslots.textreader import read_case
from oracles.policy import Policy
from tests.fuzz.enumerations import harm

SAMESLOTS = Path(sys.executable).parent / "sameslots"


def test_an_emptied_database_is_begun_anew_and_that_is_said(tmp_path: Path) -> None:
    small = ("--entries", "0", "--gfns", "1", "--jobs", "1", "--engine", "ideal", "--out", "out")
    first = enumerated(*small, cwd=tmp_path)
    assert "begins anew" not in first.stderr
    assert "begins anew" not in enumerated(*small, cwd=tmp_path).stderr
    (tmp_path / "out" / DATABASE).write_bytes(b"")
    again = enumerated(*small, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert again.stderr.startswith(
        "sameslots: out/enumeration.db: there was nothing in it: the enumeration begins anew\n"
    )


@pytest.mark.parametrize("table", ["tally", "bucket", "stretch", "setting", "allowance"])
def test_a_damaged_folder_is_one_line_and_bad_input(tmp_path: Path, table: str) -> None:
    small = ("--entries", "1", "--gfns", "1", "--jobs", "1", "--engine", "ideal", "--out", "out")
    assert enumerated(*small, cwd=tmp_path).returncode == 0
    harm(tmp_path / "out", f"DROP TABLE {table}")
    result = enumerated(*small, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"sameslots: out/enumeration.db: no such table: {table}: expected the database of an enumeration (without this"
        " file, or with another --out, it begins anew)\n"
    )


@pytest.mark.parametrize(
    ("asked", "cpus", "stretches", "started"),
    [(None, 2, 256, 2), (1, 2, 256, 1), (1000, 2, 256, 2), (None, 64, 3, 3), (2, 2, 1, 1), (3, 8, 256, 3)],
)
def test_no_process_is_started_that_would_have_nothing_to_do(
    asked: int | None, cpus: int, stretches: int, started: int
) -> None:
    assert processes(asked, cpus, stretches) == started


def test_a_thousand_jobs_are_a_worker_a_stretch_at_most(tmp_path: Path) -> None:
    result = enumerated("--entries", "1", "--gfns", "1", "--jobs", "1000", "--out", "out", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert [path.name for path in tmp_path.glob("out/worker-*.log")] == ["worker-0.log"]


ARGUMENTS = ("--entries", "2", "--gfns", "2")


LONGER = ("--entries", "2", "--gfns", "4", "--flags", "0", "--jobs", "2")


def heed_ctrl_c() -> None:
    """Whoever runs the tests may ignore SIGINT, as a script does for what it puts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def enumerated(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SAMESLOTS, "enumerate", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


def started(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [SAMESLOTS, "enumerate", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - there are no threads
    )


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def under_way(folder: Path) -> bool:
    if not (folder / DATABASE).exists():
        return False
    try:
        return done_in(folder) > 0
    except BadInput:
        return False  # it is being made


def done_in(folder: Path) -> int:
    there = settings_of(folder)
    total = Enumeration(Scope.of_settings(there)).total
    ledger = Ledger(folder, there, total)
    try:
        return ledger.done()
    finally:
        ledger.close()


def workers_of(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"fuzz.enumerator" in words and str(folder).encode() in words:
            found.append(int(entry.parent.name))
    return found


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.slots")}


def test_one_process_and_two_come_to_the_same(tmp_path: Path) -> None:
    one = enumerated(*ARGUMENTS, "--jobs", "1", "--out", "one", cwd=tmp_path)
    two = enumerated(*ARGUMENTS, "--jobs", "2", "--out", "two", cwd=tmp_path)
    assert one.returncode == two.returncode == 1, one.stderr + two.stderr
    assert one.stdout == two.stdout
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert "survival ok hung P1 CREATE lock" in one.stdout
    assert one.stdout.splitlines()[-1].startswith("rfc-v1 against serial, policy atomic: all ")
    assert "event=enumerate" in one.stderr
    for path in (tmp_path / "one").glob("*.slots"):
        assert list(surprises(path, read_case(path), "serial", Policy.ATOMIC)) == []
    again = enumerated(*ARGUMENTS, "--record", "two", "--out", "one", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "NEW" not in again.stdout
    assert again.stdout.endswith(" buckets, 0 not on record\n")


def test_an_interrupted_run_ends_with_its_table_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    whole = enumerated(*LONGER, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 1, whole.stderr
    folder = tmp_path / "out"
    process = started(*LONGER, "--out", str(folder), cwd=tmp_path)
    wait_until(lambda: under_way(folder))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "its changes (! flagged)" in out
    assert "not yet all" in out.splitlines()[-1]
    assert "Traceback" not in err
    assert not workers_of(folder)
    done = done_in(folder)
    process = started(*LONGER, "--out", str(folder), cwd=tmp_path)
    wait_until(lambda: done_in(folder) > done)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not workers_of(folder))
    last = enumerated(*LONGER, "--out", str(folder), cwd=tmp_path)
    assert last.returncode == 1, last.stderr
    assert last.stdout == whole.stdout
    assert files(folder) == files(tmp_path / "whole")


def test_a_killed_worker_is_told_with_what_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process = started(*LONGER, "--out", str(folder), cwd=tmp_path)
    wait_until(lambda: under_way(folder))
    workers = workers_of(folder)
    assert len(workers) == min(2, len(os.sched_getaffinity(0)))
    os.kill(workers[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a worker ended with -9" in err
    assert "its changes (! flagged)" in out
    assert not workers_of(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--entries", "9"], "entries=9: expected 0 to 8"),
        (["--entries", "many"], "--entries"),
        (["--gfns", "0"], "gfns=0: expected 1 to 64"),
        (["--flags", "DIRTY"], "flags: 'DIRTY': expected 0, or names of LOG_DIRTY_PAGES, READONLY"),
        (["--flags", "0,0"], "flags=0,0: expected each of them once"),
        (["--spaces", "3"], "spaces=3: expected 1 to 2"),
        (["--slots", "8", "--gfns", "40"], "expected fewer entries, slots, gfns"),
        (["--max-gfn", "-1"], "max_gfn"),
        (["--jobs", "0"], "--jobs"),
        (["--hvas", "3"], "--hvas"),
        (["--record", "nowhere"], "nowhere"),
        (["--out", "/dev/null/x"], "expected a folder to keep an enumeration in"),
    ],
    ids=str,
)
def test_bad_usage_is_said_at_once_and_leaves_no_folder(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = enumerated(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_of_a_list_that_an_engine_cannot_be_given_a_statement_says_nothing(tmp_path: Path) -> None:
    result = enumerated("--engine", "qemu-commit", "--entries", "1", "--gfns", "2", "--jobs", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == (
        "qemu-commit against serial, policy prefix: those that qemu-commit can be given of all 315 lists of up to 1"
        " entry over 2 slots and 2 gfns, with flags 0 or LOG_DIRTY_PAGES, userspace_addr the slot's own wherever it"
        " lies, from all 21 given states (57 tried, one of those that differ by names and places alone; 85 left out): 0"
        " mismatches"
    )


def test_an_engine_of_single_ioctls_is_not_given_flagged_entries(tmp_path: Path) -> None:
    small = ("--entries", "1", "--gfns", "1", "--jobs", "1")
    plain = enumerated(*small, "--engine", "serial", cwd=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert "flagged" not in plain.stdout
    assert plain.stdout.startswith("serial against serial, policy prefix: all ")
    assert plain.stdout.endswith(": 0 mismatches\n")


@pytest.mark.parametrize("engine", ["serial", "serial-rfc-v1", "qemu-commit"])
def test_flagged_entries_are_not_asked_of_an_engine_that_has_no_flag(tmp_path: Path, engine: str) -> None:
    result = enumerated("--engine", engine, "--invalidate", "both", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        f"sameslots: --invalidate both: a request of {engine} has no invalidate_slot: expected never, or nothing\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_memory_may_follow_the_gfn_and_the_statement_says_what_it_does(tmp_path: Path) -> None:
    small = ("--engine", "ideal", "--entries", "1", "--gfns", "2", "--flags", "0", "--jobs", "1")
    said = {}
    for hvas in ("1", "2", "follow", "mixed"):
        result = enumerated(*small, "--hvas", hvas, "--out", hvas, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        said[hvas] = result.stdout.splitlines()[-1].partition("2 gfns, userspace_addr ")[2].partition(", flagged")[0]
    assert said == {
        "1": "the slot's own wherever it lies",
        "2": "the slot's own wherever it lies or its second one",
        "follow": "following the gfn",
        "mixed": "following the gfn or the slot's own",
    }


def test_a_real_kernel_is_named_and_keeps_its_own_last_gfn(tmp_path: Path, host: Host) -> None:
    small = ("--engine", "kvm", "--entries", "1", "--gfns", "1", "--jobs", "1")
    result = enumerated(*small, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith(f"kvm against serial on Linux {host.release}, policy prefix: all ")
    for option in (["--faults"], ["--max-gfn", "5"]):
        refused = enumerated(*small, *option, "--out", "refused", cwd=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"sameslots: {option[0]}: ")
    assert not (tmp_path / "refused").exists()


def test_slots_beyond_the_last_gfn_are_asked_for_and_refused(tmp_path: Path) -> None:
    small = ("--entries", "1", "--gfns", "2", "--jobs", "1", "--engine", "serial")
    result = enumerated(*small, "--max-gfn", "0", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "over 2 slots and 2 gfns of which 0x0 is the last that there is" in result.stdout


def test_the_page_shows_what_the_command_prints(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "enumerate.md").read_text()
    command, _, shown = page.partition("```text\n$ sameslots ")[2].partition("```")[0].partition("\n")
    words = command.split()
    assert words[0] == "enumerate"
    printed = enumerated(*words[1:], cwd=tmp_path).stdout
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()
