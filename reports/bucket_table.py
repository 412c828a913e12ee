# SPDX-License-Identifier: GPL-2.0-only
"""A table with a row a bucket: how often it was seen, and what else whoever draws it has to tell."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.box import ASCII
from rich.table import Table


class Row(Protocol):
    """What every row tells."""

    @property
    def bucket(self) -> str:
        """The bucket."""
        ...

    @property
    def seen(self) -> int:
        """How often it was seen."""
        ...

    @property
    def changes(self) -> str:
        """The changes of its list."""
        ...

    @property
    def on_record(self) -> bool:
        """Whether it is known."""
        ...


def bucket_table(
    between: Sequence[str], changes: str, rows: Iterable[tuple[Row, Sequence[str]]], *, with_record: bool
) -> Table:
    """The table. `between` are the heads of what each row tells besides, `changes` that of the list's changes."""
    table = Table(box=ASCII, show_edge=False, pad_edge=False)
    table.add_column("bucket", overflow="fold")
    for head in ("seen", *between):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column(changes, overflow="fold")
    if with_record:
        table.add_column("record", no_wrap=True)
    for row, cells in rows:
        record = ["known" if row.on_record else "NEW"] if with_record else []
        table.add_row(row.bucket, f"{row.seen:,}", *cells, row.changes, *record)
    return table
