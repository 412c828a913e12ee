# SPDX-License-Identifier: GPL-2.0-only
"""A VM's memslots: two sets for each address space, two locks, and how sets are published (b.1, b.2)."""

from collections.abc import Sequence

from engines.ideal.ended import NeverReturns
from engines.ideal.journal import Journal
from engines.ideal.memory import Memory
from engines.ideal.memslots import Memslots
from engines.ideal.objects import SlotObject
from memslots.machine import Machine
from memslots.outcome import Publication
from memslots.uapi import KVM_MEMSLOT_INVALID

_UPDATE_IN_PROGRESS = 1 << 63


class Vm:
    """The memslots of one VM, at rest unless a call is under way."""

    __slots__ = (
        "active_idx",
        "journal",
        "machine",
        "memory",
        "nr_memslot_pages",
        "published",
        "sets",
        "slots_arch_lock",
        "slots_lock",
    )

    def __init__(
        self,
        machine: Machine,
        sets: list[tuple[Memslots, Memslots]],
        active_idx: list[int],
        nr_memslot_pages: int,
        memory: Memory,
        journal: Journal,
    ) -> None:
        self.machine = machine
        self.sets = sets
        self.active_idx = active_idx
        self.nr_memslot_pages = nr_memslot_pages
        self.memory = memory
        self.journal = journal
        self.slots_lock = False
        self.slots_arch_lock = False
        self.published: list[Publication] = []

    def active(self, as_id: int) -> Memslots:
        """The set that readers see."""
        return self.sets[as_id][self.active_idx[as_id]]

    def inactive(self, as_id: int) -> Memslots:
        """The set that updates edit."""
        return self.sets[as_id][1 - self.active_idx[as_id]]

    def all_active(self) -> list[Memslots]:
        """What readers see of each address space."""
        return [pair[idx] for pair, idx in zip(self.sets, self.active_idx, strict=True)]

    def all_inactive(self) -> list[Memslots]:
        """What they would see after a swap."""
        return [pair[1 - idx] for pair, idx in zip(self.sets, self.active_idx, strict=True)]

    def linked(self) -> set[SlotObject]:
        """Every object that some set holds."""
        objects: set[SlotObject] = set()
        for one, other in self.sets:
            objects.update(one.id_hash.values(), other.id_hash.values())
        return objects

    # -- editing and publishing --------------------------------------------------------------------------------

    def unlink(self, old: SlotObject) -> None:
        """Take `old` out of the inactive set."""
        memslots = self.inactive(old.slot[0])
        if old.freed:
            self.journal.damaged("use-after-free", str(old))
        if not memslots.holds(old):
            self.journal.stray(f"unlink of {old}, which the set does not hold")
            return
        memslots.unlink(old)

    def link(self, new: SlotObject) -> None:
        """Put `new` into the inactive set. Raises NeverReturns where its base is taken: BUG."""
        memslots = self.inactive(new.slot[0])
        if new.freed:
            self.journal.damaged("use-after-free", str(new))
        if new.slot[1] in memslots.id_hash:
            self.journal.stray(f"link of {new}, whose id the set holds")
            return
        if new.slot[2] in memslots.gfn_tree:
            raise NeverReturns("crashed", "bug")
        memslots.link(new)

    def publish(self, as_ids: Sequence[int]) -> None:
        """Make the inactive sets of these address spaces active, and wait until no reader is left in the others.

        slots_arch_lock is held until all of them are published, and must not be while readers are waited for: one of
        them may want it. (Before the swap a kernel waits for MMU notifiers too; there are none here.)
        """
        if not (self.slots_lock and self.slots_arch_lock):
            self.journal.warn("sets are published without their locks")
        for as_id in as_ids:
            inactive = self.inactive(as_id)
            inactive.generation = self.active(as_id).generation | _UPDATE_IN_PROGRESS
            self.active_idx[as_id] = 1 - self.active_idx[as_id]
            self.published.append(Publication(as_id, inactive.walk()))
            if self.journal.events is not None:
                self.journal.note("publish", f"address space {as_id}")
        self.unlock_arch()
        # synchronize_srcu_expedited, once for all of them.
        for as_id in as_ids:
            self.active(as_id).generation += len(self.sets) - _UPDATE_IN_PROGRESS

    def flush(self, old: SlotObject) -> None:
        """Drop the translations of a slot, which come back at once unless it is INVALID for readers now."""
        seen = self.active(old.slot[0]).id_hash.get(old.slot[1])
        old.translated = seen is None or not seen.slot[5] & KVM_MEMSLOT_INVALID

    # -- locks -------------------------------------------------------------------------------------------------

    def lock_slots(self) -> None:
        """Take slots_lock. Raises NeverReturns if it is held: nobody else is there to release it."""
        self.journal.note("lock", "slots_lock")
        if self.slots_lock:
            raise NeverReturns("hung")
        self.slots_lock = True

    def unlock_slots(self) -> None:
        """Release slots_lock."""
        if not self.slots_lock:
            self.journal.warn("slots_lock is released and not held")
        self.slots_lock = False
        self.journal.note("unlock", "slots_lock")

    def lock_arch(self) -> None:
        """Take slots_arch_lock, behind slots_lock. Raises NeverReturns like `lock_slots`."""
        self.journal.note("lock", "slots_arch_lock")
        if self.slots_arch_lock:
            raise NeverReturns("hung")
        self.slots_arch_lock = True

    def unlock_arch(self) -> None:
        """Release slots_arch_lock."""
        if not self.slots_arch_lock:
            self.journal.warn("slots_arch_lock is released and not held")
        self.slots_arch_lock = False
        self.journal.note("unlock", "slots_arch_lock")
