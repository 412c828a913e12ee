# SPDX-License-Identifier: GPL-2.0-only
"""The commands that look at cases one knows: run, show, replay."""

import os
import re
import sys
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.text import Text

from engines.catalogue import engine_named
from engines.simulated.engines import Serial
from fuzz.cli import (
    BAD_INPUT,
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
from fuzz.explain import ENGINE_HELP, engine_for
from fuzz.held_to import held_to
from fuzz.junit import Replayed, write_junit
from fuzz.lines import LineRunner
from fuzz.replay import case_paths, expected_engines, located, read_named, surprises
from fuzz.trial import Trial, policy_for
from fuzz.where import engines_of, guest_option
from fuzz.written import write
from memslots.errors import BadInput, Unfit
from memslots.jsonl import line_from_case
from memslots.textreader import read_case
from oracles.policy import Policy
from reports.held_to import HeldTo
from reports.svg_map import svg_map
from reports.terminal import case_on_terminal

NO_EDGE = 1000


@cli.command()
@click.option("--engine", "engines", type=ENGINE, multiple=True, default=("rfc-v1",), show_default=True)
@reference_option
@policy_option
@disposable_option
@guest_option
@click.option("--keep-going", is_flag=True, help="serial goes on after a refusal, and tries every entry given.")
@click.option(
    "--jsonl", "source", metavar="[FILE|-]", is_flag=False, flag_value="-", default="-", help="Cases, one a line."
)
@click.option("--published", is_flag=True, help="Each outcome with the sets that readers could see, in order.")
def run(
    engines: tuple[str, ...],
    reference: str,
    policy: str,
    guest: str | None,
    keep_going: bool,
    source: str,
    published: bool,
) -> int:
    """Apply cases in the JSON Lines form and write a result a line."""
    engines = tuple(dict.fromkeys(engines))
    if keep_going and "serial" not in engines:
        raise click.UsageError("--keep-going is for serial: expected --engine serial")
    Doubts().mention(*engines, reference)
    where = engines_of(guest)
    trials = [
        Trial(engine_named(reference), where.named(name), Policy(policy)) for name in engines if name != reference
    ]
    shown = [Serial(keep_going=True) if keep_going and name == "serial" else engine_named(name) for name in engines]
    runner = LineRunner(
        trials, [engine for engine in shown if engine.name in (reference, "serial")], published=published
    )
    with _opened(source) as stream:
        for result in runner.results(stream):
            click.echo(result)
    return BAD_INPUT if runner.bad_line else MISMATCH if runner.mismatch else NOTHING_NEW


@cli.command()
@click.argument("path", type=PATH)
@click.option("--engine", "asked", type=ENGINE, multiple=True, help=ENGINE_HELP)
@reference_option
@policy_option
@disposable_option
@click.option("--json", "as_json", is_flag=True, help="The case as one JSON line.")
@click.option("--svg", type=PATH, help="Write a memory map here as well: before, after and on the way.")
def show(path: Path, asked: tuple[str, ...], reference: str, policy: str, as_json: bool, svg: Path | None) -> int:
    """Draw one case: its entries, what each engine makes of them, and where they part."""
    file = read_case(path)
    case = file.case
    expected_engines(path, file)
    if as_json:
        click.echo(line_from_case(case, path.stem))
        return NOTHING_NEW
    engines = asked or (engine_for(path, file, None, reference),)
    Doubts().mention(*engines, reference)
    judged = {policy_for(engine_named(name), Policy(policy)) for name in engines if name != reference}
    right = judged.pop() if len(judged) == 1 else Policy(policy)
    held: dict[str, HeldTo] = {}
    try:
        did = engine_named(reference).apply(case, record=True)
        outcomes = {reference: did}
        findings: list[tuple[str, str]] = []
        for name in engines:
            if name == reference:
                continue
            trial = Trial(engine_named(reference), engine_named(name), Policy(policy))
            findings += [(name, finding.bucket) for finding in trial.verdict(case).findings]
            outcomes[name] = engine_named(name).apply(case, record=True)
            other = held_to(trial, case, did, outcomes[name])
            held.update({} if other is None else {name: other})
    except BadInput as error:
        raise located(path, file, error) from None
    if svg is not None:
        write(svg, svg_map(path.stem, case, outcomes, right, held), "a picture")
    # Paper has no edge: what is piped or redirected is folded only if COLUMNS says where.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else NO_EDGE
    console = Console(highlight=False, width=width)
    with console.capture() as capture:
        for part in case_on_terminal(str(path), case, outcomes, findings, right, held):
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
@click.argument("paths", type=PATH, nargs=-1, required=True)
@click.option("--engine", "only", type=ENGINE, multiple=True, help="These alone.  [default: those that a file names]")
@reference_option
@policy_option
@disposable_option
@guest_option
@click.option("--junit", type=PATH, help="Write the result as JUnit XML.")
def replay(
    paths: tuple[Path, ...],
    only: tuple[str, ...],
    reference: str,
    policy: str,
    guest: str | None,
    junit: Path | None,
) -> int:
    """Check that case files (or folders of them) come out as their expect lines say.

    A file that an engine cannot be given, as a kernel cannot be given faults, is named and left out.
    """
    if junit is not None:
        write_report(junit, [])  # where nothing can be written is said before the work is done
    engines = engines_of(guest)
    doubts = Doubts()
    results: list[Replayed] = []
    interrupted = False
    try:
        for path in case_paths(paths):
            found: list[str] = []
            try:
                file = read_named(path)
                doubts.settle(*(only or expected_engines(path, file)), reference)
                for surprise in surprises(path, file, reference, Policy(policy), engines, only):
                    found.append(surprise)
                    click.echo(f"{path}: {surprise}")
                results.append(Replayed(str(path), tuple(found)))
            except Unfit as unfit:
                # One engine cannot be given it; what the others make of it counts.
                results.append(Replayed(str(path), tuple(found), left_out=None if found else str(unfit)))
                click.echo(f"left out: {unfit}", err=True)
            except BadInput as error:
                results.append(Replayed(str(path), error=str(error)))
                click.echo(f"{error}", err=True)
    except KeyboardInterrupt:
        interrupted = True
    if junit is not None:
        write_report(junit, results)
    errors = sum(result.error is not None for result in results)
    differing = sum(bool(result.surprises) for result in results)
    left_out = sum(result.left_out is not None for result in results)
    replayed = len(results) - left_out
    summary = f"{replayed} replayed: {replayed - errors - differing} as expected, {differing} not, {errors} bad"
    if left_out:
        summary += f"; {left_out} left out, for an engine cannot be given them"
    click.echo(f"{summary}, then interrupted" if interrupted else summary)
    for line in doubts.in_the_end(clean=not errors and not differing):
        click.echo(line)
    if interrupted:
        return INTERRUPTED
    return BAD_INPUT if errors else MISMATCH if differing else NOTHING_NEW


def write_report(path: Path, results: list[Replayed]) -> None:
    """Write the JUnit file. Raises BadInput."""
    try:
        write_junit(path, results)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file to write JUnit XML to") from None


def _opened(source: str) -> BinaryIO:
    if source == "-":
        if sys.stdin is None:
            raise BadInput("standard input is closed: expected cases, one JSON object a line")
        return sys.stdin.buffer
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise BadInput(f"{source}: {error.strerror}: expected a file of cases, one JSON object a line") from None
