# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree compare`: two kernel trees on the same lists, every field of what becomes of them.

For a change that is to change nothing: the tree before it and the tree behind it must not be told apart.
"""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import click

from engines.protocol import Engine
from engines.tree.built import Built, built_in
from engines.tree.engine import TreeList, TreeSerial
from fuzz.choices import drawn_choices
from fuzz.cli import INTERRUPTED, MISMATCH, NOTHING_NEW, PATH
from fuzz.difference import Difference, Pair, difference_on, difference_text, smallest_of
from fuzz.fitted import machines_of
from fuzz.grammar import case_of
from fuzz.progress import Progress
from fuzz.rebuilt import folder_of, rebuilt
from fuzz.tree_command import tree
from fuzz.uncovered import uncovered_lines
from memslots.case import Case
from memslots.errors import BadInput

_LOOK_EVERY = 16
_LIST, _SERIAL = "list ioctl", "single ioctl"


@dataclass(slots=True)
class Compared:
    """What came of it: the difference and the ioctl that shows it, if there is one."""

    cases: int
    difference: Difference | None = None
    ioctl: str = ""


class Comparison:
    """Two builds, with each ioctl that both of them have."""

    def __init__(self, one: Built, other: Built) -> None:
        """Raises BadInput where their VMs are not alike."""
        if one.machine != other.machine:
            raise BadInput(f"{one.folder} and {other.folder}: their VMs differ: {one.machine}, {other.machine}")
        # What one of them cannot be given tells nothing of how they differ.
        self._machines = machines_of(min(one, other, key=lambda build: build.most_gfn))
        self.names: Pair = (str(one.folder), str(other.folder))
        self.pairs: dict[str, tuple[Engine, Engine]] = {
            _SERIAL: (TreeSerial("one", one), TreeSerial("other", other)),
        }
        if one.list_ioctl and other.list_ioctl:
            self.pairs[_LIST] = (TreeList("one", one), TreeList("other", other))

    def drawn(self, rng: Random) -> Case:
        """The next case."""
        return case_of(drawn_choices(rng), None, self._machines)

    def compare(self, case: Case, ioctl: str) -> Difference | None:
        """The fields that differ."""
        return difference_on(case, *self.pairs[ioctl], self.names)

    def run(self, rng: Random, seconds: float | None, runs: int | None, progress: Progress) -> Compared:
        """Compare until a difference is found, or the time is up."""
        compared = Compared(0)
        begin = time.monotonic()
        while compared.difference is None and (runs is None or compared.cases < runs):
            if not compared.cases % _LOOK_EVERY:
                progress.tick(f"{progress.seconds:5.0f} s   {compared.cases:,} cases", cases=compared.cases)
                if seconds is not None and time.monotonic() - begin > seconds:
                    break
            case = self.drawn(rng)
            compared.cases += 1
            for ioctl in self.pairs:
                found = self.compare(case, ioctl)
                if found is not None:
                    compared.difference = smallest_of(found, partial(self.compare, ioctl=ioctl))
                    compared.ioctl = ioctl
                    break
        return compared


def build_at(path: Path) -> Built:
    """The build in this folder, or of the source tree that it is. Raises BadInput, Unbuildable, Missing."""
    return built_in(path) if folder_of(path) == path else rebuilt(path)


@tree.command()
@click.argument("one", type=PATH, metavar="A")
@click.argument("other", type=PATH, metavar="B")
@click.option("--time", "seconds", type=click.FloatRange(min=0), help="Seconds.  [default: 30, unless --runs is given]")
@click.option("--runs", type=click.IntRange(min=1), help="Stop after so many cases.")
@click.option("--seed", type=click.IntRange(min=0), help="Makes the cases repeat exactly.  [default: drawn]")
def compare(one: Path, other: Path, seconds: float | None, runs: int | None, seed: int | None) -> int:
    """Compare what A and B, builds or source trees, make of the same lists, faults included, in every field.

    For a change that is to change nothing. Exit code 1, and the smallest list that tells them apart, if one is found.
    """
    if seconds is not None and not math.isfinite(seconds):
        raise click.UsageError("--time: expected a number of seconds")
    if seconds is None and runs is None:
        seconds = 30.0
    drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    builds = build_at(one), build_at(other)
    comparison = Comparison(*builds)
    try:
        with Progress("compare", one=str(one), other=str(other), seed=drawn) as progress:
            compared = comparison.run(Random(drawn), seconds, runs, progress)
    except KeyboardInterrupt:
        return INTERRUPTED
    for line in lines_of(compared, comparison, builds[1], drawn):
        click.echo(line)
    return NOTHING_NEW if compared.difference is None else MISMATCH


def lines_of(compared: Compared, comparison: Comparison, built: Built, seed: int) -> Iterator[str]:
    """What was compared and what came of it."""
    what = f"{' and '.join(comparison.pairs)}, {compared.cases:,} cases, seed {seed}"
    if compared.difference is not None:
        yield f"They part: {what}."
        yield difference_text(compared.difference, f"The {compared.ioctl} of two kernel trees parts here.").rstrip()
        return
    yield f"Not told apart: {what}."
    if _LIST not in comparison.pairs:
        yield "At most one of them has a list ioctl: the single ioctl alone was compared."
    yield from uncovered_lines(built)
