# SPDX-License-Identifier: GPL-2.0-only
"""What speaks against a build of a kernel tree: said before its code is believed, and beside what is found clean."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from engines.catalogue import build_named
from engines.tree.built import Built
from engines.tree.since_build import changes_since
from fuzz.checked_aloud import check_with_progress, outcome_line
from fuzz.difference import difference_text
from fuzz.model_check import HEAD
from fuzz.uncovered import uncovered_lines
from memslots.errors import BadInput, Missing


class Doubts:
    """The builds that the engines of one command are made of, each met once."""

    def __init__(self) -> None:
        self._met: dict[Path, Built] = {}
        self._said: list[str] = []
        self._names: set[str] = set()

    def mention(self, *names: str) -> None:
        """Say on standard error, in a line for each build among these engines, what speaks against it."""
        for built in self._new(names):
            self._met[built.folder] = built
            self._say(*doubts_of(built))

    def settle(self, *names: str) -> None:
        """The same before many cases: a build that nobody has checked is checked now, and a difference is shown.

        And whether the tree is still what it was.
        """
        for built in self._new(names):
            self._met[built.folder] = known = built if built.checked else _checked_now(built)
            self._say(*doubts_of(known))
            if known.difference:
                click.echo(known.difference.rstrip(), err=True)
            if changes := changes_since(built).says:
                self._say(changes)

    def in_the_end(self, *, clean: bool) -> Iterator[str]:
        """What to say beside a result: what speaks against each build; and where it is clean, what it leaves out."""
        for built in self._met.values() if clean else ():
            yield from uncovered_lines(built)
        yield from self._said

    def _say(self, *doubts: str) -> None:
        self._said += doubts
        for doubt in doubts:
            click.echo(f"sameslots: {doubt}", err=True)

    def _new(self, names: tuple[str, ...]) -> Iterator[Built]:
        for name in {*names} - self._names:
            self._names.add(name)
            # What is no build, or of no use here, is said by whoever makes the engine, with the file that names it.
            with suppress(BadInput, Missing):
                built = build_named(name)
                if built is not None and built.folder not in self._met:
                    yield built


def doubts_of(built: Built) -> Iterator[str]:
    """A line for each thing that speaks against what this build shows."""
    if built.difference:
        yield (
            f"{built.folder}: its single ioctl and serial part, so what it shows may be wrong"
            f" (`sameslots tree check {built.folder}` shows where)"
        )
    if not built.checked:
        yield f"{built.folder}: nobody has compared it with serial: `sameslots tree check {built.folder}` does"


def _checked_now(built: Built) -> Built:
    """The build as its check leaves it, stored or not."""
    click.echo(f"sameslots: {built.folder}: nobody has compared it with serial: that comes first", err=True)
    found = check_with_progress(built)
    if found.difference is None:
        click.echo(outcome_line(built, found), err=True)
    shown = "" if found.difference is None else difference_text(found.difference, HEAD)
    return replace(built, checked=found.settles, strict=found.strict, difference=shown)
