# SPDX-License-Identifier: GPL-2.0-only
"""What a call publishes, set after set, as long as that is not too much to hold."""

from memslots.outcome import Publication
from memslots.slot import SlotSet

MOST_SLOTS = 1 << 20
"""How many slots all publications of a call may have together: 10,000 DELETEs of 10,000 slots would have 10^8."""


class Published:
    """The publications of one call, in order."""

    __slots__ = ("_publications", "_slots")

    def __init__(self) -> None:
        self._publications: list[Publication] = []
        self._slots = 0

    @property
    def too_much(self) -> bool:
        """Whether it was given up: nothing more need be told."""
        return self._slots > MOST_SLOTS

    def add(self, as_id: int, slots: SlotSet, inhibited: bool = False) -> None:
        """A set that is active from now on."""
        self._slots += len(slots)
        if self._slots > MOST_SLOTS:
            self._publications.clear()
            return
        self._publications.append(tuple.__new__(Publication, (as_id, slots, inhibited)))

    def all(self) -> tuple[Publication, ...] | None:
        """All of them, or None: too much to hold."""
        return None if self._slots > MOST_SLOTS else tuple(self._publications)
