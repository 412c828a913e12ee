# SPDX-License-Identifier: GPL-2.0-only
"""Replay: does a case file still come out as its `expect` lines say? Both ways: what vanished is news too."""

from collections.abc import Iterator
from errno import errorcode
from pathlib import Path

from engines.catalogue import ENGINES, engine_named
from fuzz.trial import Trial
from memslots.casefile import CaseFile
from memslots.errors import BadInput
from memslots.expectation import ActiveSlot, Agreement, Ending, Expectation, MismatchExpected
from memslots.outcome import Outcome
from memslots.textwriter import words_of
from oracles.policy import Policy

DEFAULT_ENGINE = "rfc-v1"


def case_paths(paths: tuple[Path, ...]) -> list[Path]:
    """The case files that `paths` name: files as they are, folders searched for `*.slots`.

    What cannot be found stays in its place: it is bad input when it is read, and costs the other files nothing.
    """
    found: list[Path] = []
    for path in paths:
        if _is_folder(path):
            found += sorted(path.rglob("*.slots")) or [path / "*.slots"]
        else:
            found.append(path)
    return found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def surprises(path: Path, file: CaseFile, reference_name: str, policy: Policy) -> Iterator[str]:
    """One line for each way in which the case does not come out as its file says.

    Every engine that the file names is run, and rfc-v1 if it names none beside the reference. Raises BadInput.
    """
    expectations: dict[str, list[Expectation]] = {}
    for expectation in file.expectations:
        if expectation.engine not in ENGINES:
            raise BadInput(
                f"{path}: expect {words_of(expectation)}: no such engine, expected one of {', '.join(ENGINES)}"
            )
        expectations.setdefault(expectation.engine, []).append(expectation)
    engines = [name for name in expectations if name != reference_name] or [DEFAULT_ENGINE]
    try:
        if reference_name in expectations:
            outcome = engine_named(reference_name).apply(file.case)
            yield from _of_outcome(reference_name, outcome, expectations[reference_name])
            yield from _of_buckets(reference_name, set(), expectations[reference_name])
        for name in engines:
            verdict = Trial(engine_named(reference_name), engine_named(name), policy).verdict(file.case)
            expected = expectations.get(name, [])
            yield from _of_outcome(name, verdict.outcome, expected)
            yield from _of_buckets(name, {finding.bucket for finding in verdict.findings}, expected)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def ending_of(name: str, outcome: Outcome) -> Ending:
    """How an outcome ended, as an `expect` line says it."""
    if outcome.ended != "returned":
        return Ending(name, outcome.ended, kind=outcome.kind)
    if outcome.errno:
        index = None
        if outcome.entry_errnos is not None:
            index = next(i for i, errno in enumerate(outcome.entry_errnos) if errno)
        return Ending(name, "refused", errorcode[outcome.errno], index)
    return Ending(name, "returned-1" if outcome.value else "ok")


def _of_outcome(name: str, outcome: Outcome, expected: list[Expectation]) -> Iterator[str]:
    got = ending_of(name, outcome)
    for ending in [e for e in expected if isinstance(e, Ending)]:
        seen = got if ending.index is not None else Ending(name, got.how, got.errno, None, got.kind)
        if ending != seen:
            yield f"expected {words_of(ending)}, got {words_of(got)}"
    named = [e for e in expected if isinstance(e, ActiveSlot)]
    if not named:
        return
    wanted = {e.slot for e in named if e.slot is not None}
    if wanted and ActiveSlot(name, None) in named:
        raise BadInput(f"expect {name} active none: there are active slots expected of it too")
    there = {slot for slots in outcome.active for slot in slots}
    for slot in sorted(wanted - there):
        yield f"expected {words_of(ActiveSlot(name, slot))}, which is not there"
    for slot in sorted(there - wanted):
        yield f"not expected: {words_of(ActiveSlot(name, slot))}"


def _of_buckets(name: str, got: set[str], expected: list[Expectation]) -> Iterator[str]:
    on_record = {e.bucket for e in expected if isinstance(e, MismatchExpected)}
    if on_record and Agreement(name) in expected:
        raise BadInput(f"expect {name} agrees: there are mismatches expected of it too")
    for bucket in sorted(got - on_record):
        yield f"not on record: {name} {bucket}"
    for bucket in sorted(on_record - got):
        yield f"vanished: {name} {bucket}"
