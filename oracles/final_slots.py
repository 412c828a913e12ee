# SPDX-License-Identifier: GPL-2.0-only
"""The slots that are active when the call has returned must be those that the reference makes right."""

from collections.abc import Iterator

from memslots.jsonl import json_of_sets
from memslots.outcome import UNSEEN, Outcome
from oracles.mismatch import Mismatch
from oracles.policy import Policy, expected_active

NEEDS = frozenset(("ended", "active"))


def final_slots(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """At most one mismatch. A call that did not return has no final state; a corrupt one does not vouch for it.

    Nor is one judged that a real kernel would not show: it keeps a lock that every question needs.
    """
    if outcome.ended != "returned" or outcome.corrupt or outcome.active == UNSEEN:
        return
    expected = expected_active(reference, policy)
    if outcome.active != expected:
        yield Mismatch(
            "final_slots",
            "",
            {"policy": policy.value, "expected": json_of_sets(expected), "got": json_of_sets(outcome.active)},
        )
