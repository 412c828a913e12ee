# SPDX-License-Identifier: GPL-2.0-only
"""A gfn axis for a picture: what some set holds gets room, and what none holds little.

An address space is sparse and its slots are of all sizes: no scale shows both a page and a gap of terabytes. So each
range between two borders of slots is drawn with a width that grows with the logarithm of its length.
"""

from collections.abc import Sequence
from math import log2
from typing import NamedTuple

from memslots.slot import Slot, SlotSet
from reports.memory_map import Row, folded, rows_of

RANGE, GAP, ALIKE = "range", "gap", "alike"
_MOST_RANGES = 24
"""More ranges than this are folded where all sets hold the same."""
_MOST_DRAWN = 48
_NARROWEST = 15
_GAP_WIDTH = 30
_ALIKE_WIDTH = 64


class Segment(NamedTuple):
    """A piece of the axis: gfns [first, end) from `x` on.

    `kind` is RANGE, GAP (no set holds anything: compressed) or ALIKE (`ranges` ranges in which all sets are alike).
    """

    kind: str
    first: int
    end: int
    x: int
    width: int
    ranges: int = 1


class Axis(NamedTuple):
    """The segments from left to right, and how many ranges behind the last one are not drawn."""

    segments: tuple[Segment, ...]
    left_out: int

    @property
    def right(self) -> int:
        """Where the last segment ends."""
        last = self.segments[-1]
        return last.x + last.width

    def spans(self, first: int, end: int) -> list[tuple[int, int]]:
        """Where [first, end) is drawn, as (x, width): one piece, or several with folded ranges between them."""
        spans: list[tuple[int, int]] = []
        for segment in self.segments:
            if segment.kind == ALIKE or segment.end <= first or segment.first >= end:
                continue
            if spans and sum(spans[-1]) == segment.x:
                spans[-1] = (spans[-1][0], spans[-1][1] + segment.width)
            else:
                spans.append((segment.x, segment.width))
        return spans


def axis_of(sets: Sequence[SlotSet], x: int, width: int) -> Axis | None:
    """The axis on which all `sets` can be drawn, from `x` on, about `width` wide; None if no set holds anything."""
    rows = rows_of(sets)
    if not rows:
        return None
    drawn = folded(rows, _MOST_RANGES)
    kinds = [_kind(piece) for piece in drawn[:_MOST_DRAWN]]
    weights = [1 + log2(piece.end - piece.first) / 8 if isinstance(piece, Row) else 0 for piece in drawn]
    fixed = kinds.count(GAP) * _GAP_WIDTH + kinds.count(ALIKE) * _ALIKE_WIDTH
    total = sum(weight for weight, kind in zip(weights, kinds, strict=False) if kind == RANGE)
    unit = max(width - fixed, 0) / total if total else 0
    segments: list[Segment] = []
    at = 0
    for piece, kind, weight in zip(drawn, kinds, weights, strict=False):
        ranges = piece if isinstance(piece, int) else 1
        first, end = rows[at].first, rows[at + ranges - 1].end
        wide = {GAP: _GAP_WIDTH, ALIKE: _ALIKE_WIDTH}.get(kind) or max(_NARROWEST, int(weight * unit))
        segments.append(Segment(kind, first, end, x, wide, ranges))
        x += wide
        at += ranges
    return Axis(tuple(segments), len(rows) - at)


def _kind(piece: Row | int) -> str:
    if isinstance(piece, int):
        return ALIKE
    return RANGE if any(piece.cells) else GAP


def lanes_of(slots: Sequence[Slot]) -> list[int]:
    """The lane that each slot is drawn in: 0, unless another one lies there already."""
    ends: list[int] = []
    lanes = [0] * len(slots)
    for i in sorted(range(len(slots)), key=lambda i: (slots[i].base_gfn, slots[i].id)):
        free = next((lane for lane, end in enumerate(ends) if end <= slots[i].base_gfn), len(ends))
        ends[free:] = [slots[i].end_gfn, *ends[free + 1 :]]
        lanes[i] = free
    return lanes
