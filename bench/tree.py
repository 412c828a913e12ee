# SPDX-License-Identifier: GPL-2.0-only
"""Lists a second on a kernel tree's own code, and what each part of that costs, beside rfc-v1 and the real kernel.

Run as a module: python -m bench.tree DIR, a folder that `sameslots tree build` has made. All take the same lists of
five entries, each on a fresh VM, in turns; with the reference and the oracles every facet is compared.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

from engines.real.host import this_host
from engines.real.kvm import IoctlSerial
from engines.simulated.engines import RfcV1, Serial
from engines.tree.built import built_in
from engines.tree.engine import TreeList, TreeSerial
from engines.tree.library import MOST_AT_ONCE
from engines.tree.outcome import outcome_of, read
from engines.tree.packing import WANT_PUBLISHED, How, packed
from engines.tree.worker import Worker
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Missing, Unfit
from memslots.machine import Machine

ENTRIES = 5
LISTS = 400
RUNS = 9
AT_ONCE = 16

Way = Callable[[], object]


def lists(machine: Machine, kvm: IoctlSerial | None) -> list[Case]:
    """Drawn lists of five entries in address space 0, without a given state, that everybody can be given."""
    rng = Random(1)
    found: list[Case] = []
    while len(found) < LISTS:
        case = Case(case_of(drawn_choices(rng), machine).apply[:ENTRIES], machine=machine)
        if len(case.apply) < ENTRIES or any(region.as_id for region in case.apply):
            continue
        with suppress(Unfit):
            if kvm is not None:
                kvm.apply(for_host(case))
            found.append(case)
    return found


def for_host(case: Case) -> Case:
    """The same list for a VM of the kernel that runs here."""
    return replace(case, machine=this_host().machine)


def judged(trial: Trial, cases: list[Case], look_ahead: Callable[[list[Case]], None] | None = None) -> Way:
    """A loop that has each case judged, as a campaign does it: several cases are applied at once where that goes."""

    def judge_all() -> None:
        for i in range(0, LISTS, AT_ONCE):
            some = cases[i : i + AT_ONCE]
            if look_ahead is not None:
                look_ahead(some)
            for case in some:
                trial.judge(case)

    return judge_all


def ways_of(folder: Path) -> tuple[dict[str, Callable[[], object]], str]:
    """What is measured, by name, and what it runs on."""
    built = built_in(folder)
    kvm: IoctlSerial | None = IoctlSerial()
    try:
        this_host()
    except Missing:
        kvm = None
    cases = lists(built.vm, kvm)
    worker = Worker(built.library, built.layout, built.environment)
    how, want = (How.LIST, WANT_PUBLISHED) if built.list_ioctl else (How.SERIAL, 0)
    engine = TreeList("tree", built, worker) if built.list_ioctl else TreeSerial("tree", built, worker)
    ready = [packed(case, how, want) for case in cases]
    raw = [worker.apply(each) for each in ready]
    seen = [read(each, 0) for each in raw]
    ways: dict[str, Callable[[], object]] = {
        "tree: the call alone, in its own process": lambda: [worker.apply(each) for each in ready],
        "tree: the calls alone, 32 at once": lambda: [
            worker.apply_all(ready[i : i + MOST_AT_ONCE]) for i in range(0, LISTS, MOST_AT_ONCE)
        ],
        "tree: packing alone": lambda: [packed(case, how, want) for case in cases],
        "tree: records read": lambda: [read(each, 0) for each in raw],
        "tree: outcome made": lambda: [outcome_of(each, None, str, record=False, published=True) for each in seen],
        "tree: applied": lambda: [engine.apply(case) for case in cases],
    }
    judges = "with the reference and the oracles"
    trial = Trial(Serial(), engine)
    ways[f"tree: {judges}, one by one"] = judged(trial, cases)
    ways[f"tree: {judges}"] = judged(trial, cases, engine.look_ahead)
    ways[f"rfc-v1: {judges}"] = judged(Trial(Serial(), RfcV1(aftermath=False)), cases)
    if kvm:
        ways[f"kvm: {judges}"] = judged(Trial(Serial(), kvm), [for_host(case) for case in cases])
    return ways, f"Linux {built.release}, {'list' if built.list_ioctl else 'single'} ioctl"


def main() -> None:
    """Print lists a second."""
    ways, what = ways_of(Path(sys.argv[1]))
    print(f"{what}; load average {os.getloadavg()[0]:.2f}; {LISTS} lists of {ENTRIES}, medians of {RUNS}")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    for name, runs in seconds.items():
        median, best = statistics.median(runs), min(runs)
        print(f"{name:52} {LISTS / median:8,.0f} lists a second, {LISTS / best:8,.0f} in the best run")


if __name__ == "__main__":
    main()
