# SPDX-License-Identifier: GPL-2.0-only
"""Differences that are there by design. Each has a name and a citation, and is counted whenever it is met."""

from collections.abc import Iterator

from memslots.outcome import Outcome
from memslots.slot import SlotSets
from oracles.injected import failure_of_its_own
from oracles.mismatch import Allowance
from oracles.policy import Policy
from oracles.visibility import seen_between

FEWER_PUBLICATIONS = Allowance(
    "fewer_publications",
    "RFC 9 Sep 2022, patch 9: a list publishes once for each DELETE and MOVE and once at its end, so generations grow"
    " less than one at a time",
)
PUBLICATIONS_OF_A_REFUSED_LIST = Allowance(
    "publications_of_a_refused_list",
    "one at a time, what stands before the refused entry has been published; a batched ioctl that undoes it may have"
    " published nothing, or INVALID slots and the way back (contract I1, I3): the counts cannot be compared",
)
FAILURE_OF_ITS_OWN = Allowance(
    "failure_of_its_own",
    "batched-rfc-v1.md c.3 P0: a list ioctl copies a header and all entries, and allocates arrays, where one at a time"
    " there is a copy for each request; a failure that it alone meets must be answered with its errno and undone (I1)",
)
HEADER_FLAGS_REFUSED = Allowance(
    "header_flags_refused", "contract I4: unknown header flags are refused (docs/decisions/ideal.md: EINVAL)"
)
LONG_LIST_REFUSED = Allowance(
    "long_list_refused",
    "contract I4: a list is bounded (docs/decisions/ideal.md: more than 65534 entries are E2BIG)",
)
ENTRY_FORM_REFUSED = Allowance(
    "entry_form_refused",
    "contract I4: padding that is not zero and unknown values of invalidate_slot are refused"
    " (docs/decisions/ideal.md: EINVAL)",
)
DELETIONS_FIRST = Allowance(
    "deletions_first",
    "QEMU 8.0, kvm_region_commit: each listener commits its deletions, then its creations, system memory before SMM; a"
    " list in another order may be accepted, or refused elsewhere, and is held to the reference in QEMU's order",
)
PREFIX_LEFT_BEHIND = Allowance(
    "prefix_left_behind",
    "QEMU 8.0, kvm_region_commit: no rollback; what stands before the refused request stays done, as one at a time",
)
SEEN_IN_BETWEEN = Allowance(
    "seen_in_between",
    "QEMU 8.0, kvm_region_commit: single ioctls; where no deleted range meets a created one nobody is inhibited, and"
    " readers see one change after the other",
)
ALLOWANCES = (
    FEWER_PUBLICATIONS,
    PUBLICATIONS_OF_A_REFUSED_LIST,
    FAILURE_OF_ITS_OWN,
    HEADER_FLAGS_REFUSED,
    LONG_LIST_REFUSED,
    ENTRY_FORM_REFUSED,
    DELETIONS_FIRST,
    PREFIX_LEFT_BEHIND,
    SEEN_IN_BETWEEN,
)


def allowed_of_commit(listed: Outcome, in_order: Outcome, outcome: Outcome) -> Iterator[Allowance]:
    """The allowances that a commit of QEMU's makes use of.

    `listed` is the reference on the list as it is given, `in_order` in the order that QEMU gives it. No oracle is told
    of them: each judges by `in_order`, one entry after the other.
    """
    if _ending(listed) != _ending(in_order):
        yield DELETIONS_FIRST
    if outcome.value and outcome.active != outcome.before:
        yield PREFIX_LEFT_BEHIND
    if seen_between(in_order, outcome, Policy.PREFIX):
        yield SEEN_IN_BETWEEN


def _ending(outcome: Outcome) -> tuple[int | None, int | None, SlotSets | None]:
    return outcome.value, outcome.errno, outcome.at_first_refusal or outcome.active


def allowed(reference: Outcome, outcome: Outcome) -> Iterator[Allowance]:
    """The allowances that this pair of outcomes makes use of. What they do not cover, the oracles find."""
    if outcome.mishaps and failure_of_its_own(reference, outcome):
        yield FAILURE_OF_ITS_OWN
    if outcome.generation is None or reference.generation is None:
        return
    if outcome.generation == reference.generation or outcome.ended != "returned" or outcome.corrupt:
        return
    yield PUBLICATIONS_OF_A_REFUSED_LIST if reference.value else FEWER_PUBLICATIONS
