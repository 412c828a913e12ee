# SPDX-License-Identifier: GPL-2.0-only
"""The commands that look for cases nobody knows yet, and make them small: fuzz, reduce."""

import math
import os
from pathlib import Path

import click

from engines.catalogue import engine_named, machine_of_engine
from fuzz.campaign import shows, text_of_record
from fuzz.campaign_command import run_campaign
from fuzz.cli import (
    ENGINE,
    INTERRUPTED,
    MISMATCH,
    NOTHING_NEW,
    PATH,
    cli,
    disposable_option,
    policy_option,
    reference_option,
)
from fuzz.doubts import Doubts
from fuzz.explain import engine_for, engine_option
from fuzz.fitted import fitted
from fuzz.git_bisect import OPTION as GIT_BISECT
from fuzz.git_bisect import bisected
from fuzz.record import buckets_on_record
from fuzz.replay import case_paths, located
from fuzz.statistics import statistics_of
from fuzz.supervisor import Plan
from fuzz.trial import Trial
from fuzz.where import check, engines_of, guest_option
from fuzz.written import write
from memslots.errors import BadInput
from memslots.textreader import read_case
from oracles.policy import Policy
from reducers.reduce import reduced


@cli.command()
@click.option("--engine", type=ENGINE, default="rfc-v1", show_default=True)
@reference_option
@policy_option
@disposable_option
@click.option("--time", "seconds", type=click.FloatRange(min=0), help="Seconds.  [default: 60, unless --runs is given]")
@click.option("--runs", type=click.IntRange(min=1), help="Trials of each worker.")
@click.option("--seed", type=click.IntRange(min=0), help="Makes the random backend repeat exactly.  [default: drawn]")
@click.option("--backend", type=click.Choice(["random", "atheris", "mixed"]), default="mixed", show_default=True)
@click.option("--out", type=PATH, default=Path("findings"), show_default=True, help="The folder for what is found.")
@click.option("--record", type=PATH, multiple=True, help="Case files, or folders of them, whose buckets are known.")
@click.option("--seeds", type=PATH, multiple=True, help="atheris: case files, or folders of them, to start from.")
@click.option("--mutator/--no-mutator", default=True, help="atheris: mutate gestures, or bytes alone.")
@guest_option
@click.option(GIT_BISECT, is_flag=True, help="For git bisect run: build tree:DIR again, exit 125 if it fails.")
@click.option("--stats", is_flag=True, help="Draw --runs cases (10,000), print what the grammar makes, and stop.")
def fuzz(
    engine: str,
    reference: str,
    policy: str,
    seconds: float | None,
    runs: int | None,
    seed: int | None,
    backend: str,
    out: Path,
    record: tuple[Path, ...],
    seeds: tuple[Path, ...],
    mutator: bool,
    guest: str | None,
    git_bisect: bool,
    stats: bool,
) -> int:
    """Run a campaign: try lists, reduce and keep what mismatches, end with a table.

    A campaign that is given the folder of an earlier one goes on with it.
    """
    if git_bisect and stats:
        raise click.UsageError(f"{GIT_BISECT} --stats: a table of statistics judges no commit: expected one of them")
    if seconds is not None and not math.isfinite(seconds):
        raise click.UsageError("--time: expected a number of seconds")
    drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    if stats:
        Doubts().mention(engine, reference)
        engines = engines_of(guest)
        trial = Trial(engine_named(reference), engines.named(engine), Policy(policy))
        for line in statistics_of(trial, drawn, runs or 10_000, fitted(engines, engine, reference)):
            click.echo(line)
        return NOTHING_NEW
    if seconds is None and runs is None:
        seconds = 60.0

    def campaign(folder: Path) -> int:
        # What is missing is said here, not by a worker.
        check(guest)
        for name in (reference,) if guest is not None else (engine, reference):
            machine_of_engine(name)
        case_paths(seeds)  # what is no file is said before anything is started
        on_record = buckets_on_record(engine, record) if record else None
        plan = Plan(backend, engine, reference, policy, folder, drawn, seconds, runs, mutator, seeds, guest)
        end = run_campaign(plan, on_record)
        if git_bisect and not end.judged and not end.interrupted:
            raise BadInput(f"{GIT_BISECT}: no list was tried, which says nothing of the commit: expected more --time")
        return INTERRUPTED if end.interrupted else MISMATCH if end.new else NOTHING_NEW

    return bisected(engine, reference, out, campaign) if git_bisect else campaign(out)


@cli.command(name="reduce")
@click.argument("path", type=PATH)
@engine_option
@reference_option
@policy_option
@disposable_option
@guest_option
@click.option("--bucket", help="The bucket to keep.  [default: the first that the case shows]")
@click.option("--out", type=PATH, help="Write the reduced case here.  [default: standard output]")
def reduce_case(
    path: Path, engine: str | None, reference: str, policy: str, guest: str | None, bucket: str | None, out: Path | None
) -> int:
    """Make a case as small as it gets while it shows the same bucket."""
    file = read_case(path)
    case = file.case
    engine = engine_for(path, file, engine, reference)
    Doubts().mention(engine, reference)
    engines = engines_of(guest)
    trial = Trial(engine_named(reference), engines.named(engine), Policy(policy))
    try:
        found = [finding.bucket for finding in trial.verdict(case).findings]
    except BadInput as error:
        raise located(path, file, error) from None
    if not found:
        click.echo(f"{path}: no mismatch between {reference} and {engine}: nothing to keep", err=True)
        return NOTHING_NEW
    if bucket is None:
        bucket = found[0]
    elif bucket not in found:
        raise BadInput(f"{path}: does not show this bucket, expected one of: {'; '.join(found)}")
    # A guest that is lost is not told from another at each step, but once, in the end.
    steps = (
        trial if guest is None else Trial(engine_named(reference), engines.named(engine, quick=True), Policy(policy))
    )
    problem = reduced(case, shows(steps, bucket))
    text = text_of_record(trial, problem.case, bucket)
    if out is None:
        click.echo(text, nl=False)
    else:
        write(out, text, "the case")
    entries = len(case.given) + len(case.apply), len(problem.case.given) + len(problem.case.apply)
    click.echo(f"{entries[0]} entries -> {entries[1]}, {problem.calls} trials", err=True)
    return NOTHING_NEW
