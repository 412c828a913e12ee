# SPDX-License-Identifier: GPL-2.0-only
"""The command that tells how a mismatch comes about: explain."""

from collections.abc import Iterator
from pathlib import Path

import click

from engines.catalogue import engine_named
from engines.protocol import Engine
from fuzz.cli import ENGINE, NOTHING_NEW, PATH, cli, disposable_option, policy_option, reference_option
from fuzz.doubts import Doubts
from fuzz.held_to import held_to
from fuzz.reason import reason
from fuzz.replay import DEFAULT_ENGINE, expected_engines, located
from fuzz.trial import Trial, Verdict
from memslots.case import Case
from memslots.casefile import CaseFile
from memslots.errors import BadInput
from memslots.expectation import MismatchExpected
from memslots.textreader import read_case
from oracles.policy import Policy
from reports.narrative import Told, narrative
from reports.why import merged

_COLUMNS = 80

ENGINE_HELP = f"Whose mismatch.  [default: the engine that the file expects one of, or names, else {DEFAULT_ENGINE}]"
engine_option = click.option("--engine", type=ENGINE, help=ENGINE_HELP)


@cli.command()
@click.argument("path", type=PATH)
@engine_option
@reference_option
@policy_option
@disposable_option
def explain(path: Path, engine: str | None, reference: str, policy: str) -> int:
    """Tell step by step how engine and reference come to part, and why."""
    file = read_case(path)
    name = engine_for(path, file, engine, reference)
    Doubts().mention(name, reference)
    try:
        verdict, told = told_of(file.case, engine_named(reference), engine_named(name), Policy(policy))
    except BadInput as error:
        raise located(path, file, error) from None
    for line in _lines(str(path), verdict, told):
        click.echo(line)
    return NOTHING_NEW


def engine_for(path: Path, file: CaseFile, asked: str | None, reference: str) -> str:
    """The engine to look at: the one asked for, the first that the file expects a mismatch of or names, or rfc-v1.

    A file that a campaign has kept names the engine that it is of. Raises BadInput.
    """
    if asked == reference:
        raise BadInput(f"--engine {asked}: it is the reference too: expected another one")
    if asked is not None:
        return asked
    expected = expected_engines(path, file)
    mismatching = [n for n, each in expected.items() if any(isinstance(one, MismatchExpected) for one in each)]
    name = next((name for name in (*mismatching, *expected) if name != reference), DEFAULT_ENGINE)
    try:
        engine_named(name)
    except BadInput as error:  # a build that is not there any more
        raise located(path, file, error) from None
    return name


def told_of(case: Case, reference: Engine, engine: Engine, policy: Policy) -> tuple[Verdict, Told]:
    """What the oracles say of the case, and both outcomes with all their events. Raises BadCase."""
    trial = Trial(reference, engine, policy)
    verdict = trial.verdict(case)
    reasons = merged(dict.fromkeys(reason(each, verdict.outcome) for each in verdict.findings))
    parting = next((each.parting for each in verdict.findings), None)
    did, got = reference.apply(case, record=True), engine.apply(case, record=True)
    held = held_to(trial, case, did, got)
    return verdict, Told(reference.name, did, engine.name, got, parting, tuple(reasons), held)


def _lines(title: str, verdict: Verdict, told: Told) -> Iterator[str]:
    if not verdict.findings:
        yield f"{title}: {told.engine_name} agrees with {told.reference_name}: there is nothing to explain."
        return
    yield title
    yield ""
    yield from narrative(told, _COLUMNS)
