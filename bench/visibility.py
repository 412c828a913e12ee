# SPDX-License-Identifier: GPL-2.0-only
"""What readers see on the way, engine by engine: the figures to beat; and what asking for it costs a trial.

Run as a module: python -m bench.visibility. The seeds, where all engines can be given the list and accept it.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from engines.catalogue import engine_named
from engines.simulated.engines import RfcV1, Serial
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.errors import Unfit
from memslots.outcome import Outcome
from memslots.textreader import read_case
from oracles.backing import figures
from oracles.judge import ORACLES, asked, judge
from oracles.policy import Policy

SEEDS = Path(__file__).parent.parent / "corpus" / "seeds"
ENGINES = ("serial", "qemu-commit", "rfc-v1")
CASES = 3_000
RUNS = 15


def accepted(case: Case) -> list[Outcome] | None:
    """What each engine publishes, if all take the list."""
    try:
        outcomes = [engine_named(name).apply(case, record=True) for name in ENGINES]
    except Unfit:
        return None
    return outcomes if all(outcome.ended == "returned" and outcome.value == 0 for outcome in outcomes) else None


def tell_figures() -> None:
    """Print the sums over the seeds."""
    taken = [outcomes for path in sorted(SEEDS.rglob("*.slots")) if (outcomes := accepted(read_case(path).case))]
    print(f"{len(taken)} seeds that {', '.join(ENGINES)} all take")
    for i, name in enumerate(ENGINES):
        known = [each for outcomes in taken if (each := figures(outcomes[i])) is not None]
        print(
            f"{name:12} {sum(f.publications for f in known):5} publications, {sum(f.inhibited for f in known):4}"
            f" inhibited, {sum(f.invalid_windows for f in known):4} INVALID windows; gfns x publications:"
            f" {sum(f.retried_gfns for f in known):,} to be tried again,"
            f" {sum(f.unbacked_gfns for f in known):,} unbacked (by {sum(bool(f.unbacked) for f in known)} lists)"
        )


def microseconds(work: Callable[[], object]) -> float:
    """CPU time per case of one run."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / CASES * 1e6


def tell_costs() -> None:
    """Print what the oracle costs, beside both engines and all oracles: medians, taken by turns."""
    rng = Random(1)
    cases = [case_of(drawn_choices(rng)) for _ in range(CASES)]
    serial, rfc_v1 = Serial(), RfcV1(aftermath=False)
    outcomes = [(serial.apply(case), rfc_v1.apply(case)) for case in cases]
    all_oracles = asked(rfc_v1.shows)
    others = tuple(oracle for oracle in all_oracles if oracle is not ORACLES["visibility"][0])
    works: dict[str, Callable[[], object]] = {
        "engines": lambda: [(serial.apply(case), rfc_v1.apply(case), None)[2] for case in cases],
        "all oracles": lambda: [judge(r, o, all_oracles, Policy.ATOMIC) for r, o in outcomes],
        "without visibility": lambda: [judge(r, o, others, Policy.ATOMIC) for r, o in outcomes],
    }
    gc.freeze()  # a campaign keeps no cases, so no collection walks them
    runs: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(RUNS):
        for name, work in works.items():
            runs[name].append(microseconds(work))
    cost = {name: statistics.median(each) for name, each in runs.items()}
    whole = cost["engines"] + cost["all oracles"]
    asking = cost["all oracles"] - cost["without visibility"]
    print(", ".join(f"{name} {each:.1f} us" for name, each in cost.items()), f"a trial, load {os.getloadavg()[0]:.1f}")
    print(f"visibility: {asking:.1f} us a trial, {asking / whole:.1%} of engines and oracles")


if __name__ == "__main__":
    tell_figures()
    tell_costs()
