# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree watch`: a developer's loop, from a save to the smallest list that goes wrong."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from engines.tree.source import source_at
from fuzz.cli import INTERRUPTED, PATH
from fuzz.rebuilt import rebuilt
from fuzz.replay import case_paths, read_named
from fuzz.tree_command import tree
from fuzz.watching import Saves, rounds, stamp_of
from memslots.case import Case


@tree.command()
@click.argument("path", type=PATH)
@click.option(
    "--cases", type=PATH, multiple=True, default=(Path("corpus"),), show_default=True, help="Tried first, after a save."
)
@click.option("--layout", type=PATH, metavar="FILE", help="What the list ioctl is like, as docs/tree.md says.")
def watch(path: Path, cases: tuple[Path, ...], layout: Path | None) -> int:
    """Build the source tree at PATH whenever it is saved, try the known cases on it, and fuzz till the next save.

    What goes wrong is shown as the smallest list that shows it. Ctrl-C ends it.
    """
    source_at(path)
    there = tuple(each for each in cases if each.exists() or each != Path("corpus"))

    def known() -> Iterator[Case]:
        return (read_named(each).case for each in case_paths(there))

    try:
        for _ in rounds(path, partial(rebuilt, layout=layout), Saves(stamp_of(path)), known, click.echo):
            pass
    except KeyboardInterrupt:
        return INTERRUPTED
    raise AssertionError("rounds() ends by an exception alone")
