# SPDX-License-Identifier: GPL-2.0-only
"""What the short cut of the list ioctl is made of: its sets without pointers, its steps, and how it ends.

Named after what they stand for in `kernel.py` and `rfc_v1.py`, where the reasons and the "sic" are.
"""

from errno import EEXIST, EINVAL, EIO

from engines.simulated.checks import REFUSED, refusal
from engines.simulated.plain import CREATE, DELETE, FLAGS_ONLY, MOVE, NO_OP, UNKNOWN, PlainVm
from engines.simulated.plain_memory import PlainMemory
from engines.simulated.plain_memslots import PlainMemslots, walk_since
from engines.simulated.published import Published
from memslots.case import Case
from memslots.outcome import Change, Event, Outcome
from memslots.region import Region
from memslots.slot import Slot, SlotSets, slot_of
from memslots.uapi import KVM_MEM_READONLY, KVM_MEMSLOT_INVALID

Entry = tuple[Change, Slot | None, Slot | None, Slot | None]
"""What one request works with: what it asks for, and the slots `old`, `new` and `invalid`."""

Classified = tuple[int, Change, Slot | None, Slot | None]
"""The errno of an entry, what it asks for as far as it was looked at, and the slots `old` and `new`."""


class CannotFollow(Exception):
    """The list does what only a kernel with pointers can follow. Never leaves an engine."""


class PlainKernel:
    """The state of a call without faults on the slots `rest`, which it leaves as they are."""

    __slots__ = (
        "active",
        "arch_lock",
        "batch",
        "case",
        "damage",
        "ended",
        "errno",
        "inactive",
        "kind",
        "memory",
        "mishaps",
        "pages",
        "published",
        "rest",
        "slots_lock",
        "stray",
        "swaps",
        "value",
        "warned",
    )

    def __init__(self, case: Case, rest: PlainVm) -> None:
        self.case = case
        self.rest = rest
        # A set that nobody has edited is shared: an active one with `rest`, an inactive one with the active one.
        self.active = rest.sets.copy()
        self.inactive = self.active
        self.swaps = rest.swaps.copy()
        self.published = Published()
        self.pages = rest.nr_memslot_pages
        self.batch: list[Entry | None] = []
        self.memory = PlainMemory(rest.sets)
        self.mishaps: list[Event] = []
        self.damage: tuple[str, ...] = ()
        self.slots_lock = False
        self.arch_lock: Event | None = None
        self.ended = "returned"
        self.kind: str | None = None
        self.stray = False
        self.warned = False
        self.value = self.errno = 0

    # -- steps -------------------------------------------------------------------------------------------------

    def classified(self, region: Region, sets: list[PlainMemslots], phase: str, i: int) -> Classified:
        """kvm_check_memory_region, looking at `sets`."""
        machine = self.case.machine
        if refusal(machine, region) is not None:
            return REFUSED, UNKNOWN, None, None
        memslots = sets[region.slot >> 16]
        old = memslots.by_id.get(region.slot & 0xFFFF)
        if not region.memory_size:
            if old is None:
                return EINVAL, DELETE, None, None
            if self.pages < old.npages:
                self.warns(phase, i, DELETE)
                return EIO, DELETE, old, None
            return 0, DELETE, old, None
        new = slot_of(region, machine.page_shift)
        _, slot_id, base, npages, hva, flags = new
        change = CREATE
        if old is not None:
            _, _, old_base, old_npages, old_hva, old_flags = old
            if hva != old_hva or npages != old_npages or (flags ^ old_flags) & KVM_MEM_READONLY:
                return EINVAL, UNKNOWN, old, None
            if base == old_base:
                return (0, NO_OP, old, None) if flags == old_flags else (0, FLAGS_ONLY, old, new)
            change = MOVE
        if memslots.another_id_in(slot_id, base, npages):
            return EEXIST, change, old, None
        return 0, change, old, new

    def beyond(self, new: Slot) -> bool:
        """Whether the x86 hook refuses `new`."""
        return new.base_gfn + new.npages - 1 > self.case.machine.max_gfn

    def invalidate(self, old: Slot, i: int, change: Change) -> Slot:
        """The INVALID copy of `old`, published and put into both sets, for entry `i` in the first pass."""
        as_id, slot_id, base, npages, hva, flags = old
        invalid = Slot(as_id, slot_id, base, npages, hva, flags | KVM_MEMSLOT_INVALID)
        self.memory.shares(invalid, old)
        self._own(self.active, as_id, self.rest.sets).replace(invalid)
        if self.swaps[as_id] != self.rest.swaps[as_id]:
            self.mishaps.append(Event("another-window", "P1", i, change))
        self.publishes(as_id)
        return invalid

    def publishes(self, as_id: int) -> None:
        """The active set of this address space has just been swapped in."""
        self.swaps[as_id] += 1
        if not self.published.too_much:
            self.published.add(as_id, self.active[as_id].walk())

    def edit(self, entry: Entry, shared: list[PlainMemslots]) -> None:
        """The change of an entry in the inactive set, which is none of `shared` from now on."""
        change, old, new, invalid = entry
        either = old or new
        assert either is not None
        memslots = self._own(self.inactive, either.as_id, shared)
        if invalid is not None:
            memslots.remove(invalid)
            if new is not None:
                if new.base_gfn in memslots.by_base:
                    raise CannotFollow  # BUG
                memslots.insert(new)
        elif new is not None:
            if change is CREATE:
                memslots.insert(new)
            else:
                memslots.replace(new)

    def _own(self, sets: list[PlainMemslots], as_id: int, shared: list[PlainMemslots]) -> PlainMemslots:
        """The set of `sets` that is about to be edited: a copy if it stands in `shared`, too."""
        memslots = sets[as_id]
        if memslots is shared[as_id]:
            memslots = sets[as_id] = memslots.copy()
        return memslots

    # -- how the call ends -------------------------------------------------------------------------------------

    def refused(self, errno: int, phase: str, i: int, change: Change) -> bool:
        """The call returns here: -errno, or 1 for the no-op that the first pass meets."""
        self.mishaps.append(Event("refuse", phase, i, change))
        self.value = -1 if errno else 1
        self.errno = errno
        return False

    def warns(self, phase: str, i: int, change: Change) -> None:
        """A WARN fires."""
        self.mishaps.append(Event("warn", phase, i, change))
        self.warned = True

    def hangs(self, phase: str, i: int, change: Change) -> bool:
        """The call waits for slots_arch_lock, which it holds."""
        self.slots_lock = True
        return self.ends("hung", None, phase, i, change)

    def ends(self, ended: str, kind: str | None, phase: str, i: int, change: Change) -> bool:
        """The call never returns: `ended` and `kind` are those of `Outcome`."""
        self.mishaps.append(Event(ended, phase, i, change))
        self.ended = ended
        self.kind = kind
        return False

    def outcome(self, before: SlotSets) -> Outcome:
        """What is left of the call, which found `before`."""
        returned = self.ended == "returned"
        active = self.walk(before)
        spaces = len(active)
        return Outcome(
            self.ended,
            active,
            before,
            self.kind,
            self.value if returned else None,
            self.errno if returned else None,
            None,
            None,
            active if self.inactive is self.active else walk_since(self.active, active, self.inactive),
            tuple([as_id + n * spaces for as_id, n in enumerate(self.swaps)]),
            self.slots_lock,
            self.arch_lock is not None,
            self.pages,
            self.damage,
            False,
            False,
            self._leaked() if returned and self.value else 0,
            self.warned,
            sum(self.swaps) - sum(self.rest.swaps),
            tuple(self.mishaps),
            None,
            self.published.all(),
            self.case.machine.page_size,
        )

    def walk(self, before: SlotSets) -> SlotSets:
        """What readers see of the sets, where they saw `before` at rest: what they see changes with a swap only."""
        if self.swaps == self.rest.swaps:
            return before
        return walk_since(self.rest.sets, before, self.active)

    def _leaked(self) -> int:
        """How much of what the call has worked with nobody reaches."""
        slots = [slot for entry in self.batch if entry for slot in entry[1:] if slot is not None]
        return self.memory.leaked(slots, [*self.active, *self.inactive]) if slots else 0
