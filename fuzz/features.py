# SPDX-License-Identifier: GPL-2.0-only
"""What makes a case interesting to a coverage-guided fuzzer: features of what the engines did, not of their bytecode.

Tracing the bytecode of the engines costs several times what running them costs, and tells less: that an entry was
refused in the second pass after a publication is a path through the kernel's code, not through ours.
"""

from memslots.case import Case
from memslots.outcome import Outcome

COUNTERS = 4096
"""How many features are told apart; more than that share places."""


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
