# SPDX-License-Identifier: GPL-2.0-only
"""The model check of a build for somebody who waits for it: progress, then what came of it, which the build keeps."""

from collections.abc import Iterator

import click

from engines.tree.built import Built
from fuzz.cli import MISMATCH, NOTHING_NEW
from fuzz.difference import difference_text
from fuzz.model_check import ENOUGH, HEAD, SECONDS, Checked, checked, keep
from fuzz.progress import Progress
from fuzz.uncovered import uncovered_lines
from memslots.errors import BadInput


def check_aloud(built: Built, seconds: float | None = SECONDS, ops: int | None = None, seed: int | None = None) -> int:
    """Check a build with progress, note in it what came of that, and say it: an exit code."""
    found = check_with_progress(built, seconds, ops, seed)
    for line in checked_lines(built, found):
        click.echo(line)
    return NOTHING_NEW if found.difference is None else MISMATCH


def check_with_progress(
    built: Built, seconds: float | None = SECONDS, ops: int | None = None, seed: int | None = None
) -> Checked:
    """What comes of a check. Where the build cannot keep it, one line on standard error says so."""
    with Progress("model check", build=str(built.folder)) as progress:

        def tick(requests: int) -> None:
            rate = requests / max(progress.seconds, 0.1)
            progress.tick(
                f"{progress.seconds:5.0f} s   {requests:,} requests beside serial   {rate:,.0f} a second",
                requests=requests,
            )

        found = checked(built, seconds=seconds, requests=ops, seed=seed, tick=tick)
    try:
        keep(built, found)
    except BadInput as error:
        held = ", and its list ioctl is not held to contract I4" if found.strict else ""
        click.echo(f"sameslots: {error}: what the model check has found is not stored{held}", err=True)
    return found


def checked_lines(built: Built, found: Checked) -> Iterator[str]:
    """What was compared and what came of it: the difference, or what a clean result does not speak of."""
    yield outcome_line(built, found)
    if found.difference is not None:
        yield difference_text(found.difference, HEAD).rstrip()
        return
    yield from uncovered_lines(built)


def outcome_line(built: Built, found: Checked) -> str:
    """Whether they agree, and on how much."""
    compared = f"{found.requests:,} requests in {found.cases:,} cases, seed {found.seed}"
    if found.difference is not None:
        return f"Linux {built.release} and serial part after {compared}; the smallest case that shows it:"
    few = "" if found.settles else f" Too few to vouch for the build, which stays as it was: expected {ENOUGH:,}."
    return f"Linux {built.release} agrees with serial in every field of the outcome: {compared}.{few}"
