# SPDX-License-Identifier: GPL-2.0-only
"""How soon each way of choosing lists finds each bucket, from an empty corpus: python -m bench.backends [SECONDS].

The campaign's own workers (random; atheris with and without the mutator), Hypothesis, and for comparison raw 64-byte
entries under atheris's own byte mutator. Median of 7 seeds; workers run two at a time, as a campaign has them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.findings import Findings, settings_of

SEEDS = range(1, 8)
WORKER = Path(__file__).parent.parent / "fuzz" / "worker.py"
COMPARED = Path(__file__).with_name("compared_worker.py")
BACKENDS: dict[str, list[str]] = {
    "random": [str(WORKER), "--backend", "random"],
    "atheris, mutator": [str(WORKER), "--backend", "atheris"],
    "atheris, bytes": [str(WORKER), "--backend", "atheris", "--no-mutator"],
    "Hypothesis": [str(COMPARED), "hypothesis"],
    "raw records": [str(COMPARED), "raw"],
}

Found = dict[str, tuple[int, float]]


def campaign(backend: str, seed: int, seconds: float) -> tuple[Found, int]:
    """Trial and second at which each bucket was seen first, and how many trials there were."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, *BACKENDS[backend], "--seed", str(seed), "--time", str(seconds), f"--out={out}"]
        environment = {**os.environ, "PYTHONPATH": str(WORKER.parent.parent)}
        subprocess.run(command, check=False, capture_output=True, cwd=folder, env=environment)
        findings = Findings(out, settings_of(out))
        found = {s.bucket: (s.first_trial, s.first_seconds) for s in findings.sightings()}
        trials = findings.trials()
        findings.close()
    return found, trials


def main() -> None:
    """Print a table: a row a backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=10)
    parser.add_argument("--each", action="store_true", help="a row a bucket")
    options = parser.parse_args()
    seconds = options.seconds
    print(f"load average {os.getloadavg()[0]:.2f}; {seconds:.0f} s a run, medians of {len(SEEDS)} seeds")
    with ThreadPoolExecutor(2) as pool:
        runs = {
            backend: list(pool.map(lambda seed, name=backend: campaign(name, seed, seconds), SEEDS))
            for backend in BACKENDS
        }
    every = sorted({bucket for results in runs.values() for found, _ in results for bucket in found})
    print(f"{len(every)} buckets were found by any of them; to a bucket: median over all of these, not found = never")
    print(
        f"{'backend':18} {'buckets':>7} {'trials':>9} {'a second':>9} {'trials to a bucket':>20} {'s to a bucket':>14}"
    )
    for backend, results in runs.items():
        buckets = statistics.median(len(found) for found, _ in results)
        trials = statistics.median(n for _, n in results)
        to_trials = statistics.median(_medians(every, results, 0))
        to_seconds = statistics.median(_medians(every, results, 1))
        print(
            f"{backend:18} {buckets:7.0f} {trials:9,.0f} {trials / seconds:9,.0f} {to_trials:20,.0f} {to_seconds:14.2f}"
        )
    if options.each:
        _each(every, runs)


def _each(every: list[str], runs: dict[str, list[tuple[Found, int]]]) -> None:
    """Print trials and seconds to each bucket, a row a bucket."""
    print(f"\n{'trials (seconds) to each bucket':68} " + " ".join(f"{backend:>20}" for backend in runs))
    for bucket in every:
        cells = []
        for results in runs.values():
            [trials], [seconds] = _medians([bucket], results, 0), _medians([bucket], results, 1)
            cells.append(f"{trials:,.0f} ({seconds:.2f})" if trials != float("inf") else "never")
        print(f"{bucket:68} " + " ".join(f"{cell:>20}" for cell in cells))


def _medians(every: list[str], results: list[tuple[Found, int]], what: int) -> list[float]:
    """For each bucket the median over the seeds of when it was found first."""
    never = (float("inf"), float("inf"))
    return [statistics.median(found.get(bucket, never)[what] for found, _ in results) for bucket in every]


if __name__ == "__main__":
    main()
