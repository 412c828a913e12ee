# SPDX-License-Identifier: GPL-2.0-only
"""What every engine is: a name, the facets it can vouch for, and one method; and where engines are had from."""

from typing import Protocol

from memslots.case import Case
from memslots.errors import BadCase
from memslots.machine import Machine
from memslots.outcome import Outcome


class RefusedGiven(BadCase):
    """A `given` region that the serial ioctl refuses: bad input, not a finding."""

    def __init__(self, index: int, errno_name: str) -> None:
        super().__init__(f"given {index}: the serial ioctl refuses it ({errno_name}); given must be accepted")
        self.index = index
        self.errno_name = errno_name


class Engine(Protocol):
    """Someone who can apply a case."""

    @property
    def name(self) -> str:
        """The name in the catalogue, and on the command line."""
        ...

    @property
    def shows(self) -> frozenset[str]:
        """The fields of `Outcome` that this engine vouches for."""
        ...

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`, with its events if `record`.

        Whatever the case holds, a failure of the kernel is an outcome. Raises BadCase for a case that is none.
        """
        ...


class Engines(Protocol):
    """Where engines run: in this process, or in a guest."""

    def named(self, name: str, *, quick: bool = False) -> Engine:
        """An engine of this name. Raises BadInput."""
        ...

    def machine(self, name: str) -> Machine | None:
        """The machine that cases for this engine should be for; None if it takes any. Raises Missing."""
        ...

    def close(self) -> None:
        """Give back what is open."""
        ...
