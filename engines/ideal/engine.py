# SPDX-License-Identifier: GPL-2.0-only
"""The engine `ideal`: what a call leaves, read off the VM's objects."""

from engines.ideal.ended import NeverReturns
from engines.ideal.list_call import ListCall
from engines.ideal.objects import Allocated, SlotObject
from engines.ideal.rest import at_rest, vm_at
from engines.ideal.vm import Vm
from memslots.case import Case
from memslots.outcome import Outcome
from memslots.slot import SlotSets


class Ideal:
    """KVM_SET_USER_MEMORY_REGION_LIST as its reviewers wanted it: the contract I1 to I8."""

    name = "ideal"
    shows = frozenset(Outcome._fields) - {"at_first_refusal", "incomplete"}

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`."""
        rest = at_rest(case)
        vm = vm_at(case, rest, record=record)
        call = ListCall(vm, case)
        try:
            call.run()
        except NeverReturns as end:
            vm.journal.mishap(end.ended, end.kind or "")
            return _outcome(vm, rest.walk, ended=end.ended, kind=end.kind)
        errno = call.errno
        return _outcome(vm, rest.walk, value=-1 if errno else 0, errno=errno, entry_errnos=_entry_errnos(call))


def _outcome(
    vm: Vm,
    before: SlotSets,
    *,
    ended: str = "returned",
    kind: str | None = None,
    value: int | None = None,
    errno: int | None = None,
    entry_errnos: tuple[int, ...] | None = None,
) -> Outcome:
    """All that is to be seen of `vm` when the call has ended like this.

    A slot whose areas are not what they ought to be is a WARN, or worse, for the next one who uses it.
    """
    journal = vm.journal
    active = vm.all_active()
    linked = vm.linked()
    reached = _reached(linked)
    return Outcome(
        ended,
        tuple([memslots.walk() for memslots in active]),
        before,
        kind,
        value,
        errno,
        entry_errnos,
        None,
        tuple([memslots.walk() for memslots in vm.all_inactive()]),
        tuple([memslots.generation for memslots in active]),
        vm.slots_lock,
        vm.slots_arch_lock,
        vm.nr_memslot_pages,
        tuple(sorted(journal.damage)) if journal.damage else (),
        vm.memory.dangling(reached),
        journal.corrupt,
        vm.memory.lost(reached) if ended == "returned" else 0,
        journal.warned or not all(slot_object.usable for slot_object in linked),
        len(vm.published),
        tuple(journal.mishaps),
        None if journal.events is None else tuple(journal.events),
        tuple(vm.published),
        vm.machine.page_size,
    )


def _entry_errnos(call: ListCall) -> tuple[int, ...]:
    """One errno for each entry up to the one that was refused; none where the header was (I6)."""
    if not call.errno:
        return (0,) * call.case.entries
    return () if call.entry is None else (*(0,) * call.entry, call.errno)


def _reached(linked: set[SlotObject]) -> set[Allocated]:
    """These objects with their areas."""
    reached: set[Allocated] = set(linked)
    for slot_object in linked:
        if slot_object.arch is not None:
            reached.add(slot_object.arch)
        if slot_object.dirty_bitmap is not None:
            reached.add(slot_object.dirty_bitmap)
    return reached
