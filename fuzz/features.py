# SPDX-License-Identifier: GPL-2.0-only
"""What makes a case interesting to a coverage-guided fuzzer: features of what the engines did, not of their bytecode.

Tracing the bytecode of the engines costs several times what running them costs, and tells less: that an entry was
refused in the second pass after a publication is a path through the kernel's code, not through ours.
"""

from memslots.case import Case
from memslots.outcome import Outcome

COUNTERS = 4096
"""How many features are told apart; more than that share places."""

BLOCKS = 1 << 14
"""So many places there are for basic blocks of a kernel tree, and how often they were run."""
_HOW_OFTEN = bytes(
    0 if n == 0 else 1 << next(i for i, most in enumerate((1, 2, 3, 7, 15, 31, 127, 255)) if n <= most)
    for n in range(256)
)
"""A bit for each of libFuzzer's eight answers to how often something was run."""


class NewBlocks:
    """What a kernel tree's code has run that no case before has: basic blocks, and how often each."""

    def __init__(self) -> None:
        self._known = 0

    def of(self, ran: bytes) -> list[int]:
        """Numbers below BLOCKS for what is new in this case, each given out once.

        What is known already is left out: a case runs hundreds of blocks, and only the new ones make it worth keeping.
        """
        new = int.from_bytes(ran.translate(_HOW_OFTEN), "little") & ~self._known
        self._known |= new
        found: list[int] = []
        while new:
            least = new & -new
            found.append((least.bit_length() - 1) % BLOCKS)
            new ^= least
        return found


class Features:
    """Numbers for features, given out as they are met."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def of(self, case: Case, reference: Outcome, outcome: Outcome) -> set[int]:
        """The features of a trial, each below COUNTERS."""
        found: set[int] = set()
        numbers = self._numbers

        def met(feature: object) -> None:
            found.add(numbers.setdefault(feature, len(numbers) % COUNTERS))

        met((outcome.ended, outcome.kind, outcome.value, outcome.errno, reference.errno))
        met(("publications", min(outcome.publications or 0, 8), bool(outcome.leaked), outcome.damage))
        last: object = None
        for mishap in outcome.mishaps or ():
            this = (mishap.kind, mishap.phase, mishap.change)
            met(this)
            met((last, this))
            last = this
        before: object = None
        slot = -1
        errnos = reference.entry_errnos or ()
        for region, errno in zip(case.apply, errnos, strict=False):
            now = (region.flagged, region.memory_size == 0, errno, region.slot == slot, region.slot >> 16)
            met((before, now))
            before, slot = now, region.slot
        return found
