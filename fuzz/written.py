# SPDX-License-Identifier: GPL-2.0-only
"""Files that a command was asked to write."""

import os
from pathlib import Path

from memslots.errors import BadInput


def write(path: Path, text: str, what: str) -> None:
    """Write a file. `what` says what it is to hold, for whom it cannot be written. Raises BadInput."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file to write {what} to") from None


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, also if this process is killed over it. Raises OSError."""
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
