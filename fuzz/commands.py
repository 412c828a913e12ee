# SPDX-License-Identifier: GPL-2.0-only
"""The command line.

Exit codes: 0 nothing new, 1 a mismatch not on record, 2 bad usage or bad input, 3 something asked for is not on this
machine, 130 interrupted.
"""

import os
import re
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, NoReturn

import click
from rich.console import Console
from rich.text import Text

from engines.catalogue import ENGINES, engine_named
from engines.simulated.engines import Serial
from fuzz.campaign import shows, text_of_record
from fuzz.campaign_command import run_campaign
from fuzz.junit import Replayed, write_junit
from fuzz.lines import LineRunner
from fuzz.record import buckets_on_record
from fuzz.replay import case_paths, expected_engines, located, read_named, surprises
from fuzz.statistics import statistics_of
from fuzz.supervisor import Missing, Plan
from fuzz.trial import Trial
from memslots.errors import BadInput
from memslots.jsonl import line_from_case
from memslots.textreader import read_case
from oracles.policy import Policy
from reducers.reduce import reduced
from reports.terminal import case_on_terminal

NOTHING_NEW, MISMATCH, BAD_INPUT, NOT_HERE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141

_NO_EDGE = 1000

_ENGINE = click.Choice(list(ENGINES))
_reference = click.option("--reference", type=_ENGINE, default="serial", show_default=True, help="What is right.")
_policy = click.option(
    "--policy",
    type=click.Choice([policy.value for policy in Policy]),
    default=Policy.ATOMIC.value,
    show_default=True,
    help="What a refused list must leave: the state before it, or the reference's at its first refusal.",
)
# Whether a file can be read is found out by reading it, so that one that cannot does not end a replay of many.
_PATH = click.Path(path_type=Path, readable=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sameslots")
def cli() -> None:
    """KVM memory-slot updates, one at a time and all at once: same slots?"""


@cli.command()
@click.option("--engine", "engines", type=_ENGINE, multiple=True, default=("rfc-v1",), show_default=True)
@_reference
@_policy
@click.option("--keep-going", is_flag=True, help="serial goes on after a refusal, and tries every entry given.")
@click.option(
    "--jsonl", "source", metavar="[FILE|-]", is_flag=False, flag_value="-", default="-", help="Cases, one a line."
)
def run(engines: tuple[str, ...], reference: str, policy: str, keep_going: bool, source: str) -> int:
    """Apply cases in the JSON Lines form and write a result a line."""
    engines = tuple(dict.fromkeys(engines))
    if keep_going and "serial" not in engines:
        raise click.UsageError("--keep-going is for serial: expected --engine serial")
    trials = [
        Trial(engine_named(reference), engine_named(name), Policy(policy)) for name in engines if name != reference
    ]
    shown = [Serial(keep_going=True) if keep_going and name == "serial" else engine_named(name) for name in engines]
    runner = LineRunner(trials, [engine for engine in shown if engine.name in (reference, "serial")])
    with _opened(source) as stream:
        for result in runner.results(stream):
            click.echo(result)
    return BAD_INPUT if runner.bad_line else MISMATCH if runner.mismatch else NOTHING_NEW


@cli.command()
@click.argument("path", type=_PATH)
@click.option("--engine", "engines", type=_ENGINE, multiple=True, default=("rfc-v1",), show_default=True)
@_reference
@_policy
@click.option("--json", "as_json", is_flag=True, help="The case as one JSON line.")
def show(path: Path, engines: tuple[str, ...], reference: str, policy: str, as_json: bool) -> int:
    """Draw one case: its entries, what each engine makes of them, and where they part."""
    file = read_case(path)
    case = file.case
    expected_engines(path, file)
    if as_json:
        click.echo(line_from_case(case, path.stem))
        return NOTHING_NEW
    try:
        outcomes = {reference: engine_named(reference).apply(case, record=True)}
        findings: list[tuple[str, str]] = []
        for name in engines:
            if name == reference:
                continue
            verdict = Trial(engine_named(reference), engine_named(name), Policy(policy)).verdict(case)
            outcomes[name] = engine_named(name).apply(case, record=True)
            findings += [(name, finding.bucket) for finding in verdict.findings]
    except BadInput as error:
        raise located(path, file, error) from None
    # Paper has no edge: what is piped or redirected is folded only if COLUMNS says where.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _NO_EDGE
    console = Console(highlight=False, width=width)
    with console.capture() as capture:
        for part in case_on_terminal(str(path), case, outcomes, findings, Policy(policy)):
            console.print(part, soft_wrap=isinstance(part, Text))
    drawn = capture.get()
    # Tables are padded to their width, which a mail need not carry.
    click.echo(drawn if console.is_terminal else re.sub(r" +$", "", drawn, flags=re.MULTILINE), nl=False)
    if file.expectations:
        unlike = list(surprises(path, file, reference, Policy(policy)))
        click.echo("It comes out as its expect lines say." if not unlike else "Unlike its expect lines:")
        for surprise in unlike:
            click.echo(f"  {surprise}")
    return NOTHING_NEW


@cli.command()
@click.argument("paths", type=_PATH, nargs=-1, required=True)
@_reference
@_policy
@click.option("--junit", type=_PATH, help="Write the result as JUnit XML.")
def replay(paths: tuple[Path, ...], reference: str, policy: str, junit: Path | None) -> int:
    """Check that case files (or folders of them) come out as their expect lines say."""
    if junit is not None:
        write_report(junit, [])  # where nothing can be written is said before the work is done
    results: list[Replayed] = []
    interrupted = False
    try:
        for path in case_paths(paths):
            try:
                found = tuple(surprises(path, read_named(path), reference, Policy(policy)))
                results.append(Replayed(str(path), found))
                for surprise in found:
                    click.echo(f"{path}: {surprise}")
            except BadInput as error:
                results.append(Replayed(str(path), error=str(error)))
                click.echo(f"{error}", err=True)
    except KeyboardInterrupt:
        interrupted = True
    if junit is not None:
        write_report(junit, results)
    errors = sum(result.error is not None for result in results)
    differing = sum(bool(result.surprises) for result in results)
    summary = f"{len(results)} replayed: {len(results) - errors - differing} as expected, {differing} not, {errors} bad"
    click.echo(f"{summary}, then interrupted" if interrupted else summary)
    if interrupted:
        return INTERRUPTED
    return BAD_INPUT if errors else MISMATCH if differing else NOTHING_NEW


def write_report(path: Path, results: list[Replayed]) -> None:
    """Write the JUnit file. Raises BadInput."""
    try:
        write_junit(path, results)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file to write JUnit XML to") from None


@cli.command()
@click.option("--engine", type=_ENGINE, default="rfc-v1", show_default=True)
@_reference
@_policy
@click.option("--time", "seconds", type=click.FloatRange(min=0), help="Seconds.  [default: 60, unless --runs is given]")
@click.option("--runs", type=click.IntRange(min=1), help="Trials of each worker.")
@click.option("--seed", type=click.IntRange(min=0), help="Makes the random backend repeat exactly.  [default: drawn]")
@click.option("--backend", type=click.Choice(["random", "atheris", "mixed"]), default="mixed", show_default=True)
@click.option("--out", type=_PATH, default=Path("findings"), show_default=True, help="The folder for what is found.")
@click.option("--record", type=_PATH, multiple=True, help="Case files, or folders of them, whose buckets are known.")
@click.option("--seeds", type=_PATH, multiple=True, help="atheris: case files, or folders of them, to start from.")
@click.option("--mutator/--no-mutator", default=True, help="atheris: mutate gestures, or bytes alone.")
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
    stats: bool,
) -> int:
    """Run a campaign: try lists, reduce and keep what mismatches, end with a table.

    A campaign that is given the folder of an earlier one goes on with it.
    """
    drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    if stats:
        trial = Trial(engine_named(reference), engine_named(engine), Policy(policy))
        for line in statistics_of(trial, drawn, runs or 10_000):
            click.echo(line)
        return NOTHING_NEW
    if seconds is None and runs is None:
        seconds = 60.0
    case_paths(seeds)  # what is no file is said before anything is started
    on_record = buckets_on_record(engine, record) if record else None
    plan = Plan(backend, engine, reference, policy, out, drawn, seconds, runs, mutator, seeds)
    new, interrupted = run_campaign(plan, on_record)
    return INTERRUPTED if interrupted else MISMATCH if new else NOTHING_NEW


@cli.command(name="reduce")
@click.argument("path", type=_PATH)
@click.option("--engine", type=_ENGINE, default="rfc-v1", show_default=True)
@_reference
@_policy
@click.option("--bucket", help="The bucket to keep.  [default: the first that the case shows]")
@click.option("--out", type=_PATH, help="Write the reduced case here.  [default: standard output]")
def reduce_case(path: Path, engine: str, reference: str, policy: str, bucket: str | None, out: Path | None) -> int:
    """Make a case as small as it gets while it shows the same bucket."""
    file = read_case(path)
    case = file.case
    trial = Trial(engine_named(reference), engine_named(engine), Policy(policy))
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
    problem = reduced(case, shows(trial, bucket))
    text = text_of_record(trial, problem.case, bucket)
    if out is None:
        click.echo(text, nl=False)
    else:
        try:
            out.write_text(text)
        except OSError as error:
            raise BadInput(f"{out}: {error.strerror}: expected a file to write the case to") from None
    entries = len(case.given) + len(case.apply), len(problem.case.given) + len(problem.case.apply)
    click.echo(f"{entries[0]} entries -> {entries[1]}, {problem.calls} trials", err=True)
    return NOTHING_NEW


def _opened(source: str) -> BinaryIO:
    if source == "-":
        if sys.stdin is None:
            raise BadInput("standard input is closed: expected cases, one JSON object a line")
        return sys.stdin.buffer
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise BadInput(f"{source}: {error.strerror}: expected a file of cases, one JSON object a line") from None


def main() -> NoReturn:
    """The entry point: run a command and exit with its code."""
    # A file name need not be UTF-8, and a terminal need not show all that is.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        # Whoever closed it wants no answer; the exit code could not be told from one.
        sys.exit(BAD_INPUT)
    code = _run_cli()
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _output_failed(error)
    sys.exit(code)


def _run_cli() -> int:
    try:
        # Not cli.main(): it would answer a closed pipe itself, with the exit code of a mismatch.
        with cli.make_context("sameslots", sys.argv[1:]) as context:
            return int(cli.invoke(context) or NOTHING_NEW)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except BadInput as error:
        click.echo(f"sameslots: {error}", err=True)
        return BAD_INPUT
    except Missing as error:
        click.echo(f"sameslots: {error}", err=True)
        return NOT_HERE
    except OSError as error:
        return _output_failed(error)


def _output_failed(error: OSError) -> int:
    """The exit code where standard output takes no more: its reader has gone (as for a signal), or its disk is full."""
    # Nothing that is left to say can reach it, nor may the flush at exit try.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    click.echo(f"sameslots: standard output: {error.strerror}", err=True)
    return BAD_INPUT
