# SPDX-License-Identifier: GPL-2.0-only
"""What choices spell for two engines: where one of them is bound to a machine, cases for that machine."""

from collections.abc import Callable, Sequence

from engines.catalogue import build_named, machine_of_engine
from engines.protocol import Engines
from engines.tree.built import Built
from fuzz.grammar import MACHINES, case_of
from memslots.case import Case
from memslots.machine import Machine


def fitted(engines: Engines, engine: str, reference: str) -> Callable[[Sequence[int]], Case]:
    """Makes the case that choices spell. Raises BadInput, Missing, Withheld.

    One for the machine whose kernel the engine or the reference is; or for the one that a kernel tree is compiled for,
    whose max_gfn may be another.
    """
    machine = engines.machine(engine) or machine_of_engine(reference)
    builds = [build for name in (engine, reference) if (build := build_named(name)) is not None]
    if machine is not None or not builds:
        return lambda choices: case_of(choices, machine)
    machines = machines_of(builds[0])
    return lambda choices: case_of(choices, None, machines)


def machines_of(build: Built) -> tuple[Machine, ...]:
    """What a build's cases name in the place of each of MACHINES."""
    return tuple(build.vm_to(each.max_gfn) for each in MACHINES)
