# SPDX-License-Identifier: GPL-2.0-only
"""What is right where a fault of the case strikes: an allocation, a hook or a copy that is made to fail.

Both engines get the same faults, but an engine counts its own allocations and copies: the second copy is the second
request of the single ioctl, and the entries of a list. So a failure may be met by one of the two, or another one.
"""

from errno import EFAULT, ENOMEM

from memslots.outcome import Outcome

ERRNOS = {"copy": EFAULT, "array": ENOMEM, "slot": ENOMEM, "invalid": ENOMEM, "bitmap": ENOMEM, "prepare": ENOMEM}
"""What a call answers that meets a failure of this kind."""


def failure_of_its_own(reference: Outcome, outcome: Outcome) -> bool:
    """Whether the engine's first failure is none that the reference has met first, too."""
    return bool(outcome.failed) and outcome.failed[:1] != reference.failed[:1]


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
