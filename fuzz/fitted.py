# SPDX-License-Identifier: GPL-2.0-only
"""What choices spell for two engines: where one of them is bound to a machine, cases for that machine."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from engines.catalogue import build_named, machine_of_engine
from engines.protocol import Engines
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.machine import Machine


def fitted(engines: Engines, engine: str, reference: str) -> Callable[[Sequence[int]], Case]:
    """Makes the case that choices spell. Raises BadInput, Missing, Withheld.

    One for the machine whose kernel the engine or the reference is; or, as far as it has what the choices ask for, for
    the one that a kernel tree is compiled for, whose max_gfn can be any.
    """
    machine = engines.machine(engine) or machine_of_engine(reference)
    builds = [build for name in (engine, reference) if (build := build_named(name)) is not None]
    if not builds:
        return lambda choices: case_of(choices, machine)
    own = builds[0].vm
    return lambda choices: _on(own, case_of(choices, machine))


def _on(own: Machine, case: Case) -> Case:
    if case.machine.address_spaces > own.address_spaces or case.machine.readonly > own.readonly:
        return case  # what is given need not be accepted there: it is left out by name
    return replace(case, machine=replace(own, max_gfn=case.machine.max_gfn))
