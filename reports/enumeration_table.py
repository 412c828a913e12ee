# SPDX-License-Identifier: GPL-2.0-only
"""What an enumeration has found: a row a bucket, each with the first of the lists that show it."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.box import ASCII
from rich.table import Table

from memslots.case import Case


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
    table = Table(box=ASCII, show_edge=False, pad_edge=False)
    table.add_column("bucket", overflow="fold")
    table.add_column("seen", justify="right", no_wrap=True)
    table.add_column("first list", justify="right", no_wrap=True)
    table.add_column("given", justify="right", no_wrap=True)
    table.add_column("its changes (! flagged)", overflow="fold")
    if with_record:
        table.add_column("record", no_wrap=True)
    for row in rows:
        cells = [row.bucket, f"{row.seen:,}", f"{row.number:,}", str(len(row.case.given)), row.changes]
        table.add_row(*cells, *(["known" if row.on_record else "NEW"] if with_record else []))
    return table
