# SPDX-License-Identifier: GPL-2.0-only
"""What a vCPU saw while a list was applied: what each access came to, and how often."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from engines.real.vcpu import Access, Exit

KINDS = ("read", "write", "fetch")
RIGHT, HOLE, BUG, ERROR, OTHER = "right", "hole by design", "lost backing", "internal error", "other data"
SEEN = (RIGHT, HOLE, BUG, ERROR, OTHER)
"""What an access can come to: the word of before or after the list; no memory where there is none before or after;
no memory where there is memory before and after; the same for a fetch; another page than that of before or after."""
BUGS = (BUG, ERROR, OTHER)


class Backing(NamedTuple):
    """The word of the page that a read or fetch reaches, and of the one that a write does; None: no memory, an MMIO."""

    read: int | None
    written: int | None

    def word(self, kind: str) -> int | None:
        """The word for this kind of access."""
        return self.written if kind == "write" else self.read


class Place(NamedTuple):
    """A gfn, and what is behind it before and after the list."""

    gfn: int
    before: Backing
    after: Backing

    def words(self, kind: str) -> set[int | None]:
        """What an access may meet while the list is applied."""
        return {self.before.word(kind), self.after.word(kind)}

    def stays(self) -> bool:
        """Whether there is memory before and after, for some kind of access: that can be lost in between."""
        return any(None not in self.words(kind) for kind in KINDS)


@dataclass(slots=True)
class Witnessed:
    """What was seen. `counts` has, for each kind of access and what it came to, how often during the list."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    """How often each gfn was seen without memory that it has before and after."""
    rounds: int = 0
    retries: int = 0
    outside: int = 0
    """Accesses between the lists, where nothing changes."""
    wrong_outside: int = 0
    emulated: bool = False
    """Whether KVM emulates real mode: to that vCPU a slot is gone while it is INVALID."""
    finding: str = ""
    """What else the kernel did that it should not: it answered otherwise than the model, hung, looped or crashed."""

    @property
    def during(self) -> int:
        """Accesses during the list."""
        return self.counts.total()

    @property
    def bugs(self) -> int:
        """Accesses that no guest should have seen."""
        return sum(n for (_, seen), n in self.counts.items() if seen in BUGS) + self.wrong_outside


def told(kind: str, access: Access, words: set[int | None]) -> str:
    """What an access comes to, where one of `words` may stand (None: no memory). A write brings the word it reached."""
    if access.exit is Exit.DONE:
        return RIGHT if access.word in words else OTHER
    if access.exit is Exit.MMIO or (kind == "fetch" and access.exit is Exit.INTERNAL_ERROR):
        if None in words:
            return HOLE
        return ERROR if access.exit is Exit.INTERNAL_ERROR else BUG
    return ERROR
