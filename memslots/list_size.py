# SPDX-License-Identifier: GPL-2.0-only
"""How long a list may be for a real kernel, which allocates for as many entries as the header names."""

from memslots.case import Case
from memslots.errors import Unfit
from memslots.uapi import BATCH_BYTES, ENTRY_BYTES

MOST_BYTES = 16 << 20
"""The most that a list may make a kernel allocate: for its entries, and for the batch, which has one for each."""
MOST_ENTRIES = MOST_BYTES // (ENTRY_BYTES + BATCH_BYTES)


def short_enough(case: Case) -> None:
    """Return if the case's list may go to a real kernel as far as its length counts. Raises Unfit."""
    if case.entries > MOST_ENTRIES:
        size = case.entries * (ENTRY_BYTES + BATCH_BYTES)
        raise Unfit(
            f"nent={case.entries}: the kernel would allocate {size >> 20} MiB for it, expected at most"
            f" nent={MOST_ENTRIES} on a real kernel ({MOST_BYTES >> 20} MiB)"
        )
