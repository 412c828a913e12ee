# SPDX-License-Identifier: GPL-2.0-only
"""What an enumeration has found: a row a bucket, each with the first of the lists that show it."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from memslots.case import Case
from reports.bucket_table import bucket_table


class FirstList(NamedTuple):
    """One bucket: how many trials showed it, and the first of them in the enumeration's order."""

    bucket: str
    seen: int
    number: int
    changes: str
    name: str
    why: str
    case: Case
    on_record: bool

    @property
    def after(self) -> int:
        """Its entries, given ones included."""
        return len(self.case.given) + len(self.case.apply)


def enumeration_table(rows: Sequence[FirstList], *, with_record: bool) -> Table:
    """The table, in the order in which the buckets are met first."""
    cells = [(row, (f"{row.number:,}", str(len(row.case.given)))) for row in rows]
    return bucket_table(("first list", "given"), "its changes (! flagged)", cells, with_record=with_record)
