# SPDX-License-Identifier: GPL-2.0-only
"""A memory map as SVG: what was there before, what each engine left, and what readers saw on the way.

All panels of an address space share one gfn axis and stand one below the other, so that the eye finds what differs.
Nothing is told by colour alone, no text is wider than the place it stands in, and equal input makes equal text.
"""

from collections.abc import Iterator, Mapping

from memslots.case import Case
from memslots.outcome import Outcome
from memslots.uapi import KVM_MEMSLOT_INVALID, flag_names
from oracles.policy import Policy
from reports.ending import ending_words
from reports.gfn_axis import ALIKE, GAP, Axis, Segment, axis_of, lanes_of
from reports.held_to import Held, answer_words
from reports.map_frame import (
    LABEL,
    LEGEND,
    LINE,
    MARGIN,
    PATTERNS,
    TEXT,
    TICK,
    TRACK,
    Drawn,
    head,
    heading,
    legend,
    text_at,
    ticks,
)
from reports.map_panels import INVALID, LEFT, LOST, Box, Heading, Panel, panels_of, slot_sets_of
from reports.map_style import TINTS, patterns, style
from reports.news import place_of, slot_name
from reports.svg import ADVANCE, element, first_that_fits, plain, shortened, width_of
from reports.wrapped import wrapped

_LANE = 36
_NO_INITIALS = 30
"""In a narrower box the pattern says more than its initial would, which covers it."""
_INITIALS = {LEFT: "I"}
"""What is not the first letter: that is the one of a slot that is lost."""
_STRIP = 15
_GAP = 10


def svg_map(title: str, case: Case, outcomes: Mapping[str, Outcome], policy: Policy, held: Held) -> str:
    """The whole picture. The first of `outcomes` is the reference's; of all of them the sets are drawn.

    `held` has who is held to something else than the reference.
    """
    endings = {name: ending_words(outcome) for name, outcome in outcomes.items()}
    endings |= {f"right for {name}": f"{other.name}, {answer_words(other)}" for name, other in held.items()}
    parts = [head(title, endings)]
    used: set[str] = set()
    right = MARGIN + LABEL + TRACK
    for as_id in range(case.machine.address_spaces):
        panels = panels_of(as_id, outcomes, policy, case.machine.page_size, held)
        axis = axis_of(slot_sets_of(panels), MARGIN + LABEL, TRACK)
        if axis is None:
            continue
        right = max(right, axis.right)
        used |= _used(panels, axis)
        parts.append(heading(f"address space {as_id}", "head"))
        parts += _space(panels, axis)
    if len(parts) == 1:
        parts.append(heading("No set holds any slot, before, after or on the way.", "soft"))
    parts.append(legend([what for what in LEGEND if what in used], right))
    width = right + MARGIN
    y = MARGIN
    placed: list[str] = []
    for part in parts:
        if part.markup:
            placed.append(element("g", part.markup, transform=f"translate(0,{y})"))
        y += part.height
    content = [
        element("title", plain(title)),
        element("desc", plain("; ".join(f"{name}: {words}" for name, words in endings.items()))),
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


def _space(panels: list[Panel | Heading], axis: Axis) -> Iterator[Drawn]:
    """The panels of one address space below their axis."""
    yield ticks(axis)
    ids = sorted({slot.id for slots in slot_sets_of(panels) for slot in slots})
    tints = {slot_id: n % TINTS for n, slot_id in enumerate(ids)}
    for panel in panels:
        yield heading(panel.text, "soft") if isinstance(panel, Heading) else _panel(panel, axis, tints)


def _panel(panel: Panel, axis: Axis, tints: Mapping[int, int]) -> Drawn:
    """One set: its name and what is new on the left, its slots on the right."""
    slots = [box.slot for box in panel.boxes]
    lanes = lanes_of(slots)
    band = _LANE * (max(lanes, default=0) + 1)
    strips = [(what, ranges) for what, ranges in (("overlap", panel.overlaps), ("unbacked", panel.unbacked)) if ranges]
    per_line = int((LABEL - 14) / (TEXT * ADVANCE))
    notes = [line for note in panel.notes for line in wrapped(note, per_line)]
    label = [text_at(shortened(panel.title, LABEL - 14, TEXT), MARGIN, 13, "name")]
    label += [
        text_at(shortened(note, LABEL - 14, TEXT), MARGIN, 13 + LINE * n, "soft") for n, note in enumerate(notes, 1)
    ]
    height = max(band + _STRIP * len(strips), LINE * (len(notes) + 1))
    marks = [_track(segment, band) for segment in axis.segments]
    for box, lane in zip(panel.boxes, lanes, strict=True):
        for x, width in axis.spans(box.slot.base_gfn, box.slot.end_gfn):
            marks.append(_box(box, tints[box.slot.id], x, lane * _LANE, width))
    for n, (what, ranges) in enumerate(strips):
        for first, end in ranges:
            for x, width in axis.spans(first, end):
                marks.append(_strip(what, x, band + n * _STRIP, width, band))
    return Drawn("".join([*label, *marks]), height + _GAP)


def _track(segment: Segment, band: int) -> str:
    if segment.kind == ALIKE:
        text = first_that_fits((f"{segment.ranges} alike", f"{segment.ranges}"), segment.width - 6, TICK)
        middle = segment.x + segment.width // 2
        wide = width_of(text, TICK)
        return (
            element("rect", x=segment.x, y=0, width=segment.width, height=band, fill="url(#alike)")
            + element("rect", x=middle - wide // 2 - 2, y=band // 2 - 8, width=wide + 4, height=15, class_="plate")
            + text_at(text, middle, band // 2 + 4, "tick", "middle")
        )
    if segment.kind == GAP:
        return element("path", d=f"M{segment.x} {band // 2} h{segment.width}", class_="line", stroke_dasharray="2 4")
    return element("rect", x=segment.x, y=0, width=segment.width, height=band, class_="track")


def _box(box: Box, tint: int, x: int, y: int, width: int) -> str:
    """One slot, or the place of one that is lost: as much of what is to be said as fits."""
    slot = box.slot
    x, y, width, height = x + 1, y + 2, max(width - 2, 1), _LANE - 4
    area = {"x": x, "y": y, "width": width, "height": height, "rx": 2}
    lost = LOST in box.marks
    marks = [mark for mark in box.marks if mark != LOST]
    wrong = " wrong" if marks and marks != [INVALID] else ""
    parts = [element("title", plain(_in_words(box)))]
    parts.append(element("rect", class_="lost" if lost else f"box t{tint}{wrong}", **area))
    # Of several patterns each has a band of its own: one on the other, neither can be told.
    band = height // max(len(marks), 1)
    for n, mark in enumerate(marks):
        parts.append(element("rect", fill=f"url(#{PATTERNS[mark]})", **area | {"y": y + n * band, "height": band}))
    name = slot_name(slot)
    said = " ".join(["lost"] if lost else marks)
    flags = flag_names(slot.flags & ~KVM_MEMSLOT_INVALID) if slot.flags & ~KVM_MEMSLOT_INVALID else ""
    initials = "".join(_INITIALS.get(mark, mark[0].upper()) for mark in (["lost"] if lost else marks))
    initials = initials if width > _NO_INITIALS else ""
    top = first_that_fits((name, str(slot.id)), width - 8, TEXT)
    hva = f"hva {slot.userspace_addr:#x}"
    if said:
        more = () if lost else (f"{said} {hva} {flags}".rstrip(), f"{said} {hva}")
        bottom = first_that_fits((*more, said, *marks, initials), width - 8, TEXT)
    else:
        bottom = first_that_fits((f"{hva} {flags}" if flags else hva, flags, "flags" if flags else ""), width - 8, TEXT)
    class_ = "bad" if lost else "ink"
    plated = bool(marks)
    for text, baseline in ((top, y + 13), (bottom, y + 27)):
        if text:
            wide = width_of(text, TEXT)
            if plated:
                parts.append(element("rect", x=x + 3, y=baseline - 10, width=wide + 3, height=13, class_="plate", rx=2))
            parts.append(text_at(text, x + 4, baseline, class_))
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
    text = first_that_fits((what,), width - 8, TICK)
    parts = [element("rect", x=x + 1, y=y + 1, width=max(width - 2, 1), height=_STRIP - 3, fill=f"url(#{what})")]
    if text:
        wide = width_of(text, TICK)
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
