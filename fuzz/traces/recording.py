# SPDX-License-Identifier: GPL-2.0-only
"""A recording's lines, one at a time in constant memory, and what is said of one that cannot be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from memslots.errors import BadInput

MOST_BYTES = 1 << 20
"""What is longer is no line that we look for; its end is passed over."""

CUT_SHORT = "the last line is cut short, and passed over"


class Written(NamedTuple):
    """One line. `whole` is false for a last one that does not end: whoever wrote it was stopped half-way."""

    lineno: int
    text: str
    whole: bool


class Unreadable(Exception):
    """A line that is about memory regions and cannot be read: what was expected of it."""


def lines_of(path: Path) -> Iterator[Written]:
    """The lines of the file at `path`. Raises BadInput."""
    try:
        with path.open("rb") as stream:
            lineno = 0
            while raw := stream.readline(MOST_BYTES):
                lineno += 1
                rest = raw
                while rest and not rest.endswith(b"\n"):
                    rest = stream.readline(MOST_BYTES)
                # Paths and strings in it may be in any encoding, and are not ours to judge.
                yield Written(lineno, raw.decode("utf-8", "backslashreplace").rstrip("\r\n"), rest.endswith(b"\n"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a recording") from None
