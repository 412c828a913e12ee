# SPDX-License-Identifier: GPL-2.0-only
"""The engines in which mistakes are planted: which of their code, by which rules, and who is to notice."""

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from bench.planting.forms import IDEAL, SIMULATED, Faithfully, faithful, ideal, indexed, plain
from bench.planting.functions import functions
from bench.planting.ignored import ignored
from bench.planting.mutants import Mutant, mutants
from bench.planting.rules import RULES, Rule
from bench.planting.sets import other_set
from bench.planting.statements import statements
from bench.planting.telling import Telling
from bench.planting.world import World, source_of
from engines.protocol import Engine
from engines.simulated.engines import Serial

EVERY_RULE: tuple[Rule, ...] = (*RULES, ignored, statements, other_set)


class Form(NamedTuple):
    """A way to run an engine with a mistake, and the engine without any that judges it."""

    engine: Callable[[World], Engine]
    reference: Callable[[], Engine]


class Subject(NamedTuple):
    """An engine that mistakes are planted in."""

    package: str
    modules: Mapping[str, Form]
    """By name, in the order of the tables."""
    telling: Telling
    left_out: frozenset[str]
    """Functions of these modules that are not the engine's: what it does not run at all (`walk_since` of the short
    cut), and the device that makes allocations fail, which is the test's and no kernel's."""


class Planted(NamedTuple):
    """A mistake in an engine."""

    subject: str
    name: str
    """Package, module, function and mistake."""
    module: str
    mutant: Mutant

    @property
    def form(self) -> Form:
        """How it is run and judged."""
        return SUBJECTS[self.subject].modules[self.module]

    def engine(self) -> Engine:
        """The engine with the mistake in it."""
        package = SUBJECTS[self.subject].package
        return self.form.engine(World(package, {f"{package}.{self.module}": self.mutant.source}))


_FAITHFUL = Form(faithful, Serial)
_INDEXED = Form(indexed, Serial)
_PLAIN = Form(plain, Faithfully)
_IDEAL = Form(ideal, Serial)

SUBJECTS: dict[str, Subject] = {
    "serial": Subject(
        SIMULATED,
        {
            "serial": _FAITHFUL,
            "checks": _FAITHFUL,
            "kernel": _FAITHFUL,
            "vm": _FAITHFUL,
            "linked": _FAITHFUL,
            "objects": _INDEXED,
            "plain": _PLAIN,
            "plain_memslots": _PLAIN,
        },
        Telling(
            frozenset(("refused", "mishap", "written", "named", "asked_by", "call_ends")),
            frozenset(("asked", "entry", "phase", "index", "_arch_lock_taken")),
        ),
        frozenset(
            ("plain_memslots.PlainMemslots.holds", "plain_memslots.walk_since", "vm.Vm.fails", "vm.Vm.injected"),
        ),
    ),
    "ideal": Subject(
        IDEAL,
        dict.fromkeys(
            (
                *("request", "validation", "working_slots", "update", "list_call"),
                *("vm", "memslots", "memory", "objects", "journal", "ended"),
            ),
            _IDEAL,
        ),
        Telling(
            frozenset(("at", "note", "mishap", "__str__")),
            frozenset(("phase", "events", "mishaps", "change")),
        ),
        frozenset(("memory.Memory.fails", "journal.Journal.injected")),
    ),
}


def planted(subject: str) -> Iterator[Planted]:
    """Every mistake that a rule plants in an engine, in the order of the text."""
    package, modules, telling, left_out = SUBJECTS[subject]
    rules = [telling.leaves_out(rule) for rule in EVERY_RULE]
    for module in modules:
        source, path = source_of(f"{package}.{module}")
        names = {function.name for function in functions(ast.parse(source))} - {
            name.removeprefix(f"{module}.") for name in left_out if name.startswith(f"{module}.")
        }
        for mutant in mutants(source, "/".join(path.parts[-3:]), names, rules):
            yield Planted(subject, f"{package.rpartition('.')[2]}.{module}.{mutant.name}", module, mutant)
