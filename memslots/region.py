# SPDX-License-Identifier: GPL-2.0-only
"""A request, in the words of the uAPI.

A named tuple and not a dataclass: a campaign makes tens of thousands a second, and making one costs half of
what making a frozen dataclass costs (bench/values.py).
"""

from typing import NamedTuple

from memslots.uapi import PADDING_BYTES, U32, U64

NO_PADDING = bytes(PADDING_BYTES)


class Region(NamedTuple):
    """One request: struct kvm_userspace_memory_region, with the series' entry fields behind it.

    `guest_phys_addr`, `memory_size` and `userspace_addr` are in bytes. Any value that fits its field is legal to
    hold: engines refuse, not the type. `flagged` says what the series makes of `invalidate_slot`.
    """

    slot: int = 0
    flags: int = 0
    guest_phys_addr: int = 0
    memory_size: int = 0
    userspace_addr: int = 0
    invalidate_slot: int = 0
    padding: bytes = NO_PADDING

    @property
    def as_id(self) -> int:
        """The address space asked for: the high half of `slot`."""
        return self.slot >> 16

    @property
    def id(self) -> int:
        """The slot id asked for: the low half of `slot`."""
        return self.slot & 0xFFFF

    @property
    def flagged(self) -> bool:
        """Whether the series takes the entry in its first pass: any non-zero value counts as 1 (patch 9)."""
        return self.invalidate_slot != 0


FIELD_MAXIMA = {
    "slot": U32,
    "flags": U32,
    "guest_phys_addr": U64,
    "memory_size": U64,
    "userspace_addr": U64,
    "invalidate_slot": 255,
}
"""The largest value of each number field. Both forms, text and JSON, check against it."""

ZERO_REGION = Region()
"""64 zero bytes: what a list shorter than its nent reads as. An unflagged DELETE of slot 0."""
