# SPDX-License-Identifier: GPL-2.0-only
"""Enumerated lists a second: one process and two, and what a list costs, part by part.

Run as a module: python -m bench.enumeration [ENGINE]. With processes it is the whole command that is timed, its start
and its table included; the parts are CPU time of this process.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engines.catalogue import engine_named
from fuzz.enumeration import Enumeration
from fuzz.scope import Scope
from fuzz.trial import Trial
from memslots.case import Case

RUNS = 5
LISTS = 20_000
SCOPE = ("--entries", "2", "--gfns", "3")


def seconds(engine: str, jobs: int, folder: Path) -> tuple[float, float]:
    """How long one enumeration takes, from the command line, and the CPU time of all its processes."""
    command = [str(Path(sys.executable).parent / "sameslots"), "enumerate", "--engine", engine, *SCOPE]
    begin, before = time.monotonic(), os.times()
    done = subprocess.run([*command, "--jobs", str(jobs), "--out", folder], capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return time.monotonic() - begin, cpu


def processes(engine: str) -> None:
    """Print lists a second with one process and with two, taken in turns."""
    total = Enumeration(Scope(entries=2, gfns=3)).total
    took: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(RUNS):
            for jobs, runs in took.items():
                runs.append(seconds(engine, jobs, Path(folder) / f"{run}-{jobs}"))
    one, two = (statistics.median(wall for wall, _ in runs) for runs in took.values())
    cpus = [statistics.median(cpu for _, cpu in runs) for runs in took.values()]
    print(f"{engine}, {' '.join(SCOPE)}, {total:,} lists: 1 process {one:.1f} s, {total / one:,.0f} lists a second;")
    print(f"   2 processes {two:.1f} s, {total / two:,.0f} lists a second, {one / two:.2f} times as many;")
    print("   " + ", ".join(f"{total / cpu:,.0f}" for cpu in cpus) + " lists a second of CPU time")


def parts(engine: str) -> None:
    """Print what a list of three entries costs: to make it, the reference, the whole verdict."""
    enumeration = Enumeration(Scope(entries=3))
    begin = enumeration.total // 2
    trial = Trial(engine_named("serial"), engine_named(engine, quick=True))

    def microseconds(work: Callable[[Case], object]) -> float:
        runs = []
        for _ in range(RUNS):
            start = time.process_time()
            for case in enumeration.cases(begin, begin + LISTS):
                work(case)
            runs.append((time.process_time() - start) / LISTS * 1e6)
        return statistics.median(runs)

    made = microseconds(lambda _: None)
    reference = microseconds(trial.reference.apply)
    verdict = microseconds(trial.verdict)
    print(f"{engine}, lists of 3 entries: {verdict:.1f} us a list, of which making it {made:.1f} us,", end=" ")
    print(f"the reference {reference - made:.1f} us: what a shared prefix could save at most")


def main() -> None:
    """Print the figures."""
    engine = sys.argv[1] if len(sys.argv) > 1 else "rfc-v1"
    print(f"load average {os.getloadavg()[0]:.2f}, {len(os.sched_getaffinity(0))} CPUs, medians of {RUNS} runs")
    parts(engine)
    processes(engine)


if __name__ == "__main__":
    main()
