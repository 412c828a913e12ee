# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl of the RFC without pointers: a short cut for speed that must equal `rfc_v1.ListCall`.

It knows the lists that make no memory error: what is refused, hangs or meets the NULL of a no-op included. Up to the
end of the first pass both sets of an address space hold the same slots, and the third pass repeats on one set what
the second did to the other, so one set a pass is edited where the kernel edits two. An unflagged DELETE or MOVE
publishes in the middle of the second pass, and the two sets go ways of their own: such a list is left to the kernel
with pointers, and so are faults and the rarest endings. The "sic" stand in `rfc_v1.py`.
"""

from errno import EINVAL

from engines.simulated.checks import REFUSED
from engines.simulated.plain import CREATE, DELETE, FLAGS_ONLY, MOVE, NO_OP, UNKNOWN, PlainVm
from engines.simulated.plain_kernel import CannotFollow, PlainKernel
from memslots.case import Case
from memslots.outcome import Event
from memslots.region import ZERO_REGION
from memslots.uapi import BATCH_BYTES, KMALLOC_MAX_BYTES


class PlainList(PlainKernel):
    """One KVM_SET_USER_MEMORY_REGION_LIST. `run` it to its end; `stray` if a set has gone astray then."""

    __slots__ = ()

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
                return self.refused(REFUSED, "P1", i, UNKNOWN)
            if not region.invalidate_slot:
                batch.append(None)
                continue
            errno, change, old, new = self.classified(region, self.active, "P1", i)
            if errno or change is NO_OP:
                return self.refused(errno, "P1", i, change)
            if change is CREATE or change is FLAGS_ONLY:
                self.warns("P1", i, change)
            if self.arch_lock is not None:
                return self.hangs("P1", i, change)
            if change is DELETE or change is MOVE:
                assert old is not None
                batch.append((change, old, new, self.invalidate(old, i, change)))
                continue
            assert new is not None
            batch.append((change, old, new, None))
            if self.beyond(new):
                return self.refused(EINVAL, "P1", i, change)
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
                errno, change, old, new = self.classified(region, self.inactive, "P2", i)
                if errno:
                    return self.refused(errno, "P2", i, change)
                self.batch[i] = entry = (change, old, new, None)
                if change is NO_OP:
                    continue
            change, old, new, invalid = entry
            if self.arch_lock is not None:
                return self.hangs("P2", i, change)
            if invalid is None and (change is DELETE or change is MOVE):
                raise CannotFollow  # it is published now
            if new is not None:
                if change is not FLAGS_ONLY and self.beyond(new):
                    if change is MOVE:
                        raise CannotFollow  # it is rolled back
                    return self.refused(EINVAL, "P2", i, change)
                self.memory.prepare(old, new)
            if invalid is not None and not self.inactive[invalid.as_id].holds(invalid):
                self.mishaps.append(Event("stray", "P2", i, change))
                self.stray = True
                return False
            self.edit(entry, self.active)
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
                self.publishes(as_id)
                lock_taken = i, change
            if change is NO_OP:
                self.slots_lock = True
                self.arch_lock = Event("lock", "P3", *lock_taken)
                self.warns("P3", i, change)
                return self.ends("crashed", "null-dereference", "P3", i, change)
            self.edit(entry, self.rest.sets)
            if change is CREATE:
                self.pages += either.npages
            elif change is DELETE:
                self.pages -= either.npages
        return True


def followed(case: Case, rest: PlainVm) -> PlainList | None:
    """The call that applies the list of `case` to `rest`, run to its end; None where only pointers can follow it."""
    call = PlainList(case, rest)
    try:
        call.run()
    except CannotFollow:
        return None
    return call
