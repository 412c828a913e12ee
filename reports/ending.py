# SPDX-License-Identifier: GPL-2.0-only
"""How a call ended and what it left behind besides slots, in words."""

from memslots.outcome import Outcome
from oracles.bucket import how_ended
from reports.answers import before_any_entry


def ending_words(outcome: Outcome) -> str:
    """`EEXIST, leaked 1 object, 1 publication`: the answer first, then all that is known of it."""
    ended = how_ended(outcome)
    text = ended if ended in ("ok", "corrupt") else ended.replace("-", " ", 1)
    if ended == "corrupt":
        text = f"corrupt sets (what they hold is not vouched for), {outcome.ended}"
    locks = [lock for lock in ("slots_lock", "slots_arch_lock") if getattr(outcome, lock)]
    if locks:
        text += f", {' and '.join(locks)} held"
    if outcome.damage:
        text += f", {', '.join(outcome.damage)}"
    if outcome.dangling:
        text += ", a freed object is still linked"
    if outcome.warned:
        text += ", WARN"
    if outcome.leaked:
        text += f", leaked {counted(outcome.leaked, 'object')}"
    if outcome.publications is not None:
        text += f", {counted(outcome.publications, 'publication')}"
    for early in before_any_entry(outcome):
        text += f"; before any entry: {early}"
    return text


def counted(n: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
