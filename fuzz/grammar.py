# SPDX-License-Identifier: GPL-2.0-only
"""The grammar: from a sequence of 48-bit choices to a case, for every sequence there is.

The first choice settles the machine, the profile, what the header says and how many choices are for `given`; each
further one is a gesture: an entry, or the few entries that a VMM sends for one thing. A gesture is resolved against
the slots that are live by then, so most of what comes out is plausible, and changing one choice changes little else.

The sequence comes from a seeded generator, from bytes (`choices.py`) or from Hypothesis (`strategies.py`).
"""

from collections.abc import Sequence
from functools import lru_cache

from engines.simulated.boot import Rest, leaves, rest_of
from engines.simulated.plain import PlainVm
from fuzz.boundaries import at_a_limit
from fuzz.header import faults_of, header_of
from fuzz.layout import spread, spread_head
from fuzz.profiles import Profile, profile
from memslots.case import Case
from memslots.machine import MOST_GFN, PROFILES, Machine, machine_of
from memslots.region import NO_PADDING, Region
from memslots.slot import Slot
from memslots.uapi import (
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
)

CHOICE_BITS = 48
HVA = 0x1000_0000_0000
HVA_STRIDE = 1 << 32
"""How far apart the memory of two ids lies, in bytes."""
MOST_GIVEN = 7

MACHINES: tuple[Machine, ...] = (
    *[PROFILES["linux-6.1"]] * 4,
    machine_of("linux-6.1", {"max_gfn": 0xFFF_FFFF}),
    PROFILES["linux-6.18"],
    machine_of("linux-6.1", {"readonly": 0}),
    # Where the end of memory is where gpa + size wraps; and an odd number of ids, which tells & from <.
    machine_of("linux-6.1", {"max_gfn": MOST_GFN, "user_slots": 32765}),
)


def case_of(choices: Sequence[int], machine: Machine | None = None, machines: Sequence[Machine] = MACHINES) -> Case:
    """The case that the choices spell. Total: any whole numbers of any length make a case; missing ones read as 0.

    They name one of `machines`, of which there are as many as in MACHINES. With `machine` it is one for that machine,
    whatever the choices say of it, and without faults: a machine that is not for the choices to name is a real one,
    and fails when it likes.
    """
    head = choices[0] if choices else 0
    profile_number, machine_number, given_choices, kind, value = spread_head(head)
    real = machine is not None
    machine = machine or machines[machine_number]
    given, rest = _begun(machine, profile_number, tuple(choices[1 : 1 + given_choices]))
    leaves(given, rest)
    grammar = Grammar(profile(profile_number), rest.vm.copy())
    for choice in choices[1 + given_choices :]:
        grammar.add(choice)
    apply = tuple(grammar.regions)
    nent, header_flags = header_of(kind, value, len(apply))
    faults = () if real else faults_of(kind, value)
    return Case(apply, given, machine, None if nent == len(apply) else nent, header_flags, faults)


@lru_cache(maxsize=1024)
def _begun(machine: Machine, profile_number: int, choices: tuple[int, ...]) -> tuple[tuple[Region, ...], Rest]:
    """The `given` that these choices spell, and what it leaves. Kept, since many lists begin alike (`choices.py`)."""
    grammar = Grammar(profile(profile_number), PlainVm(machine))
    for choice in choices:
        grammar.add(choice)
    return grammar.accepted(), rest_of(grammar.vm)


class Grammar:
    """The regions written so far and the slots that are live behind them, as serial would have it."""

    def __init__(self, drawn: Profile, vm: PlainVm) -> None:
        self.machine = vm.machine
        self.profile = drawn
        self.vm = vm
        self.regions: list[Region] = []
        self.errnos: list[int] = []

    def accepted(self) -> tuple[Region, ...]:
        """The regions that serial accepts of those written so far; what follows is another list."""
        given = tuple(
            [
                tuple.__new__(Region, (*region[:5], 0, region.padding)) if region.invalidate_slot else region
                for region, errno in zip(self.regions, self.errnos, strict=True)
                if not errno
            ]
        )
        self.regions = []
        self.errnos = []
        return given

    def add(self, choice: int) -> None:
        """Write the entries that one choice asks for."""
        drawn = self.profile
        which, rightly, slot_id, space, base, longer, flagged, rest, long = spread(choice)
        gesture = drawn.gestures[which]
        right = drawn.flagged_right[rightly]
        slot_id &= drawn.ids - 1
        as_id = 1 if space == 3 and drawn.second_space and self.machine.address_spaces > 1 else 0
        base &= drawn.grid - 1
        flags = drawn.flags[flagged]
        change = _CHANGES.get(gesture)
        if change is not None:
            old = self.vm.sets[as_id].by_id.get(slot_id) or self._any_slot(as_id, slot_id)
            if old is not None:
                change(self, old, base, flags, right, rest)
                return
        elif gesture == "reset":
            self._reset(as_id, right)
            return
        elif gesture == "log all":
            self._log_all(as_id, rest & 1)
            return
        npages = 1 + (longer if long else longer & 3)
        if gesture == "boundary":
            self._at_a_limit(as_id, slot_id, base, npages, flags, right, rest)
        else:
            self._put(as_id, slot_id, base, npages, flags, right, rest)

    # -- gestures --------------------------------------------------------------------------------------------

    def _put(self, as_id: int, slot_id: int, base: int, npages: int, flags: int, right: bool, rest: int) -> None:
        # The lowest bits of what is left: an entry of size 0, another hva, the place of another slot.
        hva = memory_of(as_id, slot_id)
        if rest & 15 == 15:
            npages = 0
        if rest >> 4 & 15 == 15:
            hva += 1 << 20
        if rest >> 8 & 1:
            base = self._beside(as_id, rest >> 9, base, npages)
        self._write(as_id, slot_id, base, npages, hva, flags, right)

    def _at_a_limit(self, as_id: int, slot_id: int, base: int, npages: int, flags: int, right: bool, rest: int) -> None:
        shift = self.machine.page_shift
        plain = Region(as_id << 16 | slot_id, flags, base << shift, npages << shift, memory_of(as_id, slot_id))
        self._append(at_a_limit(self.machine, plain, self.vm.slot(as_id, slot_id), right, rest))

    def _delete(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        self._remove(old, right)

    def _move(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        to = self._beside(old.as_id, rest >> 1, base, old.npages) if rest & 1 else base
        self._create(old, to, old.npages, old.flags if rest >> 6 & 3 else flags, right)

    def _flags(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        wanted = old.flags ^ KVM_MEM_LOG_DIRTY_PAGES if rest & 7 else flags
        self._create(old, old.base_gfn, old.npages, wanted, right)

    def _no_op(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        self._create(old, old.base_gfn, old.npages, old.flags, right)

    def _resize(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        self._remove(old, right)
        self._create(old, old.base_gfn, 1 + (rest & 7), old.flags, True)

    def _toggle(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        self._remove(old, right)
        self._create(old, old.base_gfn, old.npages, old.flags ^ KVM_MEM_READONLY, True)

    def _split(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        self._remove(old, right)
        first = 1 + (rest & 3) % old.npages
        self._create(old, old.base_gfn, first, old.flags, True)
        free = (old.id + 1 + (rest >> 2 & 3)) & (self.profile.ids - 1)
        self._create(old, old.base_gfn + first, max(old.npages - first, 1), flags, True, free)

    def _merge(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        other = self._any_slot(old.as_id, old.id ^ 1 ^ (rest & 6)) or old
        first_gfn = min(old.base_gfn, other.base_gfn)
        pages = max(old.end_gfn, other.end_gfn) - first_gfn
        self._remove(old, right)
        if other.id != old.id:
            self._remove(other, True)
        self._create(old, first_gfn, pages, old.flags, True)

    def _exchange(self, old: Slot, base: int, flags: int, right: bool, rest: int) -> None:
        other = self._any_slot(old.as_id, old.id ^ 1 ^ (rest & 6)) or old
        if rest >> 3 & 1:
            self._create(old, other.base_gfn, old.npages, old.flags, right)
            self._create(other, old.base_gfn, other.npages, other.flags, True)
            return
        self._remove(old, right)
        if other.id != old.id:
            self._remove(other, True)
            self._create(other, old.base_gfn, other.npages, other.flags, True)
        self._create(old, other.base_gfn, old.npages, old.flags, True)

    def _reset(self, as_id: int, right: bool) -> None:
        """Slots deleted and created again, seven of them at most, as at the reset of a VM."""
        live = self.vm.sets[as_id].walk()[:MOST_GIVEN]
        for slot in live:
            self._remove(slot, right)
        for slot in live:
            self._create(slot, slot.base_gfn, slot.npages, slot.flags, True)

    def _log_all(self, as_id: int, on: int) -> None:
        """LOG_DIRTY_PAGES for slots, seven of them at most, as at the start (or the end) of a migration."""
        for slot in self.vm.sets[as_id].walk()[:MOST_GIVEN]:
            flags = slot.flags & ~KVM_MEM_LOG_DIRTY_PAGES | on
            self._create(slot, slot.base_gfn, slot.npages, flags, True)

    # -- what gestures are made of -----------------------------------------------------------------------------

    def _any_slot(self, as_id: int, slot_id: int) -> Slot | None:
        """A live slot that stands in for `slot_id`, so that references resolve."""
        live = self.vm.sets[as_id].by_id
        if not live:
            return None
        return live[min(live, key=slot_id.__xor__)]

    def _beside(self, as_id: int, rest: int, base: int, npages: int) -> int:
        """A base that touches, overlaps or equals some live slot, or `base` if there is none."""
        other = self._any_slot(as_id, rest & 7)
        if other is None:
            return base
        match rest >> 3 & 3:
            case 0:
                return other.base_gfn
            case 1:
                return other.base_gfn + other.npages
            case 2:
                return max(other.base_gfn - npages, 0)
            case _:
                return other.base_gfn + other.npages - 1

    def _remove(self, old: Slot, right: bool) -> None:
        """Write a DELETE, flagged if that is as the RFC wants it (`right`), or not."""
        slot = old.as_id << 16 | old.id
        self._append(tuple.__new__(Region, (slot, 0, 0, 0, 0, int(right), NO_PADDING)))

    def _create(self, old: Slot, base: int, npages: int, flags: int, right: bool, slot_id: int = -1) -> None:
        as_id = old.as_id
        self._write(as_id, old.id if slot_id < 0 else slot_id, base, npages, old.userspace_addr, flags, right)

    def _write(self, as_id: int, slot_id: int, base: int, npages: int, hva: int, flags: int, right: bool) -> None:
        """Write an entry, flagged if that is as the RFC wants it (`right`), or not."""
        slot = as_id << 16 | slot_id
        if npages == 0:
            self._append(tuple.__new__(Region, (slot, 0, 0, 0, 0, int(right), NO_PADDING)))
            return
        old = self.vm.sets[as_id].by_id.get(slot_id)
        flagged = int((old is not None and old.base_gfn != base) == right)
        shift = self.machine.page_shift
        # What Region(...) does, at half its price.
        fields = (slot, flags, base << shift, npages << shift, hva, flagged, NO_PADDING)
        self._append(tuple.__new__(Region, fields))

    def _append(self, region: Region) -> None:
        self.regions.append(region)
        self.errnos.append(self.vm.set_memory_region(region))


_CHANGES = {
    "delete": Grammar._delete,
    "move": Grammar._move,
    "flags": Grammar._flags,
    "no-op": Grammar._no_op,
    "resize": Grammar._resize,
    "toggle": Grammar._toggle,
    "split": Grammar._split,
    "merge": Grammar._merge,
    "exchange": Grammar._exchange,
}
"""The gestures that change a live slot; where there is none they are a put."""


def memory_of(as_id: int, slot_id: int) -> int:
    """The userspace_addr of the memory that the grammar gives to a slot."""
    return HVA + (as_id << 3 | slot_id) * HVA_STRIDE
