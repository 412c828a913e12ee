# SPDX-License-Identifier: GPL-2.0-only
"""The ioctl, step by step: copy, lock, validate, allocate, invalidate, prepare, publish, finish, unlock.

Whatever step fails, all that was done before it is undone: the call leaves everything, or nothing (I1).
"""

from errno import EFAULT, EINVAL, EIO, ENOMEM, errorcode

from engines.ideal.objects import SlotObject
from engines.ideal.request import entry_refused, header_refused
from engines.ideal.update import Update, address_spaces
from engines.ideal.validation import CREATE, DELETE, FLAGS_ONLY, MOVE, NO_OP, UNKNOWN, Working
from engines.ideal.vm import Vm
from engines.ideal.working_slots import WorkingSlots
from memslots.case import Case
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES

Edit = tuple[Update, SlotObject | None, SlotObject | None]
"""An update with the object that it takes out of a set and the one that it puts in."""


class ListCall:
    """One KVM_SET_USER_MEMORY_REGION_LIST.

    When it has run, `errno` is 0 or why it was refused, and `entry` the entry that was refused: None if the header was,
    or nothing.
    """

    __slots__ = ("case", "entry", "errno", "updates", "vm")

    def __init__(self, vm: Vm, case: Case) -> None:
        self.vm = vm
        self.case = case
        self.errno = 0
        self.entry: int | None = None
        self.updates: list[Update] = []

    def run(self) -> None:
        """Copy header and entries; then the update, under slots_lock from its first look to its last edit (I8)."""
        memory = self.vm.memory
        if memory.fails("copy"):
            return self._refuse(EFAULT, "copy of the header")
        refused = header_refused(self.case.entries, self.case.header_flags)
        if refused is not None:
            return self._refuse(*refused)
        if self.case.entries == 0:
            return None
        entries = memory.area("entries", "array")
        if entries is None:
            return self._refuse(ENOMEM, "no array of entries")
        batch = None
        if memory.fails("copy"):
            self._refuse(EFAULT, "copy of the entries")
        else:
            batch = memory.area("batch", "array")
            if batch is None:
                self._refuse(ENOMEM, "no array of updates")
            else:
                self.vm.lock_slots()
                self._update()
                self.vm.unlock_slots()
        memory.free(batch)
        memory.free(entries)
        return None

    def _update(self) -> None:
        """All that can fail, and what cannot fail behind it."""
        if not self._validate() or not self.updates:
            return
        if not self._allocate():
            self._free_what_is_unused()
            return
        self.vm.lock_arch()
        invalidated = [update for update in self.updates if update.invalid is not None]
        if invalidated:
            self._invalidate(invalidated)
        if not self._prepare():
            self._take_back(invalidated)
            self._free_what_is_unused()
            return
        self._publish()
        self._finish()

    # -- what changes nothing yet ------------------------------------------------------------------------------

    def _validate(self) -> bool:
        """Whether every entry is accepted in the state that those before it would leave; knows the updates then."""
        vm, journal = self.vm, self.vm.journal
        working = Working(
            vm.machine, [WorkingSlots(memslots.walk()) for memslots in vm.all_active()], vm.nr_memslot_pages
        )
        latest: dict[int, Update] = {}
        for i, region in enumerate(self.case.apply if self.case.nent is None else self.case.named()):
            why = entry_refused(region)
            change, errno, why, slot = working.enter(region) if why is None else (UNKNOWN, EINVAL, why, None)
            if errno:
                journal.at("validate", i, change)
                if errno == EIO:
                    journal.warn(why)
                self._refuse(errno, why, i)
                return False
            if change is NO_OP:
                continue
            key = region[0]
            update = latest.get(key)
            if update is None or (change is CREATE and update.old is not None):
                # A slot that is created where one was deleted is another one.
                old = None if change is CREATE else vm.active(key >> 16).id_hash[key & 0xFFFF]
                update = latest[key] = Update(key >> 16, old)
                self.updates.append(update)
            update.wanted = slot
            update.entry = i
        for update in self.updates:
            update.change = update.net_change()
        self.updates = [update for update in self.updates if update.change is not NO_OP]
        return True

    def _allocate(self) -> bool:
        """Whether there is memory for all that the update needs: slot objects, dirty bitmaps, INVALID copies."""
        return all(self._allocated(update) for update in self.updates)

    def _allocated(self, update: Update) -> bool:
        memory, old, wanted = self.vm.memory, update.old, update.wanted
        self.vm.journal.at("allocate", update.entry, update.change)
        if wanted is not None:
            new = update.new = memory.slot(wanted)
            if new is None:
                return self._no_memory(update, "no slot object")
            if wanted[5] & KVM_MEM_LOG_DIRTY_PAGES:
                # What was dirty stays known for as long as the slot logs.
                new.dirty_bitmap = None if old is None else old.dirty_bitmap
                if new.dirty_bitmap is None:
                    new.dirty_bitmap = update.bitmap = memory.area("dirty bitmap", "bitmap")
                    if update.bitmap is None:
                        return self._no_memory(update, "no dirty bitmap")
        if update.change is DELETE or update.change is MOVE:
            assert old is not None
            update.invalid = memory.invalid_copy(old)
            if update.invalid is None:
                return self._no_memory(update, "no INVALID copy")
        return True

    # -- what changes ------------------------------------------------------------------------------------------

    def _invalidate(self, invalidated: list[Update]) -> None:
        """Publish all slots that are deleted or moved as INVALID, at once; come back with slots_arch_lock held.

        Stale translations are flushed in between. What a vCPU allocates lazily for a slot meanwhile, its copy has got:
        they share it.
        """
        edits: list[Edit] = [(update, update.old, update.invalid) for update in invalidated]
        self._edit("invalidate", edits)
        self.vm.publish(address_spaces(invalidated))
        for update, old, _ in edits:
            assert old is not None
            self.vm.journal.at("invalidate", update.entry, update.change)
            self.vm.flush(old)
        self.vm.lock_arch()

    def _prepare(self) -> bool:
        """Whether the architecture is ready for every change (x86: the arrays of slots that are new, or elsewhere)."""
        for update in self.updates:
            self.vm.journal.at("prepare", update.entry, update.change)
            if self.vm.memory.fails("prepare"):
                return self._no_memory(update, "prepare hook")
            if update.new is None:
                continue
            if update.change is FLAGS_ONLY:
                assert update.old is not None
                update.new.arch = update.old.arch
            else:
                update.new.arch = update.arch = self.vm.memory.area("arch arrays")
        return True

    def _publish(self) -> None:
        """Publish what the list leaves, in every address space that it changes."""
        self._edit("publish", [(update, update.old, update.new) for update in self.updates])
        self.vm.publish(address_spaces(self.updates))

    def _finish(self) -> None:
        """Repeat the change in the other sets, count the pages, and free what nobody reads any more."""
        self._edit("finish", [(update, update.invalid or update.old, update.new) for update in self.updates])
        for update in self.updates:
            self._commit(update)

    def _commit(self, update: Update) -> None:
        vm, old, new = self.vm, update.old, update.new
        vm.journal.at("finish", update.entry, update.change)
        if old is None:
            assert new is not None
            vm.nr_memslot_pages += new.slot.npages
            return
        free = vm.memory.free
        if new is None:
            vm.nr_memslot_pages -= old.slot.npages
        if old.dirty_bitmap is not None and (new is None or new.dirty_bitmap is None):
            free(old.dirty_bitmap)
        if new is None or new.arch is not old.arch:
            # It is elsewhere now, or nowhere.
            if old.translated:
                vm.journal.damaged("use-after-free", f"{old} by a stale translation")
            free(old.arch)
        if update.invalid is not None:
            free(update.invalid)
        free(old)

    # -- the way back ------------------------------------------------------------------------------------------

    def _take_back(self, invalidated: list[Update]) -> None:
        """Publish the sets as they were, where INVALID slots have been published; release slots_arch_lock."""
        if not invalidated:
            self.vm.unlock_arch()
            return
        # The inactive sets still hold every old object.
        self.vm.journal.phase = "undo"
        self.vm.publish(address_spaces(invalidated))
        self._edit("undo", [(update, update.invalid, update.old) for update in invalidated])

    def _free_what_is_unused(self) -> None:
        """Free all that was allocated for a change that does not take place."""
        self.vm.journal.phase = "undo"
        for update in self.updates:
            for allocated in (update.bitmap, update.arch, update.new, update.invalid):
                self.vm.memory.free(allocated)

    # -- what steps are made of --------------------------------------------------------------------------------

    def _edit(self, phase: str, edits: list[Edit]) -> None:
        """Edit the inactive sets: first everything out, then everything in, for the one may need the other's place."""
        vm, journal = self.vm, self.vm.journal
        for update, out, _ in edits:
            if out is not None:
                journal.at(phase, update.entry, update.change)
                vm.unlink(out)
        for update, out, into in edits:
            journal.at(phase, update.entry, update.change)
            if into is not None:
                vm.link(into)
            if journal.events is not None:
                journal.note("replace", f"{out or 'nothing'} by {into or 'nothing'}")

    def _no_memory(self, update: Update, why: str) -> bool:
        self._refuse(ENOMEM, why, update.entry)
        return False

    def _refuse(self, errno: int, why: str, entry: int | None = None) -> None:
        """The call is going to return -errno. The first reason counts: nothing is tried after it."""
        self.errno = errno
        self.entry = entry
        self.vm.journal.mishap("refuse", f"{errorcode[errno]}: {why}")
