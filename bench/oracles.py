# SPDX-License-Identifier: GPL-2.0-only
"""What each oracle costs a trial, and how many trials a second remain with all of them.

Run as a module: python -m bench.oracles. The lists are the recorded ones of five entries, as bench.trials has them,
and what a campaign draws, faults and both address spaces included. Each oracle is asked alone, all by turns.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from random import Random

from bench.recorded import recorded
from bench.trials import ENTRIES
from engines.simulated.engines import RfcV1, Serial
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.outcome import Outcome
from oracles.judge import Oracle, asked, judge
from oracles.policy import Policy

DRAWN = 3_000
RUNS = 15


def asking(oracle: Oracle, outcomes: Sequence[tuple[Outcome, Outcome]]) -> Callable[[], object]:
    """Work that asks this oracle alone of all outcomes."""
    return lambda: [judge(reference, outcome, (oracle,), Policy.ATOMIC) for reference, outcome in outcomes]


def tell(name: str, cases: Sequence[Case]) -> None:
    """Print the table for these cases: medians of CPU time a trial."""
    serial, rfc_v1 = Serial(), RfcV1(aftermath=False)
    outcomes = [(serial.apply(case), rfc_v1.apply(case)) for case in cases]
    every = asked(rfc_v1.shows)
    works: dict[str, Callable[[], object]] = {
        "serial": lambda: [serial.apply(case) for case in cases],
        "rfc-v1": lambda: [rfc_v1.apply(case) for case in cases],
        "all oracles": lambda: [judge(r, o, every, Policy.ATOMIC) for r, o in outcomes],
        "no oracle": lambda: [judge(r, o, (), Policy.ATOMIC) for r, o in outcomes],
    }
    works |= {oracle.__name__: asking(oracle, outcomes) for oracle in every}
    gc.freeze()  # a campaign keeps no cases, so no collection walks them
    runs: dict[str, list[float]] = {work: [] for work in works}
    for _ in range(RUNS):
        for work, run in works.items():
            begin = time.process_time()
            run()
            runs[work].append((time.process_time() - begin) / len(cases) * 1e6)
    cost = {work: statistics.median(each) for work, each in runs.items()}
    whole = cost["serial"] + cost["rfc-v1"] + cost["all oracles"]
    print(f"{name}: {len(cases)} lists, {whole:.1f} us, {1e6 / whole:,.0f} a second, load {os.getloadavg()[0]:.1f}")
    for work in ("serial", "rfc-v1", "all oracles"):
        print(f"  {work:14}{cost[work]:7.1f} us {cost[work] / whole:6.1%}")
    for oracle in (each.__name__ for each in every):
        alone = cost[oracle] - cost["no oracle"]
        print(f"    {oracle:16}{alone:7.1f} us {alone / whole:6.1%}")
    print(f"    {'allowances':16}{cost['no oracle']:7.1f} us {cost['no oracle'] / whole:6.1%}")


if __name__ == "__main__":
    rng = Random(1)
    lists = [case for case, _ in recorded("rfc-v1-booted.jsonl") if len(case.apply) == ENTRIES]
    tell(f"recorded lists of {ENTRIES} entries", lists)
    tell("drawn lists", [case_of(drawn_choices(rng)) for _ in range(DRAWN)])
