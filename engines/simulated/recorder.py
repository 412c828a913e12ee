# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that writes down what it does. Only who asks for events pays for them."""

from errno import errorcode

from engines.simulated.ended import Ended
from engines.simulated.kernel import BatchEntry, Kernel
from engines.simulated.linked import LinkedMemslots
from engines.simulated.objects import SlotObject
from memslots.machine import Machine
from memslots.outcome import Change, Event
from memslots.slot import Slot


class RecordingKernel(Kernel):
    """The kernel, with an event for each lock, publication, edit, allocation and mishap."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, LinkedMemslots)
        self.events: list[Event] = []
        self._changes: dict[BatchEntry | None, Change] = {}

    def note(self, kind: str, detail: str = "") -> None:
        """Add an event at the present step."""
        self.events.append(Event(kind, self.phase, self.index, self._changes.get(self.entry, Change.UNKNOWN), detail))

    def acting_on(self, change: Change) -> None:
        self._changes[self.entry] = change

    def lock_slots(self) -> None:
        self.note("lock", "slots_lock")
        super().lock_slots()

    def unlock_slots(self) -> None:
        super().unlock_slots()
        self.note("unlock", "slots_lock")

    def lock_arch(self) -> None:
        self.note("lock", "slots_arch_lock")
        super().lock_arch()

    def unlock_arch(self) -> None:
        super().unlock_arch()
        self.note("unlock", "slots_arch_lock")

    def swap(self, as_id: int) -> None:
        super().swap(as_id)
        self.note("publish", f"address space {as_id}")
        self.note("unlock", "slots_arch_lock")

    def replace(self, old: SlotObject | None, new: SlotObject | None) -> None:
        self.note("replace", f"{_named(old)} by {_named(new)}")
        super().replace(old, new)

    def new_slot(self, slot: Slot) -> SlotObject | None:
        new = super().new_slot(slot)
        self.note("alloc" if new else "alloc failed", f"slot {_written(slot)}")
        return new

    def new_invalid(self, old: SlotObject) -> SlotObject | None:
        new = super().new_invalid(old)
        self.note("alloc" if new else "alloc failed", f"INVALID copy of {_named(old)}")
        return new

    def kfree(self, slot_object: SlotObject | None) -> None:
        super().kfree(slot_object)
        if slot_object is not None:
            self.note("free", _named(slot_object))

    def warn(self, why: str) -> None:
        super().warn(why)
        self.note("warn", why)

    def damaged(self, kind: str, victim: SlotObject | None) -> None:
        super().damaged(kind, victim)
        self.note("damage", kind if victim is None else f"{kind} of {_named(victim)}")

    def stray(self, kind: str, victim: SlotObject) -> None:
        super().stray(kind, victim)
        self.note("stray", f"{kind} of {_named(victim)}")

    def unnoticed(self, what: str) -> None:
        self.note("unnoticed", what)

    def refused(self, errno: int, why: str) -> None:
        self.note("refuse", f"{errorcode.get(errno, '+1')}: {why}")

    def ended(self, how: Ended) -> None:
        """The call will never return."""
        self.note(how.ended, how.kind or "")


def _written(slot: Slot) -> str:
    return f"{slot.as_id}:{slot.id}@{slot.base_gfn:#x}+{slot.npages:#x}"


def _named(slot_object: SlotObject | None) -> str:
    if slot_object is None:
        return "nothing"
    slot = slot_object.slot
    return _written(slot) + (" INVALID" if slot.flags >> 16 else "")
