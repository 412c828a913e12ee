# SPDX-License-Identifier: GPL-2.0-only
"""What an engine vouches for after it has applied a case."""

from enum import Enum
from typing import NamedTuple

from memslots.slot import SlotSet, SlotSets


class Change(Enum):
    """What a request asks for: enum kvm_mr_change, and the two answers that come before it is known."""

    CREATE = 0
    DELETE = 1
    MOVE = 2
    FLAGS_ONLY = 3
    NO_OP = 4
    """The slot is already as asked."""
    UNKNOWN = 5
    """Refused before it was looked up."""


GIVEN, AFTERWARDS = "given", "afterwards"
"""The phases of what a real kernel's log says before the call, while `given` is applied, and after it."""


class Event(NamedTuple):
    """One step of an engine. `entry` counts from 0.

    `phase` is P1, P2 or P3 of the list ioctl, del or add of a commit of QEMU's, empty for the single ioctl.

    The kinds of a mishap: refuse, warn, stray (an edit of a set that does not hold the object, or holds it already),
    damage (a memory error), injected (a fault of the case is met; `detail` is its kind), unnoticed (an allocation that
    failed), early-publish (of half a list), another-window (INVALID slots, published where a set had some before), lock
    (taken here and never released), hung, crashed, looped, log (what else a real kernel's log says). Kinds of
    recorded events besides: lock, unlock, alloc, alloc failed, free, replace, publish.
    """

    kind: str
    phase: str
    entry: int
    change: Change
    detail: str = ""


class Publication(NamedTuple):
    """The active set of one address space as readers find it once it has been swapped in; INVALID is kept in flags.

    `inhibited`: no reader ran while it stood.
    """

    as_id: int
    slots: SlotSet
    inhibited: bool = False


UNSEEN: SlotSets = ()
"""`active` where nobody could look: no address space at all, which no machine has."""


class Outcome(NamedTuple):
    """What an engine saw. A field that an engine does not show is None; `active` is UNSEEN then.

    A named tuple for the reason that `Region` is one. Field by field it is the OUTCOME of the JSON contract;
    `before` (the active sets when the call began), `mishaps`, `events` and `published` are for oracles and reports:
    mishaps are the events that no smooth update has (see `Event`), there in every outcome of an engine that knows of
    them; `published` has every set that the call has made active, in order, and is None, too, where that would be too
    much to hold. `page_size` is what a gfn's userspace_addr goes by. `incomplete` counts linked slot objects that lack
    what a slot has: a place in each index of the set, arch arrays, a dirty bitmap if it logs.

    `ended` is returned, hung (waits for ever for a lock), crashed (see `kind`) or looped (for ever, in corrupt
    structures); or unknown, where the engine was told not to follow sets that have gone astray. `value` and `errno`
    are None unless it returned. `entry_errnos` has one errno for each entry tried. `at_first_refusal` is what was
    active right after the first refused entry.
    """

    ended: str
    active: SlotSets
    before: SlotSets
    kind: str | None = None
    value: int | None = None
    errno: int | None = None
    entry_errnos: tuple[int, ...] | None = None
    at_first_refusal: SlotSets | None = None
    inactive: SlotSets | None = None
    generation: tuple[int, ...] | None = None
    slots_lock: bool | None = None
    slots_arch_lock: bool | None = None
    nr_memslot_pages: int | None = None
    damage: tuple[str, ...] | None = None
    dangling: bool | None = None
    corrupt: bool | None = None
    leaked: int | None = None
    warned: bool | None = None
    publications: int | None = None
    mishaps: tuple[Event, ...] | None = None
    events: tuple[Event, ...] | None = None
    published: tuple[Publication, ...] | None = None
    page_size: int | None = None
    incomplete: int | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """The kinds of the case's faults that the call has met, in order, before any set went astray.

        What a call does with such sets, and what it allocates for it, nobody vouches for; who is told not to follow it
        does not know.
        """
        met: list[str] = []
        for event in self.mishaps or ():
            if event.kind == "stray":
                break
            if event.kind == "injected":
                met.append(event.detail)
        return tuple(met)
