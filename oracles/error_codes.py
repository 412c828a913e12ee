# SPDX-License-Identifier: GPL-2.0-only
"""The call must answer what the reference answers at its first refusal, or 0, and refuse the same entry."""

from collections.abc import Iterator

from memslots.outcome import Outcome
from oracles.mismatch import Mismatch
from oracles.policy import Policy

NEEDS = frozenset(("ended", "value", "errno"))


def error_codes(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """At most one mismatch. A call that did not return answered nothing: that is for `survival`.

    Which entry is refused is compared where both tell. Where an engine fails at an entry of its own, the reference is
    made to tell none (`injected.as_failed`): when an engine allocates what an entry needs is its own affair.
    """
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
        return
    ours, theirs = _refused_entry(outcome), _refused_entry(reference)
    if ours != theirs and None not in (outcome.entry_errnos, reference.entry_errnos):
        yield Mismatch("error_codes", "index", {"expected": theirs, "got": ours})


def _refused_entry(outcome: Outcome) -> int | None:
    """The index of the first entry that was refused, as far as the outcome tells."""
    return next((i for i, errno in enumerate(outcome.entry_errnos or ()) if errno), None)
