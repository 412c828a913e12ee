# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots fuzz`: a campaign from the command line, with progress, log lines, and a table at its end."""

import signal
from pathlib import Path
from typing import NamedTuple, NoReturn

from fuzz.compiled import is_fresh
from fuzz.doubts import Doubts
from fuzz.findings import Findings
from fuzz.progress import Progress
from fuzz.supervisor import Plan, Workers
from fuzz.table_console import TableConsole
from memslots.case import Case
from memslots.errors import BadInput
from memslots.textreader import read_case
from reports.campaign_table import BucketRow, campaign_table, causes


class CampaignEnd(NamedTuple):
    """What came of a campaign, with all that was done in its folder before."""

    new: bool
    """Whether there is a bucket that is not on record."""
    interrupted: bool
    judged: int
    """Trials of lists that the engines could be given."""


def run_campaign(plan: Plan, on_record: set[str] | None) -> CampaignEnd:
    """Run a campaign and print its table.

    `on_record` holds the buckets that are known; None if there is no record to compare with. Raises BadInput,
    Missing.
    """
    plan.backends()  # before a folder is made: what is missing shall leave none
    doubts = Doubts()
    doubts.settle(plan.engine, plan.reference)
    findings = Findings(plan.out, plan.settings())
    interrupted = False
    failed: BadInput | None = None
    watcher = _Watcher(plan, findings)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with watcher.progress, Workers(plan.commands(), plan.out) as workers:
            workers.watch(lambda: watcher.tick(workers.booting()), plan.seconds, plan.late_seconds())
    except KeyboardInterrupt:
        interrupted = True
    except BadInput as error:
        failed = error  # what was found is told all the same
    rows = table_rows(findings, on_record or set())
    console = TableConsole()
    if rows:
        console.print(campaign_table(rows, with_record=on_record is not None))
        for part in causes(rows):
            console.print(part, soft_wrap=True)
        console.print()
    new = sum(not row.on_record for row in rows)
    for name, met in findings.allowed().items():
        console.print(f"allowed by design: {name}, {met:,} times", soft_wrap=True)
    if findings.unfit():
        console.print(f"left out, for an engine cannot be given them: {findings.unfit():,} lists", soft_wrap=True)
    rate = findings.trials() / max(findings.seconds(), 1e-9)
    console.print(
        f"{findings.trials():,} trials ({rate:,.0f} a second and worker): {len(rows)} buckets, {new} not on record,"
        f" {len(findings.records())} minimal lists in {plan.out}/",
        soft_wrap=True,
    )
    for line in doubts.in_the_end(clean=not rows and failed is None):
        console.print(line, soft_wrap=True)
    judged = findings.trials() - findings.unfit()
    findings.close()
    if failed is not None:
        raise failed
    return CampaignEnd(new > 0, interrupted, judged)


def _terminated(*_: object) -> NoReturn:
    """What ends a campaign in CI ends it like Ctrl-C at a terminal: with its table."""
    raise KeyboardInterrupt


def table_rows(findings: Findings, on_record: set[str]) -> list[BucketRow]:
    """A row for each bucket, with the smallest of its records."""
    records = findings.records()
    rows = []
    for sighting in findings.sightings():
        own = [record for record in records if record.bucket == sighting.bucket]
        if not own:
            continue  # seen, but killed before its list was reduced; the next campaign in this folder finds it again
        least = min(own, key=lambda record: (record.after, record.name))
        reason, case = _read_record(findings.folder / f"{least.name}.slots")
        rows.append(
            BucketRow(
                sighting.bucket,
                sighting.seen,
                sighting.first_trial,
                sighting.first_seconds,
                sighting.backend,
                least.before,
                least.after,
                least.changes,
                least.name,
                reason,
                case,
                sighting.bucket in on_record,
            )
        )
    return rows


def _read_record(path: Path) -> tuple[str, Case]:
    """Why, and the case, as the file of a record says; people prune and edit such files."""
    try:
        file = read_case(path)
    except BadInput:
        return f"{path.name} is gone, or no case file any more.", Case(())
    return (file.comment.splitlines() or ["Its comment is gone."])[-1], file.case


class _Watcher:
    """What the progress of a campaign tells: its trials, and each bucket when it is met first."""

    def __init__(self, plan: Plan, findings: Findings) -> None:
        self._plan = plan
        self._findings = findings
        self._trials = findings.trials()
        self._known = {sighting.bucket for sighting in findings.sightings()}
        backends = "+".join(plan.backends())  # without atheris, mixed is random alone
        self.progress = Progress("campaign", out=str(plan.out), backends=backends, seed=plan.seed, compiled=is_fresh())

    def tick(self, booting: int) -> None:
        """Show or log where the campaign is, and how many guests boot."""
        progress = self.progress
        trials = self._findings.trials() - self._trials
        sightings = self._findings.sightings()
        for sighting in sightings:
            if sighting.bucket not in self._known:
                self._known.add(sighting.bucket)
                progress.news("bucket", bucket=sighting.bucket, trial=sighting.first_trial, by=sighting.backend)
        left = "" if self._plan.seconds is None else f" of {self._plan.seconds:.0f}"
        rate = trials / max(progress.seconds, 0.1)
        boots = {0: "", 1: "   a guest is booting"}.get(booting, f"   {booting} guests are booting")
        progress.tick(
            f"{progress.seconds:5.0f}{left} s   {trials:,} trials   {rate:,.0f} a second   {len(sightings)} buckets"
            + boots,
            trials=trials,
            buckets=len(sightings),
            **({"booting": booting} if booting else {}),
        )
