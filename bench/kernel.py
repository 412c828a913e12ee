# SPDX-License-Identifier: GPL-2.0-only
"""Lists a second on the real kernel, applied and compared, beside a bare loop of the same ioctls.

Run as a module: python -m bench.kernel. Both take lists of five entries in turns, on one VM that is used again; the
bare loop applies the list and deletes what is left, and looks at nothing.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from random import Random

from engines.real.clean import CleanVm
from engines.real.host import this_host
from engines.real.kvm import IoctlSerial
from engines.simulated.engines import Serial
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Unfit
from memslots.machine import Machine

ENTRIES = 5
LISTS = 400
RUNS = 9


def lists(machine: Machine, engine: IoctlSerial) -> list[Case]:
    """Drawn lists of five entries, without a given state, that the kernel may be given and accepts."""
    rng = Random(1)
    found: list[Case] = []
    while len(found) < LISTS:
        drawn = case_of(drawn_choices(rng), machine)
        if len(drawn.apply) < ENTRIES:
            continue
        case = Case(drawn.apply[:ENTRIES], machine=machine)
        try:
            outcome = engine.apply(case)
        except Unfit:
            continue
        if not outcome.errno:
            found.append(case)
    return found


def bare(cases: Sequence[Case]) -> Callable[[], None]:
    """A loop that applies each list and deletes what it has left."""
    outcomes = [Serial().apply(case) for case in cases]
    left = [[slot.as_id << 16 | slot.id for slots in outcome.active for slot in slots] for outcome in outcomes]
    clean = CleanVm()

    def loop() -> None:
        vm = clean.taken()
        for case, slots in zip(cases, left, strict=True):
            for region in case.apply:
                vm.set_memory_region(region)
            for slot in slots:
                vm.set(slot, 0, 0, 0, 0)
        clean.handed_back(vm, ())

    return loop


def main() -> None:
    """Print lists a second and the ratio."""
    host = this_host()
    engine = IoctlSerial()
    trial = Trial(Serial(), engine)
    cases = lists(host.machine, engine)
    ways: dict[str, Callable[[], object]] = {
        "bare ioctls": bare(cases),
        "applied and read back": lambda: [engine.apply(case) for case in cases],
        "with the reference and the oracles": lambda: [trial.verdict(case) for case in cases],
    }
    print(f"Linux {host.release}, load average {os.getloadavg()[0]:.2f}; {LISTS} lists of {ENTRIES}, medians of {RUNS}")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    least = statistics.median(seconds["bare ioctls"])
    for name, runs in seconds.items():
        median = statistics.median(runs)
        print(f"{name:36} {LISTS / median:8,.0f} lists a second, {median / least:.2f} times the bare loop")


if __name__ == "__main__":
    main()
