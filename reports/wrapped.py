# SPDX-License-Identifier: GPL-2.0-only
"""Text, and commands, in lines that are no longer than they may be."""

from collections.abc import Sequence
from shlex import quote


def wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """The text in lines of at most `width` columns, broken at blanks; a word that is longer stands alone, and whole.

    `first` stands before the first line, `rest` (as much blank as `first` has columns) before the others.
    """
    indent = " " * len(first) if rest is None else rest
    lines = [first]
    empty = True
    for word in text.split():
        if not empty and len(lines[-1]) + 1 + len(word) > width:
            lines.append(indent)
            empty = True
        lines[-1] += word if empty else f" {word}"
        empty = False
    return [line.rstrip() for line in lines]


def continued(words: Sequence[str], width: int) -> list[str]:
    """The words as a shell takes them, in lines of at most `width` columns with a backslash at the end of all but one.

    A word that is longer stands alone, and whole.
    """
    quoted = [quote(word) for word in words]
    if len(whole := " ".join(quoted)) <= width:
        return [whole]
    lines = [""]
    for word in quoted:
        if lines[-1] and len(lines[-1]) + len(word) + len("  \\") > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]
