# SPDX-License-Identifier: GPL-2.0-only
"""The mutants that calibration cannot find, as docs/calibrate.md lists them, each list behind its proof.

A list is a fenced block that begins with `mutants`; what stands behind that word says on which machines the proof
holds: `address_spaces=1`, `max_gfn<0xfffff80000000`. On others these mutants have to be found.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from memslots.machine import Machine

PAGE = Path(__file__).parents[2] / "docs" / "calibrate.md"
_BLOCK = re.compile(r"^```mutants\b.*?^```$", re.MULTILINE | re.DOTALL)
_CONDITION = re.compile(r"(\w+)(=|<)(0x[0-9a-f]+|[0-9]+)")


class NoCondition(Exception):
    """Something stands behind `mutants` that is no condition on a machine."""


class Condition(NamedTuple):
    """A number of the machine, and what it is or below what it is."""

    number: str
    sign: str
    value: int

    def holds(self, machine: Machine) -> bool:
        """Whether it is so on this machine."""
        is_ = machine.numbers()[self.number]
        return is_ == self.value if self.sign == "=" else is_ < self.value


class Survivor(NamedTuple):
    """A mutant by its name, and where it survives."""

    name: str
    where: tuple[Condition, ...]

    def survives(self, machine: Machine) -> bool:
        """Whether its proof holds on this machine."""
        return all(condition.holds(machine) for condition in self.where)


def survivors(page: str) -> list[Survivor]:
    """All that the text of a page lists. Raises NoCondition."""
    found: list[Survivor] = []
    for block in _BLOCK.finditer(page):
        head, *names, _ = block[0].splitlines()
        where = tuple(_condition(word) for word in head.split()[1:])
        found += [Survivor(name, where) for name in names]
    return found


def _condition(word: str) -> Condition:
    found = _CONDITION.fullmatch(word)
    if found is None or found[1] not in Machine().numbers():
        raise NoCondition(word)
    return Condition(found[1], found[2], int(found[3], 0))


def surviving(listed: Iterable[Survivor], machine: Machine) -> set[str]:
    """The names of those that survive on this machine."""
    return {each.name for each in listed if each.survives(machine)}
