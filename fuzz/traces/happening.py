# SPDX-License-Identifier: GPL-2.0-only
"""What a recording tells, line by line: a VMM's updates, where its transactions begin, and when a VM has gone."""

from collections.abc import Callable
from errno import EEXIST, EINVAL
from typing import NamedTuple

from memslots.region import Region

KVM_MEM_GUEST_MEMFD = 1 << 2
"""A flag of KVM_SET_USER_MEMORY_REGION2: the slot's memory is a guest_memfd. Cases have no word for it yet."""


class Update(NamedTuple):
    """One KVM_SET_USER_MEMORY_REGION, as it was recorded."""

    lineno: int
    """The line that it begins on."""
    seconds: float | None
    """When, on a clock of the recording's own; None if its lines have no time."""
    vm: int
    """Whose: VMs are numbered from 0 as they appear."""
    region: Region
    errno: int | None
    """0 if the kernel took it, its errno if not; None if its answer was never seen."""

    @property
    def accepted(self) -> bool:
        """Whether the kernel took it."""
        return self.errno == 0

    @property
    def answered_by_rule(self) -> bool:
        """Whether any kernel must answer so: taken, or refused for what the request says and what stands.

        Lack of memory, a signal, a bad pointer or another process's VM are refusals that no list can tell.
        """
        return self.errno in (0, EINVAL, EEXIST)


class Marker(NamedTuple):
    """A line that says where a transaction begins."""

    lineno: int


class Gone(NamedTuple):
    """A VM of which nothing more will be heard."""

    vm: int


Happening = Update | Marker | Gone

Warn = Callable[[str], None]
"""Told, one line at a time, what of a recording was passed over that somebody might miss."""
