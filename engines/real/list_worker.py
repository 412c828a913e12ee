# SPDX-License-Identifier: GPL-2.0-only
"""What the watched child does: apply a list to a clean VM, tell each step, and look at what is left.

It never judges: where it was when it fell silent, its parent knows.
"""

from dataclasses import dataclass

from engines.real.aftermath import Aftermath
from engines.real.host import Host
from engines.real.list_vm import ListKvm, ListVm, packed_list
from engines.real.probe import Unexplained
from engines.real.readback import Named
from engines.real.watched import Tell
from memslots.case import Case
from memslots.region import ZERO_REGION
from memslots.slot import SlotSets
from memslots.uapi import KVM_MEMSLOT_INVALID


@dataclass(frozen=True, slots=True)
class Question:
    """A case, what the host is like, and the states that the case may leave."""

    case: Case
    host: Host
    before: SlotSets
    after: SlotSets


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer: the kernel has refused a `given` region that the model accepts, and the list was never tried."""

    index: int
    errno: int


@dataclass(frozen=True, slots=True)
class Returned:
    """Told when the call has returned: what it returned, or -errno."""

    answer: int


# Told on the way, in this order, before and behind `Returned` and the steps of an `Aftermath`.
BEGINS = "the call begins"
EMPTIED = "the VM is emptied"


@dataclass(frozen=True, slots=True)
class Left:
    """What the call has left: both sets, or why the kernel's answers make none."""

    sets: tuple[SlotSets, SlotSets] | None
    contradiction: str = ""


CLOSE = "close the VM"
"""A question, too: it is answered when the VM has been closed."""


class ListWorker:
    """Answers a `Question` with what is `Left`. One VM is kept, and used again while it is clean."""

    def __init__(self, kvm: ListKvm) -> None:
        self._kvm = kvm
        self._vm: ListVm | None = None

    def __call__(self, question: object, tell: Tell) -> object:
        """What is `Left`, or `Refused`; None to `CLOSE`."""
        if isinstance(question, Question):
            return self._applied(question, tell)
        if self._vm is not None:
            self._vm.close()
            self._vm = None
        return None

    def _applied(self, question: Question, tell: Tell) -> Left | Refused:
        case, host = question.case, question.host
        vm = self._vm = self._vm or self._kvm.vm()
        for i, region in enumerate(case.given):
            errno = vm.set_memory_region(region)
            if errno:
                return Refused(i, errno)
        packed = packed_list(case)
        tell(BEGINS)
        answer = vm.set_list(packed)
        tell(Returned(answer))
        zeros = (ZERO_REGION,) if case.entries > len(case.apply) else ()
        named = Named(case.machine, host.machine, (*case.given, *case.apply, *zeros))
        aftermath = Aftermath(vm, case.machine, host, named)
        likely = (question.after, question.before) if answer >= 0 else (question.before, question.after)
        try:
            sets = aftermath.sets(likely, tell)
        except Unexplained as contradiction:
            return Left(None, str(contradiction))
        active, inactive = sets
        there = [slot for slots in active for slot in slots]
        if active != inactive or any(slot.flags & KVM_MEMSLOT_INVALID for slot in there):
            return Left(sets)
        # The same VM again for the next case, if it empties as a sound one does.
        if any(vm.set(slot.as_id << 16 | slot.id, 0, 0, 0, 0) for slot in there):
            return Left(sets, "a slot that is there cannot be deleted")
        tell(EMPTIED)
        return Left(sets)
