# SPDX-License-Identifier: GPL-2.0-only
"""How a campaign ends that is interrupted or killed: with its table, without a worker, with all but a second kept."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.campaigns import SAMESLOTS, fuzz, opened


def heed_ctrl_c() -> None:
    """Whoever runs the tests may ignore SIGINT, as a script does for what it puts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def running_campaign(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [SAMESLOTS, "fuzz", "--backend", "random", "--seed", "5", "--time", "600", "--out", "out"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - there are no threads
    )
    wait_until(lambda: len(list((folder / "out").glob("*.slots"))) > 20)
    return process


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def test_ctrl_c_ends_with_the_table_and_leaves_no_worker(tmp_path: Path) -> None:
    process = running_campaign(tmp_path)
    workers = workers_of(process.pid)
    assert len(workers) == 1
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "minimal list (! flagged)" in out
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_kill_9_loses_at_most_a_second_and_leaves_no_worker(tmp_path: Path) -> None:
    process = running_campaign(tmp_path)
    [worker] = workers_of(process.pid)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not Path(f"/proc/{worker}").exists())
    findings = opened(tmp_path / "out")
    trials = findings.trials()
    assert trials > 0
    names = {record.name for record in findings.records()}
    assert names == {path.stem for path in (tmp_path / "out").glob("*.slots")}
    again = fuzz("--backend", "random", "--runs", "50", "--seed", "6", "--out", "out", cwd=tmp_path)
    assert again.returncode == 1
    assert opened(tmp_path / "out").trials() == trials + 50


def test_a_killed_worker_has_written_down_all_but_the_last_second(tmp_path: Path) -> None:
    process = running_campaign(tmp_path)
    [worker] = workers_of(process.pid)
    before = opened(tmp_path / "out").seconds()
    time.sleep(4)
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a worker ended with -9" in err
    assert "minimal list (! flagged)" in out, "what was found is told all the same"
    assert opened(tmp_path / "out").seconds() - before > 2.5


@pytest.mark.parametrize(
    "words",
    [("fuzz", "--runs", "20", "--backend", "random"), ("enumerate", "--entries", "1", "--slots", "1", "--gfns", "1")],
    ids=lambda words: words[0],
)
def test_a_table_that_nobody_reads_any_more_is_no_mismatch(words: tuple[str, ...], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [str(SAMESLOTS), *words, "--out", "out"]
    ran = subprocess.run(command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert ran.returncode == 141
    assert "Traceback" not in ran.stderr
