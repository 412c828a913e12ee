# SPDX-License-Identifier: GPL-2.0-only
"""The engine `ideal`: what a call leaves, read off the VM's objects."""

from engines.ideal.ended import NeverReturns
from engines.ideal.list_call import ListCall
from engines.ideal.objects import Allocated
from engines.ideal.rest import at_rest, vm_at
from engines.ideal.vm import Vm
from memslots.case import Case
from memslots.outcome import Outcome


class Ideal:
    """KVM_SET_USER_MEMORY_REGION_LIST as its reviewers wanted it: the contract I1 to I8."""

    name = "ideal"
    shows = frozenset(Outcome._fields) - {"at_first_refusal"}

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`."""
        rest = at_rest(case)
        vm = vm_at(case, rest, record=record)
        call = ListCall(vm, case)
        ended, kind = "returned", None
        try:
            call.run()
        except NeverReturns as end:
            ended, kind = end.ended, end.kind
            vm.journal.mishap(ended, kind or "")
        return self._outcome(Outcome(ended, vm.walk_active(), rest.walk, kind), vm, call)

    def _outcome(self, begun: Outcome, vm: Vm, call: ListCall) -> Outcome:
        """`begun`, and all that is to be seen of `vm`."""
        journal = vm.journal
        returned = begun.ended == "returned"
        errno = call.errno
        reached = _reached(vm)
        return Outcome(
            begun.ended,
            begun.active,
            begun.before,
            begun.kind,
            (-1 if errno else 0) if returned else None,
            errno if returned else None,
            _entry_errnos(call) if returned else None,
            None,
            vm.walk_inactive(),
            tuple([vm.active(as_id).generation for as_id in range(len(vm.sets))]),
            vm.slots_lock,
            vm.slots_arch_lock,
            vm.nr_memslot_pages,
            tuple(sorted(journal.damage)),
            vm.memory.dangling(reached),
            journal.corrupt,
            vm.memory.lost(reached) if returned else 0,
            journal.warned,
            vm.publications,
            tuple(journal.mishaps),
            None if journal.events is None else tuple(journal.events),
        )


def _entry_errnos(call: ListCall) -> tuple[int, ...]:
    """One errno for each entry up to the one that was refused; none where the header was (I6)."""
    if not call.errno:
        return (0,) * call.case.entries
    return () if call.entry is None else (*(0,) * call.entry, call.errno)


def _reached(vm: Vm) -> set[Allocated]:
    """Everything that the sets lead to."""
    reached: set[Allocated] = set()
    for pair in vm.sets:
        for memslots in pair:
            for slot_object in memslots.id_hash.values():
                reached.add(slot_object)
                if slot_object.arch is not None:
                    reached.add(slot_object.arch)
                if slot_object.dirty_bitmap is not None:
                    reached.add(slot_object.dirty_bitmap)
    return reached
