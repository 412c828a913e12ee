# SPDX-License-Identifier: GPL-2.0-only
"""What an engine is held to where that is not what the reference did with the case, and how to say so."""

from collections.abc import Mapping
from typing import NamedTuple

from memslots.outcome import Outcome
from oracles.bucket import how_ended
from reports.ending import ending_words


class HeldTo(NamedTuple):
    """What is right instead: by name (`serial without the failure`), and why, in a sentence.

    `ran`: the reference came to it by itself, and `outcome` is all its own. Otherwise only answer and slots are told.
    """

    name: str
    why: str
    outcome: Outcome
    ran: bool


Held = Mapping[str, HeldTo]
"""By the name of the engine; those that are held to what the reference did are not there."""


def right_for(engine: str, outcomes: Mapping[str, Outcome], held: Held) -> Outcome:
    """What an engine is held to. The first of `outcomes` is the reference's."""
    other = held.get(engine)
    return next(iter(outcomes.values())) if other is None else other.outcome


def answer_words(held: HeldTo) -> str:
    """How the call is to end. Of what nobody ran there are no publications."""
    return ending_words(held.outcome) if held.ran else how_ended(held.outcome)
