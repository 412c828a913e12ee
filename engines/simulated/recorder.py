# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that writes down what it does. Only who asks for events pays for them."""

from errno import errorcode

from engines.simulated.kernel import Kernel
from engines.simulated.linked import LinkedMemslots
from engines.simulated.objects import SlotObject, named, written
from memslots.machine import Machine
from memslots.outcome import Change, Event
from memslots.slot import Slot


class RecordingKernel(Kernel):
    """The kernel, with an event for each lock, publication, edit, allocation and mishap."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, LinkedMemslots)
        self.events: list[Event] = []

    def note(self, kind: str, detail: str = "") -> None:
        """Add an event at the present step."""
        asked = Change.UNKNOWN if self.entry is None else self.entry.asked
        self.events.append(Event(kind, self.phase, self.index, asked, detail))

    def mishap(self, kind: str, detail: str = "") -> None:
        super().mishap(kind, detail)
        self.note(kind, detail)

    def injected(self, kind: str) -> None:
        super().injected(kind)
        self.note("injected", kind)

    def refused(self, errno: int, why: str) -> None:
        self.mishap("refuse", f"{errorcode.get(errno, '+1')}: {why}")

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
        self.note("replace", f"{named(old)} by {named(new)}")
        super().replace(old, new)

    def new_slot(self, slot: Slot) -> SlotObject | None:
        new = super().new_slot(slot)
        self.note("alloc" if new else "alloc failed", f"slot {written(slot)}")
        return new

    def new_invalid(self, old: SlotObject) -> SlotObject | None:
        new = super().new_invalid(old)
        self.note("alloc" if new else "alloc failed", f"INVALID copy of {named(old)}")
        return new

    def kfree(self, slot_object: SlotObject | None) -> None:
        super().kfree(slot_object)
        if slot_object is not None:
            self.note("free", named(slot_object))
