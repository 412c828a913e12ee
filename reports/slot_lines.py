# SPDX-License-Identifier: GPL-2.0-only
"""Requests and slots as lines for a report: in the kernel's words, as a table where that is narrow enough."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from memslots.outcome import Change
from memslots.region import NO_PADDING, Region
from memslots.slot import Slot, SlotSets
from memslots.uapi import KVM_MEMSLOT_INVALID, flag_names
from reports.news import place_of, slot_name
from reports.wrapped import wrapped

_HEADS = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
_MOST_REQUESTS = 40
_MOST_SLOTS = 16


def request_lines(
    regions: Sequence[Region], asked: Sequence[Change] | None, width: int, at_issue: Collection[int] = ()
) -> list[str]:
    """A line for each request, or more where it is wide; with `asked`, what each entry is and whether it is flagged.

    Of many the first are shown, and those `at_issue`, by their numbers.
    """
    shown = [i for i in range(len(regions)) if i < _MOST_REQUESTS or i in at_issue]
    hidden = len(regions) - len(shown)
    regions = [regions[i] for i in shown]
    rows = [_row(i, region, asked) for i, region in zip(shown, regions, strict=True)]
    heads = (*(("entry", "change") if asked is not None else ("given",)), *_HEADS)
    if asked is not None:
        heads = (*heads, "invalidate_slot")
    more = [f"and {hidden} more"] if hidden else []
    # The last column says of most entries nothing: it stands in a table only where it says something.
    flagged = any(region.invalidate_slot for region in regions)
    table = [row if flagged or asked is None else row[:-1] for row in [heads, *rows]]
    table[0] = tuple({"invalidate_slot": "inv", "entry": "#"}.get(head, head) for head in table[0])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    room = width - sum(widths)
    between = next((blanks for blanks in ("  ", " ") if len(blanks) * (len(widths) - 1) <= room), None)
    if between and not any(region.padding != NO_PADDING for region in regions):
        lines = [between.join(map(str.ljust, row, widths)).rstrip() for row in table]
        if flagged and asked is not None:
            more.append("inv: invalidate_slot")
        return [*lines, *more]
    lines = []
    for row, region in zip(rows, regions, strict=True):
        told = [
            f"{head} {cell}" for head, cell in zip(heads, row, strict=True) if head not in ("entry", "change", "given")
        ]
        if region.padding != NO_PADDING:
            told.append(f"padding {region.padding.rstrip(bytes(1)).hex()}")
        title = f"{heads[0]} {row[0]}{f', {row[1]}' if asked is not None else ''}: "
        lines += wrapped(f"{title}{', '.join(told)}", width, "", "    ")
    return [*lines, *more]


def _row(i: int, region: Region, asked: Sequence[Change] | None) -> tuple[str, ...]:
    slot = f"{region.as_id}:{region.id}" if region.as_id else str(region.id)
    cells = (
        slot,
        flag_names(region.flags) if region.flags else "0",
        *(hex(n) if n else "0" for n in (region.guest_phys_addr, region.memory_size, region.userspace_addr)),
    )
    if asked is None:
        return (str(i), *cells)
    return (str(i), asked[i].name, *cells, str(region.invalidate_slot))


def slot_lines(sets: SlotSets, at_issue: Iterable[Slot], width: int) -> Iterator[str]:
    """A line for each slot of all address spaces; where there are many, only for those at issue."""
    slots = [slot for of_space in sets for slot in of_space]
    shown = slots
    if len(slots) > _MOST_SLOTS:
        issue = set(at_issue)
        shown = [slot for slot in slots if slot in issue][:_MOST_SLOTS]
    for slot in shown:
        yield from wrapped(slot_words_of(slot), width, "", "    ")
    if not slots:
        yield "no slot"
    elif len(shown) < len(slots):
        yield f"and {len(slots) - len(shown)} more"


def slot_words_of(slot: Slot) -> str:
    """`slot 0 INVALID, gfn 0x0..0xf, userspace_addr 0x0, flags READONLY`."""
    invalid = " INVALID" if slot.flags & KVM_MEMSLOT_INVALID else ""
    flags = slot.flags & ~KVM_MEMSLOT_INVALID
    told = f"{slot_name(slot)}{invalid}, gfn {place_of(slot)}, userspace_addr {slot.userspace_addr:#x}"
    return f"{told}, flags {flag_names(flags)}" if flags else told
