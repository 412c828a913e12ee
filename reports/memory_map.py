# SPDX-License-Identifier: GPL-2.0-only
"""A memory map: what several slot sets hold of one address space, gfn range by gfn range."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from memslots.slot import Slot, SlotSet
from memslots.uapi import flag_names


class Row(NamedTuple):
    """A range of gfns, [first, end), and the slots that each set holds there."""

    first: int
    end: int
    cells: tuple[tuple[Slot, ...], ...]

    @property
    def differs(self) -> bool:
        """Whether the sets do not all hold the same here."""
        return len(set(self.cells)) > 1


def rows_of(sets: Sequence[SlotSet]) -> list[Row]:
    """The map of one address space, from the lowest gfn that some set holds to the highest.

    Rows are cut where a slot of any set begins or ends; gaps that no set fills are rows too.
    """
    slots = {slot for one in sets for slot in one}
    cuts = sorted({gfn for slot in slots for gfn in (slot.base_gfn, slot.end_gfn)})
    by_base = [sorted(one, key=lambda slot: slot.base_gfn) for one in sets]
    open_slots: list[list[Slot]] = [[] for _ in sets]
    rows: list[Row] = []
    for first, end in pairwise(cuts):
        cells: list[tuple[Slot, ...]] = []
        for column, waiting in enumerate(by_base):
            here = [slot for slot in open_slots[column] if slot.end_gfn > first]
            while waiting and waiting[0].base_gfn <= first:
                here.append(waiting.pop(0))
            open_slots[column] = here
            cells.append(tuple(here))
        rows.append(Row(first, end, tuple(cells)))
    return rows


def cell_text(slots: tuple[Slot, ...]) -> str:
    """What one set holds in a range: its slot with its flags, `-` for none, all of them where slots overlap."""
    if not slots:
        return "-"
    text = " + ".join(_slot_text(slot) for slot in slots)
    return f"{text} OVERLAP" if len(slots) > 1 else text


def _slot_text(slot: Slot) -> str:
    return f"slot {slot.id} {flag_names(slot.flags)}" if slot.flags else f"slot {slot.id}"


def folded(rows: Sequence[Row], most: int) -> list[Row | int]:
    """The rows, with runs of rows that do not differ given as their number where there are more than `most` in all."""
    if len(rows) <= most:
        return list(rows)
    result: list[Row | int] = []
    for differs, run in groupby(rows, key=lambda row: row.differs):
        members = list(run)
        result += members if differs or len(members) == 1 else [len(members)]
    return result
