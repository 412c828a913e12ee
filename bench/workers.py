# SPDX-License-Identifier: GPL-2.0-only
"""Trials for each second of CPU time that a campaign's worker takes, interpreted and compiled (`make compiled`).

Run as a module: python -m bench.workers. Everything included: drawing or libFuzzer, both engines, all oracles, reducing
and writing down what is found. A worker at a time, all by turns, each from an empty folder.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.compiled import environment, is_fresh
from fuzz.findings import Findings, settings_of

HOUSE = Path(__file__).parent.parent
SECONDS = 10
SEEDS = range(1, 6)
ENGINES = ("ideal", "rfc-v1")
BACKENDS = ("random", "atheris")


def rate(engine: str, backend: str, seed: int, variables: dict[str, str]) -> float:
    """Trials for each second of CPU time, the start of Python included."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, str(HOUSE / "fuzz" / "worker.py"), "--engine", engine, "--backend", backend]
        command += ["--seed", str(seed), "--time", str(SECONDS), f"--out={out}"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=variables)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        findings = Findings(out, settings_of(out))
        trials = findings.trials()
        findings.close()
    return trials / (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main() -> None:
    """Print a row for each engine and backend: medians."""
    if not is_fresh():
        sys.exit("bench.workers: nothing compiled of these sources: make compiled")
    interpreted = {**os.environ, "PYTHONPATH": str(HOUSE)}
    print(f"load average {os.getloadavg()[0]:.2f}; {SECONDS} s a run, medians of {len(SEEDS)} seeds")
    print(f"{'engine':10} {'backend':10} {'interpreted':>12} {'compiled':>12} {'ratio':>6}")
    for engine in ENGINES:
        for backend in BACKENDS:
            rates = [
                (rate(engine, backend, seed, interpreted), rate(engine, backend, seed, environment())) for seed in SEEDS
            ]
            slow, fast = (statistics.median(column) for column in zip(*rates, strict=True))
            ratio = statistics.median(b / a for a, b in rates)
            print(f"{engine:10} {backend:10} {slow:12,.0f} {fast:12,.0f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
