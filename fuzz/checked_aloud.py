# SPDX-License-Identifier: GPL-2.0-only
"""The model check of a build for somebody who waits for it: progress, then what came of it, which the build keeps."""

from collections.abc import Iterator

import click

from engines.tree.built import Built
from fuzz.cli import MISMATCH, NOTHING_NEW
from fuzz.difference import difference_text
from fuzz.model_check import HEAD, SECONDS, Checked, check_and_note
from fuzz.progress import Progress
from fuzz.uncovered import uncovered_lines


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
        yield f"Linux {built.release} and serial part after {compared}; the smallest case that shows it:"
        yield difference_text(found.difference, HEAD).rstrip()
        return
    yield f"Linux {built.release} agrees with serial in every field of the outcome: {compared}."
    yield from uncovered_lines(built)
