# SPDX-License-Identifier: GPL-2.0-only
"""What a strict list ioctl refuses for its form, whatever slots there are (contract I4), and the serial ioctl does not.

The single ioctl has no header, and neither padding nor invalidate_slot. A strict engine is held to refuse what has no
meaning there, with these errnos and nothing changed: an answer of its own is right nowhere else.
"""

from errno import E2BIG, EINVAL
from typing import NamedTuple

from memslots.case import Case
from memslots.outcome import Change, Event, Outcome
from memslots.region import NO_PADDING
from memslots.uapi import KVM_MEM_SLOTS_NUM
from oracles.allowances import ENTRY_FORM_REFUSED, HEADER_FLAGS_REFUSED, LONG_LIST_REFUSED
from oracles.injected import met_first
from oracles.mismatch import Allowance

FORM = (HEADER_FLAGS_REFUSED, LONG_LIST_REFUSED, ENTRY_FORM_REFUSED)
"""The allowances of this file."""

_MOST_ENTRIES = 2 * KVM_MEM_SLOTS_NUM


class FormRefusal(NamedTuple):
    """What a strict engine must answer: an errno at an entry, or at none where the header is refused."""

    allowance: Allowance
    errno: int
    entry: int | None = None


def form_refusal(case: Case, reference: Outcome) -> FormRefusal | None:
    """What in the form of this list must be refused that the reference lets pass, or refuses later or otherwise."""
    if case.header_flags:
        return FormRefusal(HEADER_FLAGS_REFUSED, EINVAL)
    if case.entries > _MOST_ENTRIES:
        return FormRefusal(LONG_LIST_REFUSED, E2BIG)
    errnos = reference.entry_errnos or ()
    first = next((i for i, errno in enumerate(errnos) if errno), None)
    looked_at = case.entries if first is None else first + 1
    for i, region in enumerate(case.apply[:looked_at]):
        if region.invalidate_slot > 1 or region.padding != NO_PADDING:
            alike = i == first and reference.errno == EINVAL
            return None if alike else FormRefusal(ENTRY_FORM_REFUSED, EINVAL, i)
    return None


def fails_before(case: Case, reference: Outcome, outcome: Outcome, refusal: FormRefusal) -> bool:
    """Whether the engine has met a failure before it could look at what is to be refused.

    The header is there after the first copy; the entries after all copies and arrays. Who goes from entry to entry may
    meet a failure (of an arch that is asked for its consent) at one where the reference does, before the next's form.
    """
    first = met_first(outcome)
    if first is None:
        return False
    if refusal.entry is None:
        return first.kind == "copy" and dict(case.faults).get("copy") == 0
    if first.kind in ("copy", "array"):
        return True
    there = met_first(reference)
    return there is not None and there.entry is not None and there.entry < refusal.entry


def as_refused(reference: Outcome, refusal: FormRefusal) -> Outcome:
    """The reference, as if it had refused the form: with that errno at that entry, and nothing changed."""
    entry = refusal.entry
    return reference._replace(
        value=-1,
        errno=refusal.errno,
        entry_errnos=() if entry is None else (*(0,) * entry, refusal.errno),
        active=reference.before,
        at_first_refusal=reference.before,
        mishaps=(Event("refuse", "", entry or 0, Change.UNKNOWN),),
    )
