# SPDX-License-Identifier: GPL-2.0-only
"""The call must return."""

from collections.abc import Iterator

from memslots.outcome import Outcome
from oracles.mismatch import Mismatch
from oracles.policy import Policy

NEEDS = frozenset(("ended", "kind"))


def survival(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """At most one mismatch."""
    if outcome.ended != "returned":
        yield Mismatch("survival", "", {"ended": outcome.ended, "kind": outcome.kind})
