# SPDX-License-Identifier: GPL-2.0-only
"""A case: everything that an engine needs to know to apply a list."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat

from memslots.machine import DEFAULT_MACHINE, Machine
from memslots.region import ZERO_REGION, Region

FAULT_KINDS = {
    "copy": "a copy from user space: of the list's header (0) and entries (1), or of each serial request",
    "array": "a temporary array of the list ioctl: entries (0), batch (1), as_to_swap (2)",
    "slot": "a new slot object",
    "invalid": "an INVALID copy",
    "bitmap": "a dirty bitmap",
    "prepare": "the architecture's prepare hook",
}
"""What can be made to fail during the call, by name. Each kind is counted on its own, from 0."""

Faults = tuple[tuple[str, int], ...]
"""(kind, n) pairs sorted by kind: the n-th of that kind within the call fails."""


@dataclass(frozen=True, slots=True)
class Case:
    """One list under test and the state it meets.

    `given` is applied serially first and must be accepted. `nent` is None where the header tells the truth.
    """

    apply: tuple[Region, ...]
    given: tuple[Region, ...] = ()
    machine: Machine = DEFAULT_MACHINE
    nent: int | None = None
    header_flags: int = 0
    faults: Faults = ()

    @property
    def entries(self) -> int:
        """How many entries the header names: the list ioctl's nent."""
        return len(self.apply) if self.nent is None else self.nent

    def named(self) -> Iterator[Region]:
        """The entries that the header names, one at a time: cut at nent, or followed by zero bytes up to it."""
        return islice(chain(self.apply, repeat(ZERO_REGION)), self.entries)
