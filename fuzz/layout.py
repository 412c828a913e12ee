# SPDX-License-Identifier: GPL-2.0-only
"""Where in a choice each thing is told: the bits that the grammar reads, its inverse writes and the mutator changes."""

from typing import NamedTuple


class Bits(NamedTuple):
    """So many bits from bit `shift` on."""

    shift: int
    width: int

    @property
    def mask(self) -> int:
        """These bits set."""
        return (1 << self.width) - 1 << self.shift

    def of(self, choice: int) -> int:
        """What these bits of a choice say."""
        return choice >> self.shift & (1 << self.width) - 1

    def saying(self, value: int) -> int:
        """A choice of which these bits say `value`, as far as it fits."""
        return (value & (1 << self.width) - 1) << self.shift


GESTURE = Bits(0, 6)
RIGHT = Bits(6, 6)
SLOT = Bits(12, 3)
SPACE = Bits(15, 2)
BASE = Bits(17, 5)
NPAGES = Bits(22, 3)
FLAGS = Bits(25, 2)
REST = Bits(27, 20)
LONG = Bits(47, 1)
"""Whether npages may be up to 8, or 4: short slots touch and overlap more often."""

GESTURE_FIELDS = (GESTURE, RIGHT, SLOT, SPACE, BASE, NPAGES, FLAGS, REST, LONG)


def spread(choice: int) -> tuple[int, int, int, int, int, int, int, int, int]:
    """What the GESTURE_FIELDS of a choice say, in their order: written out, for it is done for every gesture drawn.

    In two halves, since a shift of a number below 2^30 costs half of what others do.
    """
    low, high = choice & 0x7FF_FFFF, choice >> 27
    return (
        low & 63,
        low >> 6 & 63,
        low >> 12 & 7,
        low >> 15 & 3,
        low >> 17 & 31,
        low >> 22 & 7,
        low >> 25,
        high & 0xFFFFF,
        high >> 20 & 1,
    )


PROFILE = Bits(0, 8)
MACHINE = Bits(8, 3)
GIVEN = Bits(11, 3)
HEADER_KIND = Bits(14, 5)
HEADER_VALUE = Bits(19, 29)

HEAD_FIELDS = (PROFILE, MACHINE, GIVEN, HEADER_KIND, HEADER_VALUE)
"""The first choice of a case: these five."""


def spread_head(head: int) -> tuple[int, int, int, int, int]:
    """What the first choice says of these, in their order: `spread` for a head."""
    return head & 255, head >> 8 & 7, head >> 11 & 7, head >> 14 & 31, head >> 19 & 0x1FFF_FFFF
