# SPDX-License-Identifier: GPL-2.0-only
"""What a campaign has found: a row a bucket, and each cause with its smallest list."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from memslots.case import Case
from memslots.casefile import case_file
from memslots.machine import DEFAULT_MACHINE
from memslots.textwriter import text_of
from reports.bucket_table import bucket_table

WIDTH = 160
"""Columns where nobody knows how wide the paper is."""
LEAST_WIDTH = 120
"""Columns that the table needs: a terminal with fewer wraps its lines, which is better than to cut them."""


class Cause(Protocol):
    """A bucket as far as its cause is concerned: how often it was seen, why, and a case of `after` entries."""

    @property
    def bucket(self) -> str: ...  # noqa: D102 - as a row has it
    @property
    def seen(self) -> int: ...  # noqa: D102
    @property
    def after(self) -> int: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def why(self) -> str: ...  # noqa: D102
    @property
    def case(self) -> Case: ...  # noqa: D102


class BucketRow(NamedTuple):
    """One bucket: how often it was seen, when first, and the smallest list that shows it."""

    bucket: str
    seen: int
    first_trial: int
    first_seconds: float
    backend: str
    before: int
    after: int
    changes: str
    name: str
    why: str
    case: Case
    on_record: bool


def campaign_table(rows: Sequence[BucketRow], *, with_record: bool) -> Table:
    """The table, the most frequent bucket first. Entries are given ones and list entries together."""
    cells = [
        (
            row,
            (f"{row.first_trial:,} ({row.first_seconds:.1f} s) {row.backend}", f"{row.before}->{row.after}"),
        )
        for row in rows
    ]
    return bucket_table(("first after", "entries"), "minimal list (! flagged)", cells, with_record=with_record)


def _ease(row: Cause) -> tuple[object, ...]:
    """What is easier to read comes first: a list that serial accepts, no tricks of header and machine, few entries."""
    case = row.case
    return (case.nent is not None, " ok " not in row.bucket, case.machine != DEFAULT_MACHINE, row.after, row.name)


def causes(rows: Sequence[Cause]) -> Iterator[RenderableType]:
    """Each reason once, with the list that is easiest to read, the most frequent reason last: a reader begins there."""
    by_reason: dict[str, list[Cause]] = {}
    for row in rows:
        by_reason.setdefault(row.why, []).append(row)
    for reason, members in sorted(by_reason.items(), key=lambda item: sum(row.seen for row in item[1])):
        least = min(members, key=_ease)
        seen = sum(row.seen for row in members)
        buckets = "1 bucket" if len(members) == 1 else f"{len(members)} buckets"
        yield Text("")
        yield Text(reason, style="bold")
        for line in text_of(case_file(least.case)).splitlines()[1:]:
            yield Text(f"    {line}")
        yield Text(f"  {least.bucket}, in all {buckets}, seen {seen:,} times; {least.name}.slots", style="dim")
