# SPDX-License-Identifier: GPL-2.0-only
"""Text in lines that are no longer than they may be."""


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
