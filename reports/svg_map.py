# SPDX-License-Identifier: GPL-2.0-only
"""A memory map as SVG: what was there before, what each engine left, and what readers saw on the way.

All panels of an address space share one gfn axis and stand one below the other, so that the eye finds what differs.
Nothing is told by colour alone, no text is wider than the place it stands in, and equal input makes equal text.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from memslots.case import Case
from memslots.outcome import Outcome
from memslots.uapi import KVM_MEMSLOT_INVALID, flag_names
from oracles.policy import Policy
from reports.ending import ending_words
from reports.gfn_axis import ALIKE, GAP, Axis, Segment, axis_of, lanes_of
from reports.map_panels import CHANGED, INVALID, LOST, PHANTOM, Box, Heading, Panel, panels_of, slot_sets_of
from reports.map_style import TINTS, patterns, style
from reports.news import place_of, slot_name
from reports.svg import element, first_that_fits, plain, shortened, width_of
from reports.wrapped import wrapped

_MARGIN = 16
_TEXT = 11
_LINE = 15
_LABEL = 236
_TRACK = 720
_LANE = 36
_STRIP = 15
_GAP = 10
_TICK = 10
_TICK_ROWS = 3
_PATTERNS = {INVALID: "invalid", PHANTOM: "phantom", CHANGED: "changed"}
_LEGEND = {
    INVALID: "INVALID: found by readers, and without memory",
    PHANTOM: "phantom: in no set that is right",
    CHANGED: "other flags or userspace_addr than is right",
    LOST: "lost: should be there, and is not",
    "overlap": "overlap: two slots hold these gfns",
    "unbacked": "unbacked: the same memory before and after, none now",
    ALIKE: "folded: ranges in which all sets are alike",
}


class _Drawn(NamedTuple):
    """Markup, and how high it is."""

    markup: str
    height: int


def svg_map(title: str, case: Case, outcomes: Mapping[str, Outcome], policy: Policy) -> str:
    """The whole picture. The first of `outcomes` is the reference's; of all of them the sets are drawn."""
    parts = [_head(title, outcomes)]
    used: set[str] = set()
    right = _MARGIN + _LABEL + _TRACK
    for as_id in range(case.machine.address_spaces):
        panels = panels_of(as_id, outcomes, policy, case.machine.page_shift)
        axis = axis_of(slot_sets_of(panels), _MARGIN + _LABEL, _TRACK)
        if axis is None:
            continue
        right = max(right, axis.right)
        used |= _used(panels, axis)
        parts.append(_heading(f"address space {as_id}", "head"))
        parts += _space(panels, axis)
    if len(parts) == 1:
        parts.append(_heading("No set holds any slot, before, after or on the way.", "soft"))
    parts.append(_legend([what for what in _LEGEND if what in used], right))
    width = right + _MARGIN
    y = _MARGIN
    placed: list[str] = []
    for part in parts:
        if part.markup:
            placed.append(element("g", part.markup, transform=f"translate(0,{y})"))
        y += part.height
    content = [
        element("title", plain(title)),
        element("desc", plain("; ".join(f"{name}: {ending_words(each)}" for name, each in outcomes.items()))),
        style(),
        patterns(),
        element("rect", width=width, height=y, class_="paper"),
        *placed,
    ]
    body = "\n".join(content)
    return element(
        "svg", f"\n{body}\n", xmlns="http://www.w3.org/2000/svg", width=width, height=y,
        viewBox=f"0 0 {width} {y}", role="img",
    ) + "\n"  # fmt: skip


def _text(text: str, x: int, y: int, class_: str, anchor: str = "start") -> str:
    more = {} if anchor == "start" else {"text_anchor": anchor}
    return element("text", plain(text), x=x, y=y, class_=class_, **more)


def _head(title: str, outcomes: Mapping[str, Outcome]) -> _Drawn:
    wide = _LABEL + _TRACK
    lines = [_text(shortened(title, wide, 14), _MARGIN, 14, "title")]
    y = 14
    for name, outcome in outcomes.items():
        for i, line in enumerate(wrapped(f"{name}: {ending_words(outcome)}", int(wide / (_TEXT * 0.62)))):
            y += _LINE + (4 if i == 0 else 0)
            lines.append(_text(line, _MARGIN, y, "soft"))
    return _Drawn("".join(lines), y + 10)


def _heading(text: str, class_: str) -> _Drawn:
    return _Drawn(_text(text, _MARGIN, 22, class_), 30)


def _space(panels: list[Panel | Heading], axis: Axis) -> Iterator[_Drawn]:
    """The panels of one address space below their axis."""
    yield _ticks(axis)
    for panel in panels:
        yield _heading(panel.text, "soft") if isinstance(panel, Heading) else _panel(panel, axis)


def _ticks(axis: Axis) -> _Drawn:
    """The axis: the gfn of each border, where there is room for it in one of three rows."""
    borders = [(segment.x, segment.first) for segment in axis.segments] + [(axis.right, axis.segments[-1].end)]
    taken = [-1] * _TICK_ROWS
    placed: list[tuple[int, str, int, int]] = []
    for x, gfn in borders:
        label = f"{gfn:#x}"
        half = width_of(label, _TICK) // 2
        # The first row that is free is the lowest: a label stands close to its border where it can.
        left = min(x - half, axis.right - 2 * half)
        row = next((row for row in range(_TICK_ROWS) if taken[row] + 5 <= left), None)
        if row is None or left < _MARGIN + _LABEL - 12:
            row = row if row is not None and x == axis.segments[0].x else None
            left = max(left, _MARGIN + _LABEL - 4)
        if row is not None:
            taken[row] = left + 2 * half
            placed.append((x, label, left, row))
    rows = max(row for *_, row in placed) + 1
    floor = 6 + rows * 11
    marks = [_text("gfn", _MARGIN + _LABEL - 34, 2 + rows * 11, "tick")]
    marks += [element("path", d=f"M{x} {floor - 3} V{floor}", class_="line") for x, _ in borders]
    for x, label, left, row in placed:
        y = 2 + (rows - row) * 11
        marks.append(_text(label, left, y, "tick"))
        marks.append(element("path", d=f"M{x} {y + 2} V{floor}", class_="line"))
    for segment in axis.segments:
        if segment.kind == GAP:
            middle = segment.x + segment.width // 2
            marks.append(
                element("path", d=f"M{middle - 5} {floor + 4} l4 -8 M{middle + 1} {floor + 4} l4 -8", class_="line")
            )
    marks.append(element("path", d=f"M{axis.segments[0].x} {floor} H{axis.right}", class_="line"))
    if axis.left_out:
        marks.append(_text(f"and {axis.left_out} more ranges", axis.right, floor + 14, "tick", "end"))
    return _Drawn("".join(marks), floor + (20 if axis.left_out else 8))


def _panel(panel: Panel, axis: Axis) -> _Drawn:
    """One set: its name and what is new on the left, its slots on the right."""
    slots = [box.slot for box in panel.boxes]
    lanes = lanes_of(slots)
    band = _LANE * (max(lanes, default=0) + 1)
    strips = [(what, ranges) for what, ranges in (("overlap", panel.overlaps), ("unbacked", panel.unbacked)) if ranges]
    per_line = int((_LABEL - 14) / (_TEXT * 0.62))
    notes = [line for note in panel.notes for line in wrapped(note, per_line)]
    label = [_text(shortened(panel.title, _LABEL - 14, _TEXT), _MARGIN, 13, "name")]
    label += [
        _text(shortened(note, _LABEL - 14, _TEXT), _MARGIN, 13 + _LINE * n, "soft") for n, note in enumerate(notes, 1)
    ]
    height = max(band + _STRIP * len(strips), _LINE * (len(notes) + 1))
    marks = [_track(segment, band) for segment in axis.segments]
    for box, lane in zip(panel.boxes, lanes, strict=True):
        for x, width in axis.spans(box.slot.base_gfn, box.slot.end_gfn):
            marks.append(_box(box, x, lane * _LANE, width))
    for n, (what, ranges) in enumerate(strips):
        for first, end in ranges:
            for x, width in axis.spans(first, end):
                marks.append(_strip(what, x, band + n * _STRIP, width, band))
    return _Drawn("".join([*label, *marks]), height + _GAP)


def _track(segment: Segment, band: int) -> str:
    if segment.kind == ALIKE:
        text = first_that_fits((f"{segment.ranges} alike", f"{segment.ranges}"), segment.width - 6, _TICK)
        middle = segment.x + segment.width // 2
        wide = width_of(text, _TICK)
        return (
            element("rect", x=segment.x, y=0, width=segment.width, height=band, fill="url(#alike)")
            + element("rect", x=middle - wide // 2 - 2, y=band // 2 - 8, width=wide + 4, height=15, class_="plate")
            + _text(text, middle, band // 2 + 4, "tick", "middle")
        )
    if segment.kind == GAP:
        return element("path", d=f"M{segment.x} {band // 2} h{segment.width}", class_="line", stroke_dasharray="2 4")
    return element("rect", x=segment.x, y=0, width=segment.width, height=band, class_="track")


def _box(box: Box, x: int, y: int, width: int) -> str:
    """One slot, or the place of one that is lost: as much of what is to be said as fits."""
    slot = box.slot
    x, y, width, height = x + 1, y + 2, max(width - 2, 1), _LANE - 4
    area = {"x": x, "y": y, "width": width, "height": height, "rx": 2}
    lost = LOST in box.marks
    marks = [mark for mark in box.marks if mark != LOST]
    wrong = " wrong" if marks and marks != [INVALID] else ""
    parts = [element("title", plain(_in_words(box)))]
    parts.append(element("rect", class_="lost" if lost else f"box t{slot.id % TINTS}{wrong}", **area))
    parts += [element("rect", fill=f"url(#{_PATTERNS[mark]})", **area) for mark in marks]
    name = slot_name(slot)
    said = " ".join(["lost"] if lost else marks)
    flags = flag_names(slot.flags & ~KVM_MEMSLOT_INVALID) if slot.flags & ~KVM_MEMSLOT_INVALID else ""
    initials = "".join(mark[0].upper() for mark in (["lost"] if lost else marks))
    top = first_that_fits((name, str(slot.id)), width - 8, _TEXT)
    hva = f"hva {slot.userspace_addr:#x}"
    if said:
        bottom = first_that_fits((said, *marks, initials), width - 8, _TEXT)
    else:
        bottom = first_that_fits(
            (f"{hva} {flags}" if flags else hva, flags, "flags" if flags else ""), width - 8, _TEXT
        )
    class_ = "bad" if lost else "ink"
    plated = bool(marks)
    for text, baseline in ((top, y + 13), (bottom, y + 27)):
        if text:
            wide = width_of(text, _TEXT)
            if plated:
                parts.append(element("rect", x=x + 3, y=baseline - 10, width=wide + 3, height=13, class_="plate", rx=2))
            parts.append(_text(text, x + 4, baseline, class_))
    return element("g", "".join(parts))


def _in_words(box: Box) -> str:
    slot = box.slot
    marks = f" ({', '.join(box.marks)})" if box.marks else ""
    return (
        f"{slot_name(slot)}{marks}: gfn {place_of(slot)}, npages {slot.npages:#x},"
        f" userspace_addr {slot.userspace_addr:#x}, flags {flag_names(slot.flags) if slot.flags else 0}"
    )


def _strip(what: str, x: int, y: int, width: int, band: int) -> str:
    """A bar below the slots where gfns overlap or have lost their memory, with its name where it fits."""
    text = first_that_fits((what, what[:4]), width - 4, _TICK)
    parts = [element("rect", x=x + 1, y=y + 1, width=max(width - 2, 1), height=_STRIP - 3, fill=f"url(#{what})")]
    if text:
        wide = width_of(text, _TICK)
        middle = x + width // 2
        parts.append(element("rect", x=middle - wide // 2 - 2, y=y, width=wide + 4, height=_STRIP - 1, class_="plate"))
        parts.append(element("text", plain(text), x=middle, y=y + 10, class_="bad strip", text_anchor="middle"))
    return "".join(parts)


def _used(panels: list[Panel | Heading], axis: Axis) -> set[str]:
    """What the legend must explain."""
    used = {ALIKE} if any(segment.kind == ALIKE for segment in axis.segments) else set()
    for panel in panels:
        if isinstance(panel, Panel):
            used |= {mark for box in panel.boxes for mark in box.marks}
            used |= ({"overlap"} if panel.overlaps else set()) | ({"unbacked"} if panel.unbacked else set())
    return used


def _legend(used: list[str], right: int) -> _Drawn:
    """What the marks mean: those that there are, in two columns."""
    if not used:
        return _Drawn("", 4)
    parts = [element("path", d=f"M{_MARGIN} 6 H{right}", class_="line")]
    column = (_LABEL + _TRACK) // 2
    for n, what in enumerate(used):
        x, y = _MARGIN + column * (n % 2), 18 + 22 * (n // 2)
        area = {"x": x, "y": y, "width": 30, "height": 14}
        if what == LOST:
            parts.append(element("rect", class_="lost", **area))
        elif what in _PATTERNS:
            parts.append(element("rect", class_="box t0" + ("" if what == INVALID else " wrong"), **area))
            parts.append(element("rect", fill=f"url(#{_PATTERNS[what]})", **area))
        else:
            parts.append(element("rect", fill=f"url(#{what})", **area))
        parts.append(_text(shortened(_LEGEND[what], column - 44, _TEXT), x + 38, y + 11, "ink"))
    return _Drawn("".join(parts), 18 + 22 * ((len(used) + 1) // 2) + 6)
