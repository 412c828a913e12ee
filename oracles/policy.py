# SPDX-License-Identifier: GPL-2.0-only
"""What a list must leave that the reference refuses."""

from enum import Enum

from memslots.outcome import Outcome
from memslots.slot import SlotSets


class Policy(Enum):
    """`ATOMIC`: the state before it. `PREFIX`: the state that the reference has at its first refusal."""

    ATOMIC = "atomic"
    PREFIX = "prefix"


def expected_active(reference: Outcome, policy: Policy) -> SlotSets:
    """The active sets that the reference makes right under `policy`."""
    if reference.at_first_refusal is None:
        return reference.active
    return reference.before if policy is Policy.ATOMIC else reference.at_first_refusal
