# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree check`: a build beside the model, longer than each new build is by itself."""

import math
from collections.abc import Iterator
from pathlib import Path

import click

from engines.tree.built import Built, built_in
from fuzz.cli import MISMATCH, NOTHING_NEW, PATH
from fuzz.model_check import SECONDS, Checked, check_and_note, difference_text
from fuzz.progress import Progress
from fuzz.tree_command import tree
from fuzz.uncovered import uncovered_lines


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
    return check_aloud(built_in(build), seconds, ops, seed)


def check_aloud(built: Built, seconds: float | None = SECONDS, ops: int | None = None, seed: int | None = None) -> int:
    """Check a build with progress, note in it what came of that, and say it: an exit code."""
    with Progress("model check", build=str(built.folder)) as progress:

        def tick(requests: int) -> None:
            rate = requests / max(progress.seconds, 0.1)
            progress.tick(
                f"{progress.seconds:5.0f} s   {requests:,} requests beside serial   {rate:,.0f} a second",
                requests=requests,
            )

        found = check_and_note(built, seconds=seconds, requests=ops, seed=seed, tick=tick)
    for line in checked_lines(built, found):
        click.echo(line)
    return NOTHING_NEW if found.difference is None else MISMATCH


def checked_lines(built: Built, found: Checked) -> Iterator[str]:
    """What was compared and what came of it: the difference, or what a clean result does not speak of."""
    compared = f"{found.requests:,} requests in {found.cases:,} cases, seed {found.seed}"
    if found.difference is not None:
        yield f"Linux {built.version} and serial part after {compared}; the smallest case that shows it:"
        yield difference_text(found.difference).rstrip()
        return
    yield f"Linux {built.version} agrees with serial in every field of the outcome: {compared}."
    yield from uncovered_lines(built)
