# SPDX-License-Identifier: GPL-2.0-only
"""What stands around the panels of a memory map: its head, the gfn axis, and the legend."""

from collections.abc import Mapping
from typing import NamedTuple

from reports.gfn_axis import ALIKE, GAP, Axis
from reports.map_panels import CHANGED, INVALID, LEFT, LOST, PHANTOM
from reports.svg import ADVANCE, element, plain, shortened, width_of
from reports.wrapped import wrapped

# All in pixels. A picture is about 1000 wide: names on the left, the axis and the slots on the right.
MARGIN = 16
LABEL = 236
TRACK = 720
LINE = 15
TEXT = 11
TICK = 10
_TICK_ROWS = 3
PATTERNS = {INVALID: "invalid", LEFT: "invalid", PHANTOM: "phantom", CHANGED: "changed"}
LEGEND = {
    INVALID: "INVALID: found by readers, who have to try again",
    LEFT: "left INVALID: still so when the call is over",
    PHANTOM: "phantom: in no set that is right",
    CHANGED: "other flags or userspace_addr than is right",
    LOST: "lost: should be there, and is not",
    "overlap": "overlap: two slots hold these gfns",
    "unbacked": "unbacked: in no slot, the same memory before and after",
    ALIKE: "folded: ranges in which all sets are alike",
}


class Drawn(NamedTuple):
    """Markup, and how high it is."""

    markup: str
    height: int


def text_at(text: str, x: int, y: int, class_: str, anchor: str = "start") -> str:
    """A line of text."""
    more = {} if anchor == "start" else {"text_anchor": anchor}
    return element("text", plain(text), x=x, y=y, class_=class_, **more)


def head(title: str, endings: Mapping[str, str]) -> Drawn:
    """The title, and how each engine ended."""
    wide = LABEL + TRACK
    lines = [text_at(shortened(title, wide, 14), MARGIN, 14, "title")]
    y = 14
    for name, words in endings.items():
        for i, line in enumerate(wrapped(f"{name}: {words}", int(wide / (TEXT * ADVANCE)))):
            y += LINE + (4 if i == 0 else 0)
            lines.append(text_at(line, MARGIN, y, "soft"))
    return Drawn("".join(lines), y + 10)


def heading(text: str, class_: str) -> Drawn:
    """What the panels below it are about."""
    return Drawn(text_at(text, MARGIN, 22, class_), 30)


def ticks(axis: Axis) -> Drawn:
    """The axis: the gfn of each border, where there is room for it in one of three rows."""
    borders = [(segment.x, segment.first) for segment in axis.segments] + [(axis.right, axis.segments[-1].end)]
    taken = [-1] * _TICK_ROWS
    placed: list[tuple[int, str, int, int]] = []
    for x, gfn in borders:
        label = f"{gfn:#x}"
        half = width_of(label, TICK) // 2
        # The first row that is free is the lowest: a label stands close to its border where it can.
        left = min(x - half, axis.right - 2 * half)
        row = next((row for row in range(_TICK_ROWS) if taken[row] + 5 <= left), None)
        if row is None or left < MARGIN + LABEL - 12:
            row = row if row is not None and x == axis.segments[0].x else None
            left = max(left, MARGIN + LABEL - 4)
        if row is not None:
            taken[row] = left + 2 * half
            placed.append((x, label, left, row))
    rows = max(row for *_, row in placed) + 1
    floor = 6 + rows * 11
    marks = [text_at("gfn", MARGIN + LABEL - 34, 2 + rows * 11, "tick")]
    marks += [element("path", d=f"M{x} {floor - 3} V{floor}", class_="line") for x, _ in borders]
    for x, label, left, row in placed:
        y = 2 + (rows - row) * 11
        marks.append(text_at(label, left, y, "tick"))
        marks.append(element("path", d=f"M{x} {y + 2} V{floor}", class_="line"))
    for segment in axis.segments:
        if segment.kind == GAP:
            middle = segment.x + segment.width // 2
            marks.append(
                element("path", d=f"M{middle - 5} {floor + 4} l4 -8 M{middle + 1} {floor + 4} l4 -8", class_="line")
            )
    marks.append(element("path", d=f"M{axis.segments[0].x} {floor} H{axis.right}", class_="line"))
    if axis.left_out:
        marks.append(text_at(f"and {axis.left_out} more ranges", axis.right, floor + 14, "tick", "end"))
    return Drawn("".join(marks), floor + (20 if axis.left_out else 8))


def legend(used: list[str], right: int) -> Drawn:
    """What the marks mean: those that there are, in two columns."""
    if not used:
        return Drawn("", 4)
    parts = [element("path", d=f"M{MARGIN} 6 H{right}", class_="line")]
    column = (LABEL + TRACK) // 2
    for n, what in enumerate(used):
        x, y = MARGIN + column * (n % 2), 18 + 22 * (n // 2)
        area = {"x": x, "y": y, "width": 30, "height": 14}
        if what == LOST:
            parts.append(element("rect", class_="lost", **area))
        elif what in PATTERNS:
            parts.append(element("rect", class_="box t0" + ("" if what == INVALID else " wrong"), **area))
            parts.append(element("rect", fill=f"url(#{PATTERNS[what]})", **area))
        else:
            parts.append(element("rect", fill=f"url(#{what})", **area))
        parts.append(text_at(shortened(LEGEND[what], column - 44, TEXT), x + 38, y + 11, "ink"))
    return Drawn("".join(parts), 18 + 22 * ((len(used) + 1) // 2) + 6)
