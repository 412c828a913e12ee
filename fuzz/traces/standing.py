# SPDX-License-Identifier: GPL-2.0-only
"""What stands in a recorded VM, update after update, by the serial model; and where the recorded kernel differs."""

from errno import errorcode
from typing import NamedTuple

from engines.simulated.plain import PlainVm
from fuzz.traces.happening import Update
from fuzz.traces.memory_names import MemoryNames
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import Slot


class Entry(NamedTuple):
    """An update as an entry of a list, and what the model says to it."""

    update: Update
    region: Region
    change: Change
    errno: int
    """The model's answer."""
    before: Region | None
    """The slot of this id that stood before it."""

    @property
    def disagrees(self) -> bool:
        """Whether the recorded kernel gave another answer than the model: one of the two is wrong."""
        return self.update.errno != self.errno

    @property
    def answer(self) -> str | None:
        """What was recorded of a request that was refused, and what the model says where it differs."""
        if not self.update.errno and not self.disagrees:
            return None
        text = f"recorded: {name_of(self.update.errno)}"
        return f"{text}, the model answers {name_of(self.errno)}" if self.disagrees else text


def name_of(errno: int | None) -> str:
    """An answer in a word: ok, the name of an errno, or none where it was never seen."""
    return "no answer" if errno is None else "ok" if errno == 0 else errorcode.get(errno, f"errno {errno}")


class Standing:
    """One VM's slots. Where model and recording differ it goes on with what the recording says."""

    def __init__(self, machine: Machine, *, invalidate: bool = True, keep_hva: bool = False) -> None:
        """With `invalidate` what must be flagged for the RFC is; `keep_hva` keeps requests as they were recorded."""
        self._machine = machine
        self._vm = PlainVm(machine)
        self._invalidate = invalidate
        self._names = None if keep_hva else MemoryNames()

    def given(self) -> tuple[Region, ...]:
        """A CREATE for each slot that stands, by address space and id."""
        return tuple([self._create_of(slot) for slots in self._vm.walk() for slot in slots])

    def entry(self, update: Update) -> Entry:
        """The update as an entry of a list; it stands, if it was accepted, from now on."""
        region = update.region
        if self._names is not None:
            region = self._names.renamed(region)
            if update.accepted and not region.memory_size:
                region = Region(region.slot)  # nothing else of a DELETE is looked at, once it has passed the checks
        change = self._vm.asked_by(region)
        if self._invalidate and change in (Change.DELETE, Change.MOVE):
            region = region._replace(invalidate_slot=1)
        before = self._standing(region)
        errno = self._vm.set_memory_region(region)
        entry = Entry(update, region, change, errno, before)
        if entry.disagrees:
            self._follow(region, before, update.accepted)
        return entry

    def _standing(self, region: Region) -> Region | None:
        there = region.as_id < self._machine.address_spaces
        slot = self._vm.slot(region.as_id, region.id) if there else None
        return None if slot is None else self._create_of(slot)

    def _create_of(self, slot: Slot) -> Region:
        shift = self._machine.page_shift
        as_id, slot_id, base_gfn, npages, userspace_addr, flags = slot
        return Region(as_id << 16 | slot_id, flags, base_gfn << shift, npages << shift, userspace_addr)

    def _follow(self, region: Region, before: Region | None, accepted: bool) -> None:
        """Make stand what the recording says, and of the other slots those that can be there beside it."""
        own = region if accepted else before
        others = [each for each in self.given() if each.slot != region.slot]
        self._vm = PlainVm(self._machine)
        for each in [own, *others] if own is not None and own.memory_size else others:
            self._vm.set_memory_region(each)
