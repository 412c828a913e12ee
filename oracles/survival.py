# SPDX-License-Identifier: GPL-2.0-only
"""The call must return."""

from collections.abc import Iterator

from memslots.outcome import Outcome
from oracles.mismatch import Mismatch
from oracles.policy import Policy

NEEDS = frozenset(("ended", "kind"))


def survival(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """At most one mismatch. Nothing is said of a call that was not followed to its end (`unknown`)."""
    if outcome.ended not in ("returned", "unknown"):
        yield Mismatch("survival", "", {"ended": outcome.ended, "kind": outcome.kind})
