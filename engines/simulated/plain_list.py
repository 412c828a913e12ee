# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl of the RFC without pointers: a short cut for speed that must equal `rfc_v1.ListCall`.

It knows the lists that make no memory error: what is refused, hangs or meets the NULL of a no-op included. Up to the
end of the first pass both sets of an address space hold the same slots, and the third pass repeats on one set what
the second did to the other, so one set a pass is edited where the kernel edits two. An unflagged DELETE or MOVE
publishes in the middle of the second pass, and the two sets go ways of their own: such a list is left to the kernel
with pointers, and so are faults and the rarest endings. The "sic" stand in `rfc_v1.py`.
"""

from errno import EEXIST, EINVAL, EIO

from engines.simulated.checks import REFUSED, refusal
from engines.simulated.plain import CREATE, DELETE, FLAGS_ONLY, MOVE, NO_OP, UNKNOWN, PlainVm
from engines.simulated.plain_memory import PlainMemory
from engines.simulated.plain_memslots import PlainMemslots, walk_since
from memslots.case import Case
from memslots.outcome import Change, Event, Outcome
from memslots.region import ZERO_REGION, Region
from memslots.slot import Slot, SlotSets, slot_of
from memslots.uapi import (
    BATCH_BYTES,
    KMALLOC_MAX_BYTES,
    KVM_MEM_READONLY,
    KVM_MEMSLOT_INVALID,
)

Entry = tuple[Change, Slot | None, Slot | None, Slot | None]
"""What one request works with: what it asks for, and the slots `old`, `new` and `invalid`."""

Classified = tuple[int, Change, Slot | None, Slot | None]
"""The errno of an entry, what it asks for as far as it was looked at, and the slots `old` and `new`."""


class CannotFollow(Exception):
    """The list does what only a kernel with pointers can follow. Never leaves an engine."""


class PlainList:
    """One KVM_SET_USER_MEMORY_REGION_LIST, without faults, on the slots `rest`, which it leaves as they are."""

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

    def run(self) -> None:
        """All three passes, as far as the call gets. Raises CannotFollow."""
        if self.case.entries * BATCH_BYTES > KMALLOC_MAX_BYTES:
            raise CannotFollow
        if self._first_pass() and self._second_pass():
            self._third_pass()
        if self.arch_lock is not None:
            self.mishaps.append(self.arch_lock)

    # -- the passes: each answers whether the call goes on -----------------------------------------------------

    def _first_pass(self) -> bool:
        """Invalidate what the flagged entries delete or move, one publication each."""
        case = self.case
        batch = self.batch
        user_slots = case.machine.user_slots
        for i, region in enumerate(case.apply if case.nent is None else case.apply[: case.nent]):
            if region.slot & 0xFFFF >= user_slots:
                self.slots_lock = True
                return self._refused(REFUSED, "P1", i, UNKNOWN)
            if not region.invalidate_slot:
                batch.append(None)
                continue
            errno, change, old, new = self._classified(region, self.active, "P1", i)
            if errno or change is NO_OP:
                return self._refused(errno, "P1", i, change)
            if change is CREATE or change is FLAGS_ONLY:
                self._warns("P1", i, change)
            if self.arch_lock is not None:
                return self._hangs("P1", i, change)
            if change is DELETE or change is MOVE:
                assert old is not None
                batch.append((change, old, new, self._invalidate(old)))
                continue
            assert new is not None
            batch.append((change, old, new, None))
            if self._beyond(new):
                return self._refused(EINVAL, "P1", i, change)
            self.memory.prepare(old, new)
            self.arch_lock = Event("lock", "P1", i, change)
        if case.entries > len(batch):
            batch.append(None)  # of the entries that nobody has given, the first one ends the call
        return True

    def _second_pass(self) -> bool:
        """Edit the inactive sets. An entry is looked up here unless the first pass has dealt with it."""
        apply = self.case.apply
        spaces = len(self.active)
        self.inactive = self.active.copy()
        for i, invalidated in enumerate(self.batch):
            if invalidated is not None:
                entry = invalidated
            else:
                region = apply[i] if i < len(apply) else ZERO_REGION
                if region.slot >> 16 >= spaces:
                    self.damage = ("out-of-bounds",)
                    self.mishaps.append(Event("damage", "P2", i, UNKNOWN))
                errno, change, old, new = self._classified(region, self.inactive, "P2", i)
                if errno:
                    return self._refused(errno, "P2", i, change)
                self.batch[i] = entry = (change, old, new, None)
                if change is NO_OP:
                    continue
            change, old, new, invalid = entry
            if self.arch_lock is not None:
                return self._hangs("P2", i, change)
            if invalid is None and (change is DELETE or change is MOVE):
                raise CannotFollow  # it is published now
            if new is not None:
                if change is not FLAGS_ONLY and self._beyond(new):
                    if change is MOVE:
                        raise CannotFollow  # it is rolled back
                    return self._refused(EINVAL, "P2", i, change)
                self.memory.prepare(old, new)
            if invalid is not None and not self.inactive[invalid.as_id].holds(invalid):
                self.mishaps.append(Event("stray", "P2", i, change))
                self.stray = True
                return False
            self._edit(entry, self.active)
        return True

    def _third_pass(self) -> bool:
        """Publish each address space once and repeat each change in the set that was active."""
        published: list[int] = []
        lock_taken = 0, UNKNOWN
        for i, entry in enumerate(self.batch):
            assert entry is not None
            change, old, new, _ = entry
            either = old or new
            assert either is not None
            as_id = either.as_id
            if as_id not in published:
                published.append(as_id)
                self.active[as_id], self.inactive[as_id] = self.inactive[as_id], self.active[as_id]
                self.swaps[as_id] += 1
                lock_taken = i, change
            if change is NO_OP:
                self.slots_lock = True
                self.arch_lock = Event("lock", "P3", *lock_taken)
                self._warns("P3", i, change)
                return self._ends("crashed", "null-dereference", "P3", i, change)
            self._edit(entry, self.rest.sets)
            if change is CREATE:
                self.pages += either.npages
            elif change is DELETE:
                self.pages -= either.npages
        return True

    # -- their steps -------------------------------------------------------------------------------------------

    def _classified(self, region: Region, sets: list[PlainMemslots], phase: str, i: int) -> Classified:
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
                self._warns(phase, i, DELETE)
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

    def _beyond(self, new: Slot) -> bool:
        """Whether the x86 hook refuses `new`."""
        return new.base_gfn + new.npages - 1 > self.case.machine.max_gfn

    def _invalidate(self, old: Slot) -> Slot:
        """The INVALID copy of `old`, published and put into both sets."""
        as_id, slot_id, base, npages, hva, flags = old
        invalid = Slot(as_id, slot_id, base, npages, hva, flags | KVM_MEMSLOT_INVALID)
        self.memory.shares(invalid, old)
        self._own(self.active, as_id, self.rest.sets).replace(invalid)
        self.swaps[as_id] += 1
        return invalid

    def _edit(self, entry: Entry, shared: list[PlainMemslots]) -> None:
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

    def _refused(self, errno: int, phase: str, i: int, change: Change) -> bool:
        """The call returns here: -errno, or 1 for the no-op that the first pass meets."""
        self.mishaps.append(Event("refuse", phase, i, change))
        self.value = -1 if errno else 1
        self.errno = errno
        return False

    def _warns(self, phase: str, i: int, change: Change) -> None:
        self.mishaps.append(Event("warn", phase, i, change))
        self.warned = True

    def _hangs(self, phase: str, i: int, change: Change) -> bool:
        """The call waits for slots_arch_lock, which it holds."""
        self.slots_lock = True
        return self._ends("hung", None, phase, i, change)

    def _ends(self, ended: str, kind: str | None, phase: str, i: int, change: Change) -> bool:
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
            walk_since(self.active, active, self.inactive),
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
        )

    def walk(self, before: SlotSets) -> SlotSets:
        """What readers see of the sets, where they saw `before` at rest."""
        return walk_since(self.rest.sets, before, self.active)

    def _leaked(self) -> int:
        """How much of what the call has worked with nobody reaches."""
        slots = [slot for entry in self.batch if entry for slot in entry[1:] if slot is not None]
        return self.memory.leaked(slots, [*self.active, *self.inactive]) if slots else 0


def followed(case: Case, rest: PlainVm) -> PlainList | None:
    """The call that applies the list of `case` to `rest`, run to its end; None where only pointers can follow it."""
    call = PlainList(case, rest)
    try:
        call.run()
    except CannotFollow:
        return None
    return call
