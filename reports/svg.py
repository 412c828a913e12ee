# SPDX-License-Identifier: GPL-2.0-only
"""SVG as text: elements with what XML needs escaped, and text that is known to fit.

All text is set in a fixed-width font, so that its width is known without a font at hand.
"""

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from memslots.errors import on_one_line

FONT = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
ADVANCE = 0.62
"""Widest advance of a character among fixed-width fonts, in units of the font size, with a little to spare."""


def element(name: str, content: str = "", /, **attributes: str | int | float) -> str:
    """One element. In attributes, `_` stands for `-`, and one at the end is dropped (`class_`); content is markup."""
    words = [f"<{name}"]
    words += [f"{key.rstrip('_').replace('_', '-')}={quoteattr(str(value))}" for key, value in attributes.items()]
    opening = " ".join(words)
    return f"{opening}>{content}</{name}>" if content else f"{opening}/>"


def plain(text: str) -> str:
    """Text as content of an element. What XML cannot hold at all is spelt out."""
    return escape(on_one_line(text, len(text) * 10 + 1))


def width_of(text: str, size: int) -> int:
    """How wide the text is at most, in pixels, at this font size."""
    return int(len(text) * size * ADVANCE) + 1


def first_that_fits(candidates: Iterable[str], width: int, size: int) -> str:
    """The first of `candidates` that is no wider than `width`; empty if none is."""
    return next((text for text in candidates if text and width_of(text, size) <= width), "")


def shortened(text: str, width: int, size: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width`."""
    if width_of(text, size) <= width:
        return text
    return text[: max(int((width - 1) / (size * ADVANCE)) - 1, 0)] + "…"
