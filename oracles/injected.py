# SPDX-License-Identifier: GPL-2.0-only
"""What is right where a fault of the case strikes: an allocation, a hook or a copy that is made to fail.

Both engines get the same faults, but an engine counts its own allocations and copies: the second copy is the second
request of the single ioctl, and the entries of a list. So a failure may be met by one of the two, or another one.
"""

from collections.abc import Iterator
from errno import EFAULT, ENOMEM
from typing import NamedTuple

from memslots.case import Faults
from memslots.outcome import Outcome
from oracles.mismatch import Mismatch

ERRNOS = {"copy": EFAULT, "array": ENOMEM, "slot": ENOMEM, "invalid": ENOMEM, "bitmap": ENOMEM, "prepare": ENOMEM}
"""What a call answers that meets a failure of this kind."""

_BEFORE_ALL_ENTRIES = frozenset(("copy", "array"))


class Failure(NamedTuple):
    """A failure that a call has met: its kind, and the entry that was being worked on; None if it was none."""

    kind: str
    entry: int | None


def met_first(outcome: Outcome) -> Failure | None:
    """The first failure that the call has met, before any set went astray."""
    if not outcome.failed:
        return None
    event = next(event for event in outcome.mishaps or () if event.kind == "injected")
    return Failure(event.detail, None if outcome.entry_errnos == () else event.entry)


def unasked(faults: Faults, outcome: Outcome) -> Iterator[Mismatch]:
    """No failure may be met that the case does not ask for, nor one twice."""
    left = [kind for kind, _ in faults]
    for kind in outcome.failed:
        if kind not in left:
            yield Mismatch("error_codes", "unasked", {"faults": dict(faults), "failed": list(outcome.failed)})
            return
        left.remove(kind)


def failure_of_its_own(reference: Outcome, outcome: Outcome) -> bool:
    """Whether the engine's first failure is none that the reference has met first, at the same entry, too."""
    own = met_first(outcome)
    return own is not None and own != met_first(reference)


def refused_before(outcome: Outcome, unfailed: Outcome) -> bool:
    """Whether an entry that comes before the engine's first failure is to be refused, whatever fails.

    `unfailed` is the reference without faults. Copies and arrays are a list's own, and come before all entries. Of one
    entry, what is refused before what is allocated is for the reference to tell, if it meets the failure.
    """
    own = met_first(outcome)
    if own is None or own.entry is None or own.kind in _BEFORE_ALL_ENTRIES:
        return False
    refused = next((i for i, errno in enumerate(unfailed.entry_errnos or ()) if errno), None)
    return refused is not None and refused < own.entry


def spared(reference: Outcome, outcome: Outcome) -> bool:
    """Whether the reference alone has met a failure: then a reference without faults says what is right."""
    return bool(reference.failed) and not outcome.failed


def as_failed(reference: Outcome, outcome: Outcome) -> Outcome:
    """The reference, as if it had met the failure that the engine has met first: that errno, and nothing changed."""
    return reference._replace(
        ended="returned",
        value=-1,
        errno=ERRNOS[outcome.failed[0]],
        entry_errnos=None,
        at_first_refusal=reference.before,
        active=reference.before,
    )
