# SPDX-License-Identifier: GPL-2.0-only
"""Replay: does a case file still come out as its `expect` lines say? Both ways: what vanished is news too."""

from collections.abc import Iterator
from errno import errorcode
from pathlib import Path
from typing import cast

from engines.catalogue import EXPECTED, HERE, engine_named, known
from engines.protocol import Engines, RefusedGiven
from fuzz.trial import Trial, Verdict
from memslots.case import Case
from memslots.casefile import CaseFile
from memslots.errors import BadInput, BadLine, RefusedHere, Unfit, UnfitEntry
from memslots.expectation import ActiveSlot, Agreement, Ending, Expectation, MismatchExpected
from memslots.outcome import UNSEEN, Outcome
from memslots.textreader import read_case
from memslots.textwriter import words_of
from oracles.policy import Policy

DEFAULT_ENGINE = "rfc-v1"


def case_paths(paths: tuple[Path, ...]) -> list[Path]:
    """The case files that `paths` name: files as they are, folders searched for `*.slots`.

    What cannot be found, or a folder with nothing in it, stays in its place: it is bad input when it is read, and
    costs the other files nothing.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(each for each in path.rglob("*.slots") if each.is_file()) if _is_folder(path) else []
        found += inside or [path]
    return found


def read_named(path: Path) -> CaseFile:
    """The case file that `case_paths` has named. Raises BadInput."""
    if _is_folder(path):
        raise BadInput(f"{path}: no case file (*.slots) in this folder")
    return read_case(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def expected_engines(path: Path, file: CaseFile) -> dict[str, list[Expectation]]:
    """What is expected of each engine. Raises BadInput, with the line, for one that does not exist."""
    expectations: dict[str, list[Expectation]] = {}
    for lineno, line in enumerate(file.lines, 2):
        if line.keyword != "expect":
            continue
        expectation = cast(Expectation, line.content)
        if not known(expectation.engine):
            words = f"expect {words_of(expectation)}"
            raise BadLine(str(path), lineno, words, f"no such engine, {EXPECTED}")
        expectations.setdefault(expectation.engine, []).append(expectation)
    for name, expected in expectations.items():
        if Agreement(name) in expected and any(isinstance(each, MismatchExpected) for each in expected):
            raise BadInput(f"{path}: expect {name} agrees: there are mismatches expected of it too")
    return expectations


def located(path: Path, file: CaseFile, error: BadInput) -> BadInput:
    """The error with the file that it is about, and the line if it knows of one."""
    where = str(path)
    if isinstance(error, RefusedGiven | RefusedHere | UnfitEntry):
        keyword = "apply" if isinstance(error, UnfitEntry) else "given"
        lines = [lineno for lineno, line in enumerate(file.lines, 2) if line.keyword == keyword]
        where += f":{lines[error.index]}" if error.index < len(lines) else ""  # the header may name more entries
    # What a kernel refuses that the model accepts is news of it, and nothing to be left out in silence.
    fits = not isinstance(error, Unfit) or isinstance(error, RefusedHere)
    return (BadInput if fits else Unfit)(f"{where}: {error}")


def surprises(
    path: Path,
    file: CaseFile,
    reference_name: str,
    policy: Policy,
    engines: Engines = HERE,
    only: tuple[str, ...] = (),
) -> Iterator[str]:
    """One line for each way in which the case does not come out as its file says.

    Every engine that the file names is run, had from `engines`, and rfc-v1 if it names none beside the reference; or
    `only` these, named there or not.
    Raises BadInput, and in the end Unfit, where one of them cannot be given the case.
    """
    expectations = expected_engines(path, file)
    named = only or [name for name in expectations if name != reference_name] or [DEFAULT_ENGINE]
    try:
        if reference_name in expectations:
            outcome = engine_named(reference_name).apply(file.case)
            yield from _of_outcome(reference_name, outcome, expectations[reference_name])
            yield from _of_buckets(reference_name, set(), expectations[reference_name])
        unfit: Unfit | None = None
        for name in named:
            try:
                verdict = Trial(engine_named(reference_name), engines.named(name), policy).verdict(file.case)
            except Unfit as error:
                unfit = unfit or error
                continue
            expected = expectations.get(name, [])
            yield from _of_outcome(name, verdict.outcome, expected)
            yield from _of_buckets(name, {finding.bucket for finding in verdict.findings}, expected)
        if unfit is not None:
            raise unfit
    except BadInput as error:
        raise located(path, file, error) from None


def ending_of(name: str, outcome: Outcome) -> Ending:
    """How an outcome ended, as an `expect` line says it."""
    if outcome.ended != "returned":
        return Ending(name, outcome.ended, kind=outcome.kind)
    if outcome.errno:
        index = None
        if outcome.entry_errnos is not None:
            # None for a list that was refused before any entry.
            index = next((i for i, errno in enumerate(outcome.entry_errnos) if errno), None)
        return Ending(name, "refused", errorcode[outcome.errno], index)
    return Ending(name, "returned-1" if outcome.value else "ok")


def expectations_of(trial: Trial, case: Case, verdict: Verdict) -> list[Expectation]:
    """All that a file must expect for its replay to have no surprise: how both ended, and the buckets or none.

    The reference is asked again: the verdict has what is right beside the engine's own failures or order.
    """
    name = trial.engine.name
    buckets = dict.fromkeys(finding.bucket for finding in verdict.findings)
    reference = trial.reference.apply(case)
    expected: list[Expectation] = [ending_of(trial.reference.name, reference), ending_of(name, verdict.outcome)]
    expected += [MismatchExpected(name, bucket) for bucket in buckets]
    return expected if buckets else [*expected, Agreement(name)]


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
    if outcome.active == UNSEEN:
        yield f"expected {words_of(named[0])}, and what is active cannot be seen"
        return
    there = {slot for slots in outcome.active for slot in slots}
    for slot in sorted(wanted - there):
        yield f"expected {words_of(ActiveSlot(name, slot))}, which is not there"
    for slot in sorted(there - wanted):
        yield f"not expected: {words_of(ActiveSlot(name, slot))}"


def _of_buckets(name: str, got: set[str], expected: list[Expectation]) -> Iterator[str]:
    on_record = {e.bucket for e in expected if isinstance(e, MismatchExpected)}
    for bucket in sorted(got - on_record):
        yield f"not on record: {name} {bucket}"
    for bucket in sorted(on_record - got):
        yield f"vanished: {name} {bucket}"
