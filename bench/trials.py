# SPDX-License-Identifier: GPL-2.0-only
"""Trials a second: both engines and all oracles on lists of five entries, one process, and where the time goes.

Run as a module: python -m bench.trials. The recorded lists of five entries, the seeds of about five, and what a
campaign draws, generation and buckets included.
"""

import cProfile
import os
import pstats
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from bench.recorded import recorded
from engines.simulated.engines import RfcV1, Serial
from fuzz.choices import drawn
from fuzz.grammar import case_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.textreader import read_case
from oracles.judge import asked, judge
from oracles.policy import Policy

ENTRIES = 5
RUNS = 15
CASES = 4_000
LOOP = 100
CORPUS = Path(__file__).parent.parent / "corpus"


def microseconds(work: Callable[[], object], cases: int) -> float:
    """Median over the runs, per case, in CPU time."""
    runs = []
    for _ in range(RUNS):
        begin = time.process_time()
        work()
        runs.append((time.process_time() - begin) / cases * 1e6)
    return statistics.median(runs)


def report(name: str, cases: Sequence[Case]) -> None:
    """Print what a trial of these cases costs, part by part."""
    serial, rfc_v1 = Serial(), RfcV1()
    trial = Trial(serial, rfc_v1)
    oracles = asked(rfc_v1.shows)
    outcomes = [(serial.apply(case), rfc_v1.apply(case)) for case in cases]
    corrupt = sum(bool(outcome.corrupt) for _, outcome in outcomes)
    whole = microseconds(lambda: [trial.judge(case) for case in cases], len(cases))
    parts = {
        "serial": microseconds(lambda: [serial.apply(case) for case in cases], len(cases)),
        "rfc-v1": microseconds(lambda: [rfc_v1.apply(case) for case in cases], len(cases)),
        "oracles": microseconds(lambda: [judge(r, o, oracles, Policy.ATOMIC) for r, o in outcomes], len(cases)),
    }
    print(f"{name}: {len(cases)} lists, {corrupt} of them corrupt: {whole:.1f} us a trial, {1e6 / whole:,.0f} a second")
    print("   " + ", ".join(f"{part} {cost:.1f} us" for part, cost in parts.items()))


def _campaign() -> None:
    """Print what a trial of a campaign costs: drawing a list, judging it, and the buckets of its mismatches.

    As a worker does it: one case after the other, none of them kept, so that no garbage collection walks them.
    """
    trial = Trial(Serial(), RfcV1(aftermath=False))
    drawing: list[float] = []
    whole: list[float] = []
    loop: list[float] = []
    entries = 0
    for _ in range(RUNS):
        choices, again = drawn(Random(1)), drawn(Random(1))
        begin = time.process_time()
        for _ in range(CASES):
            case_of(next(choices))
        middle = time.process_time()
        entries = 0
        for _ in range(CASES):
            case = case_of(next(again))
            trial.verdict(case)
            entries += len(case.apply)
        end = time.process_time()
        drawing.append((middle - begin) / CASES * 1e6)
        whole.append((end - middle) / CASES * 1e6)
        loop.append(calibration())
    draw, trials, unit = (statistics.median(each) for each in (drawing, whole, loop))
    print(f"drawn at random, {entries / CASES:.1f} entries: {trials:.1f} us a trial, {1e6 / trials:,.0f} a second")
    print(f"   drawing {draw:.1f} us, verdict {trials - draw:.1f} us")
    print(
        f"   calibration: {unit:.2f} us for {LOOP} turns of an empty loop; a trial takes {trials / unit:.1f} times that"
    )


def calibration() -> float:
    """Microseconds of a fixed loop of pure Python: what to divide by, to compare figures of different days."""
    begin = time.process_time()
    for _ in range(CASES):
        i = 0
        while i < LOOP:
            i += 1
    return (time.process_time() - begin) / CASES * 1e6


def main() -> None:
    """Print the figures and the profile."""
    print(f"load average {os.getloadavg()[0]:.2f}, medians of {RUNS} runs")
    lists = [case for case, _ in recorded("rfc-v1-booted.jsonl") if len(case.apply) == ENTRIES]
    report("recorded lists of 5 entries", lists)
    sound = [case for case in lists if not RfcV1().apply(case).corrupt]
    report("those of them that leave sound sets", sound)
    _campaign()
    seeds = [read_case(path).case for path in sorted(CORPUS.rglob("*.slots"))]
    report("seeds with 4 to 6 entries", [case for case in seeds if 4 <= len(case.apply) <= 6])
    trial = Trial(Serial(), RfcV1())
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(RUNS):
        for case in lists:
            trial.judge(case)
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(16)


if __name__ == "__main__":
    main()
