# SPDX-License-Identifier: GPL-2.0-only
"""Happenings split into lists: what a VMM would have sent in one go. No update is lost, repeated or reordered."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fuzz.traces.happening import Gone, Happening, Marker, Update
from memslots.errors import BadInput

DEFAULT_GAP = 0.010
"""In seconds; docs/recordings.md has what it was chosen from."""
MOST_UPDATES = 40_000
"""More than there are ids: a list that grows beyond it is cut."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """Where a list ends. `gap` is in seconds; None stands for the default, which markers put out of force."""

    gap: float | None = None
    deletions_first: bool = False
    """Whether a DELETE behind anything else begins a new list. In each address space QEMU deletes, then creates."""


class Transaction(NamedTuple):
    """One list of one VM, never empty."""

    vm: int
    updates: tuple[Update, ...]


@dataclass(slots=True)
class _Open:
    """A list that may grow."""

    updates: list[Update] = field(default_factory=list)
    beyond_deletions: set[int] = field(default_factory=set)
    """The address spaces in which it holds more than DELETEs."""


def transactions(path: str, happenings: Iterable[Happening], splitting: Splitting) -> Iterator[Transaction | Gone]:
    """The lists of every VM as they end. Raises BadInput where nothing could tell one list from the next."""
    open_lists: dict[int, _Open] = {}
    marked = False
    for happening in happenings:
        match happening:
            case Marker():
                marked = True
                yield from _closed(open_lists)
            case Gone(vm):
                yield from _closed({vm: open_lists.pop(vm, _Open())})
                yield happening
            case Update():
                if happening.seconds is None and not marked:
                    raise BadInput(
                        f"{path}:{happening.lineno}: no time, and no marker before it: expected a recording with times"
                        " (strace -ttt, qemu -msg timestamp=on), or one that --marker TEXT splits"
                    )
                gap = DEFAULT_GAP if splitting.gap is None and not marked else splitting.gap
                current = open_lists.get(happening.vm)
                if current is not None and _begins_anew(current, happening, gap, splitting.deletions_first):
                    yield from _closed({happening.vm: open_lists.pop(happening.vm)})
                current = open_lists.setdefault(happening.vm, _Open())
                current.updates.append(happening)
                if happening.region.memory_size:
                    current.beyond_deletions.add(happening.region.as_id)
    yield from _closed(open_lists)


def _begins_anew(current: _Open, update: Update, gap: float | None, deletions_first: bool) -> bool:
    if len(current.updates) >= MOST_UPDATES:
        return True
    before = current.updates[-1].seconds
    # A clock that was set back tells of no gap.
    if gap is not None and update.seconds is not None and before is not None and update.seconds - before > gap:
        return True
    return deletions_first and not update.region.memory_size and update.region.as_id in current.beyond_deletions


def _closed(open_lists: dict[int, _Open]) -> Iterator[Transaction]:
    """The lists, in the order in which they began, which are open no more."""
    for vm, current in open_lists.items():
        if current.updates:
            yield Transaction(vm, tuple(current.updates))
    open_lists.clear()
