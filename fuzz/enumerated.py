# SPDX-License-Identifier: GPL-2.0-only
"""What an enumeration has come to: the first list of each bucket, and the statement about all of them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fuzz.campaign import NotAgain, text_of_record
from fuzz.enumeration import Enumeration
from fuzz.ledger import Ledger, Place
from fuzz.reason import reason
from fuzz.signature import changes_of, short_name, signature_of
from fuzz.trial import Trial
from fuzz.written import write_whole
from memslots.case import Case
from memslots.errors import BadInput
from reports.enumeration_table import FirstList


def first_lists(ledger: Ledger, enumeration: Enumeration, trial: Trial, on_record: set[str]) -> list[FirstList]:
    """A row for each bucket, in the order in which they are met. Their case files are written beside the ledger."""
    rows = []
    for bucket, seen, place in ledger.tally().seen.values():
        case = case_at(enumeration, place)
        signature = signature_of(bucket, case)
        name = short_name(signature)
        reason = _kept(trial, case, bucket, ledger.folder / f"{name}.slots")
        changes = ", ".join(changes_of(case)) or "empty list"
        changes += f", fault {place.kind}={place.n}" if place.kind else ""
        rows.append(FirstList(bucket, seen, place.number, changes, name, reason, case, bucket in on_record))
    return rows


def case_at(enumeration: Enumeration, place: Place) -> Case:
    """The case that was tried there."""
    case = enumeration.case(place.number)
    return replace(case, faults=((place.kind, place.n),)) if place.kind else case


def _kept(trial: Trial, case: Case, bucket: str, path: Path) -> str:
    """Why the bucket happens; the file of the case says it, too."""
    try:
        text = text_of_record(trial, case, bucket)
    except NotAgain:
        return "It was shown once, and not when it was tried again."
    try:
        write_whole(path, text)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file to write a case to") from None
    verdict = trial.verdict(case)
    finding = next(finding for finding in verdict.findings if finding.bucket == bucket)
    return reason(finding, verdict.outcome)


def statement(ledger: Ledger, enumeration: Enumeration, settings: Mapping[str, str], new: int | None) -> str:
    """One sentence that may be quoted. `new` is how many buckets are not on record, None if there is no record."""
    scope = enumeration.scope
    tally, done, total = ledger.tally(), ledger.done(), enumeration.total
    kernel = f" on Linux {settings['kernel']}" if "kernel" in settings else ""
    who = f"{settings['engine']} against {settings['reference']}{kernel}, policy {settings['policy']}"
    lists = f"all {scope.lists:,} {scope.in_words()}"
    tried = f"{done - tally.unfit:,} tried"
    if tally.unfit:
        # All is said of what was tried alone: who quotes it must not have to look for what was not.
        lists = f"those that {settings['engine']} can be given of {lists}"
    if done < total:
        lists = f"not yet {lists}"
        tried += f" of {total:,}"
    else:
        tried += ", one of those that differ by names and places alone"
    tried += f", in {tally.trials:,} trials" if tally.trials != done - tally.unfit else ""
    tried += f"; {tally.unfit:,} left out" if tally.unfit else ""
    tried += f"; {tally.unfit_failures:,} failures left out" if tally.unfit_failures else ""
    found = "0 mismatches"
    if tally.seen:
        found = f"{tally.mismatches:,} mismatch, in {len(tally.seen):,} buckets"
        found += "" if new is None else f", {new} not on record"
    return f"{who}: {lists} ({tried}): {found}"
