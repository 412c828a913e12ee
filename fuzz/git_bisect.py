# SPDX-License-Identifier: GPL-2.0-only
"""`git bisect run sameslots fuzz --engine tree:DIR --git-bisect`: the exit codes that git wants.

0 is good and 1 is bad; 125 says that this commit cannot be judged; what is above 127 ends the bisection. Our own codes
for bad usage and for what is missing, and Python's for an exception, would be read as "bad": `code_of_step` is seen in
their place, from the very first look at the command line on.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from engines.catalogue import built
from engines.tree.built import Built
from engines.tree.engine import SERIAL as TREE_SERIAL
from engines.tree.tools import Unbuildable
from fuzz.rebuilt import rebuilt
from memslots.errors import BadInput

OPTION = "--git-bisect"
BAD, SKIP, ABORT = 1, 125, 128
_JUDGED = (0, BAD, SKIP)


def code_of_step(arguments: Sequence[str], code: int) -> int:
    """The exit code of a command with these arguments: its own, unless git would take that for a verdict."""
    return ABORT if OPTION in arguments and code not in _JUDGED and code < ABORT else code


def bisected(
    engine: str, reference: str, out: Path, campaign: Callable[[Path], int], rebuild: Callable[[Path], Built] = rebuilt
) -> int:
    """The code for one commit: its tree is built again, and `campaign` gets a folder of this commit's own.

    Where the single ioctl is on trial, beside serial, what the model check has found is the verdict.

    Raises BadInput, Missing.
    """
    if not built(engine):
        raise BadInput(f"{OPTION}: {engine} is made of no kernel tree: expected --engine tree:DIR")
    try:
        build = rebuild(Path(engine.partition(":")[2]))
    except Unbuildable as failure:
        for line in (str(failure), *failure.lines):
            click.echo(line, err=True)
        return SKIP
    single = not build.list_ioctl or engine.startswith(f"{TREE_SERIAL}:")
    if build.difference and single and reference == "serial":
        click.echo("The single ioctl of this commit and serial part, as the model check has found:")
        click.echo(build.difference.rstrip())
        return BAD
    if build.difference and not single:
        click.echo("The single ioctl of this commit and serial part: what its list ioctl does is not judged.", err=True)
        click.echo(build.difference.rstrip(), err=True)
        return SKIP
    return campaign(out / build.content[:12])
