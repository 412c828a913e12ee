# SPDX-License-Identifier: GPL-2.0-only
"""What every engine is: a name, the facets it can vouch for, and one method."""

from typing import Protocol

from memslots.case import Case
from memslots.errors import BadCase
from memslots.outcome import Outcome


class RefusedGiven(BadCase):
    """A `given` region that the serial ioctl refuses: bad input, not a finding."""

    def __init__(self, index: int, errno_name: str) -> None:
        super().__init__(f"given {index}: the serial ioctl refuses it ({errno_name}); given must be accepted")
        self.index = index


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
