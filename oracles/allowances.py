# SPDX-License-Identifier: GPL-2.0-only
"""Differences that are there by design. Each has a name and a citation, and is counted whenever it is met."""

from collections.abc import Iterator

from memslots.outcome import Outcome
from oracles.mismatch import Allowance

FEWER_PUBLICATIONS = Allowance(
    "fewer_publications",
    "RFC 9 Sep 2022, patch 9: a list publishes once for each DELETE and MOVE and once at its end, so generations grow"
    " less than one at a time",
)
PUBLICATIONS_OF_A_REFUSED_LIST = Allowance(
    "publications_of_a_refused_list",
    "an ideal batched ioctl may publish the INVALID slots and take them back (contract I3), while one at a time"
    " nothing is taken back: generations of a refused list say nothing",
)
ALLOWANCES = (FEWER_PUBLICATIONS, PUBLICATIONS_OF_A_REFUSED_LIST)


def allowed(reference: Outcome, outcome: Outcome) -> Iterator[Allowance]:
    """The allowances that this pair of outcomes makes use of."""
    if outcome.generation == reference.generation or outcome.ended != "returned":
        return
    if reference.value:
        yield PUBLICATIONS_OF_A_REFUSED_LIST
    elif _fewer(reference, outcome):
        yield FEWER_PUBLICATIONS


def _fewer(reference: Outcome, outcome: Outcome) -> bool:
    return (
        outcome.publications is not None
        and reference.publications is not None
        and outcome.publications < reference.publications
    )
