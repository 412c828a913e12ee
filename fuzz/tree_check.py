# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree check`: a build beside the model, longer than each new build is by itself."""

import math
from pathlib import Path

import click

from engines.tree.built import built_in
from engines.tree.since_build import changes_since
from fuzz.checked_aloud import check_aloud
from fuzz.cli import PATH
from fuzz.tree_command import tree


@tree.command()
@click.argument("build", type=PATH)
@click.option("--ops", type=click.IntRange(min=1), help="Stop after so many requests.")
@click.option("--time", "seconds", type=click.FloatRange(min=0), help="Seconds.  [default: 10, unless --ops is given]")
@click.option("--seed", type=click.IntRange(min=0), help="Makes the requests repeat exactly.  [default: drawn]")
def check(build: Path, ops: int | None, seconds: float | None, seed: int | None) -> int:
    """Compare the single ioctl of BUILD, a folder that `tree build` has made, with `serial`, every field."""
    if seconds is not None and not math.isfinite(seconds):
        raise click.UsageError("--time: expected a number of seconds")
    if ops is None and seconds is None:
        seconds = 10.0
    built = built_in(build)
    changes = changes_since(built).says
    if changes:
        click.echo(f"sameslots: {changes}", err=True)
    code = check_aloud(built, seconds, ops, seed)
    if changes:
        click.echo(changes)
    return code
