# SPDX-License-Identifier: GPL-2.0-only
"""Whether a list may be tried on the kernel that runs here: it may hang, crash or corrupt that kernel."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from memslots.errors import Withheld

GUEST = "SAMESLOTS_GUEST"
"""Set to 1 in its environment by whoever boots a guest that may be lost: `sameslots guest`."""
DISPOSABLE = "SAMESLOTS_DISPOSABLE"
"""Set to 1 by --this-machine-is-disposable, for this process and its workers."""
OPTION = "--this-machine-is-disposable"


def permitted() -> None:
    """Return if it may. Raises Withheld, with how to ask for it."""
    if "1" not in (os.environ.get(GUEST), os.environ.get(DISPOSABLE)):
        raise Withheld(
            "kvm-list may hang or crash the kernel it runs on: expected a guest (`sameslots guest KERNEL -- ...`,"
            f" docs/guest.md), or {OPTION}"
        )


@contextmanager
def granted() -> Iterator[None]:
    """A stretch in which it may."""
    before = os.environ.get(DISPOSABLE)
    os.environ[DISPOSABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[DISPOSABLE]
        else:
            os.environ[DISPOSABLE] = before
