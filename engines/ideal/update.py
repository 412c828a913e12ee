# SPDX-License-Identifier: GPL-2.0-only
"""What a list does to one slot object in the end, however many of its entries are about it."""

from collections.abc import Iterable

from engines.ideal.objects import Area, SlotObject
from engines.ideal.validation import CREATE, DELETE, FLAGS_ONLY, MOVE, NO_OP
from memslots.outcome import Change
from memslots.slot import Slot


class Update:
    """One slot object that goes, comes, or is replaced by another that carries on its life.

    A slot that is deleted and created again is two updates: it is another slot. `wanted` is what the list leaves of
    it, `entry` the last entry that had a part in it. The rest is there once it is allocated: `new` takes the place of
    `old`, `invalid` stands in for `old` where it is deleted or moved, `bitmap` and `arch` are those areas of `new`
    that it does not share with `old`.
    """

    __slots__ = ("arch", "as_id", "bitmap", "change", "entry", "invalid", "new", "old", "wanted")

    def __init__(self, as_id: int, old: SlotObject | None) -> None:
        self.as_id = as_id
        self.old = old
        self.wanted: Slot | None = None
        self.entry = 0
        self.change = NO_OP
        self.new: SlotObject | None = None
        self.invalid: SlotObject | None = None
        self.bitmap: Area | None = None
        self.arch: Area | None = None

    def net_change(self) -> Change:
        """What all entries together change; NO_OP where they cancel out.

        What cannot be changed of a living slot has been validated to be as it was: size, memory, READONLY.
        """
        if self.old is None:
            return NO_OP if self.wanted is None else CREATE
        if self.wanted is None:
            return DELETE
        was = self.old.slot
        if self.wanted[2] != was[2]:
            return MOVE
        return NO_OP if self.wanted[5] == was[5] else FLAGS_ONLY


def address_spaces(updates: Iterable[Update]) -> list[int]:
    """The address spaces of these updates, each once, in their order."""
    return sorted({update.as_id for update in updates})
