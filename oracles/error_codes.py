# SPDX-License-Identifier: GPL-2.0-only
"""The call must answer what the reference answers at its first refusal, or 0."""

from collections.abc import Iterator

from memslots.outcome import Outcome
from oracles.mismatch import Mismatch
from oracles.policy import Policy

NEEDS = frozenset(("ended", "value", "errno"))


def error_codes(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """At most one mismatch. A call that did not return answered nothing: that is for `survival`."""
    if outcome.ended != "returned":
        return
    if (outcome.value, outcome.errno) != (reference.value, reference.errno):
        yield Mismatch(
            "error_codes",
            "",
            {
                "expected": {"value": reference.value, "errno": reference.errno},
                "got": {"value": outcome.value, "errno": outcome.errno},
            },
        )
