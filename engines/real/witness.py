# SPDX-License-Identifier: GPL-2.0-only
"""A reader of guest memory while a list is applied: what a vCPU saw, read, wrote and fetched meanwhile.

Between a DELETE and the CREATE that puts memory back, a guest physical address has no slot: an access becomes MMIO, and
an instruction fetch ends in KVM_EXIT_INTERNAL_ERROR (RHBZ 1979276). That is seen here on the kernel that runs.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from errno import errorcode
from itertools import cycle

from engines.protocol import RefusedGiven
from engines.real.device import KVM, Memory, opened
from engines.real.guest_memory import CODE_OFFSET, SCRATCH_OFFSET, Backed, backed, place_for_code, slot_at
from engines.real.host import this_host
from engines.real.kept import kept
from engines.real.rehearsal import Rehearsal
from engines.real.testimony import BUGS, KINDS, Backing, Place, Witnessed, told
from engines.real.updater import APPLYING, BEFORE, PATIENCE, STEPS, UNDOING, Updater, Way
from engines.real.vcpu import LOCAL_APIC, REACHED, Vcpu, code
from engines.real.vm import Vm
from memslots.case import Case
from memslots.errors import RefusedHere, Unfit
from memslots.machine import Machine
from memslots.region import Region
from memslots.slot import SlotSet
from memslots.uapi import KVM_MEM_READONLY

_MOST_GFNS = 64


class Witness:
    """A case on a VM with a vCPU. Close it, or use it in a `with` block."""

    def __init__(self, case: Case, path: str = KVM, patience: float = PATIENCE) -> None:
        """`patience` is how many seconds the kernel may take over one thing.

        Raises Missing without /dev/kvm, Unfit for a case that a vCPU in real mode cannot witness, RefusedGiven.
        """
        self._patience = patience
        host = this_host(path).machine
        if case.faults:
            raise Unfit(f"fault {case.faults[0][0]}: a real kernel fails when it likes")
        self._code_gfn, code_id = place_for_code(case, min(case.machine.user_slots, host.user_slots))
        accepted, self._errno, _, _ = _rehearsed(case, host)
        self._page = case.machine.page_size
        with ExitStack() as opening:
            self._backed: Backed = backed(case, accepted)
            opening.callback(self._backed.memory.close)
            _, _, self._before, self._after = _rehearsed(self._backed.case, host)
            if not self._before and not self._after:
                raise Unfit("there is no memory before the list and none after it: expected some for a vCPU to look at")
            kvm = opened(path)
            opening.callback(os.close, kvm)
            vm = self._vm = opening.enter_context(Vm(kvm))
            memory = Memory(self._page)
            opening.callback(memory.close)
            memory.bytes[: len(code())] = code()
            errno = vm.set(code_id, 0, self._code_gfn * self._page, self._page, memory.address)
            if errno:
                raise Unfit(f"the code of the vCPU finds no place at gfn {self._code_gfn:#x}: {os.strerror(errno)}")
            self._vcpu = Vcpu(kvm, vm, self._code_gfn * self._page)
            opening.callback(self._vcpu.close)
            self.emulated = self._vcpu.emulated()
            for i, region in enumerate(self._backed.case.given):
                errno = vm.set_memory_region(region)
                if errno:
                    raise RefusedHere(i, errorcode.get(errno, str(errno)))
            self._opened = opening.pop_all()
        self._written = 0
        self._updater: Updater | None = None
        self._looks_at = "", 0.0
        self.places = self._places()

    def __enter__(self) -> "Witness":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back."""
        self._opened.close()

    def _places(self) -> list[Place]:
        """The ends of every slot and the pages beside them; what has memory before and after comes first."""
        gfns: set[int] = set()
        for slot in (*self._before, *self._after):
            gfns |= {slot.base_gfn - 1, slot.base_gfn, slot.end_gfn - 1, slot.end_gfn}
        reached = range(REACHED // self._page)
        places = [
            Place(gfn, self._backing(self._before, gfn), self._backing(self._after, gfn))
            for gfn in gfns - {self._code_gfn, LOCAL_APIC // self._page}
            if gfn in reached
        ]
        places.sort(key=lambda place: (None in place.words("read"), place.gfn))
        return places[:_MOST_GFNS]

    def _backing(self, slots: SlotSet, gfn: int) -> Backing:
        slot = slot_at(slots, gfn)
        word = self._backed.word_of(slots, gfn)
        return Backing(word, None if slot is not None and slot.flags & KVM_MEM_READONLY else word)

    def watch(self, way: Way, go_on: Callable[[Witnessed], bool]) -> Witnessed:
        """Apply the list and undo it, again and again while `go_on` says so, with the vCPU at work; what it saw."""
        if self._errno and not way.keeps_prefix:
            raise Unfit(f"serial refuses the list ({errorcode[self._errno]}): expected one that is accepted as a whole")
        testimony = Witnessed(emulated=self.emulated)
        updater = Updater(self._vm, self._backed.case, self._before, self._after, self._errno, way, self._patience)
        self._updater = updater
        interval = sys.getswitchinterval()
        try:
            sys.setswitchinterval(1e-5)  # the updater is to go on between two ioctls, not 5 ms later
            updater.start()
            accesses = cycle([(place, kind) for place in self.places for kind in KINDS])
            while go_on(testimony) and updater.failed is None and not updater.finding:
                self._look(testimony, updater, accesses)
                testimony.rounds = updater.rounds
        finally:
            self._looks_at = "", 0.0
            updater.stop()
            sys.setswitchinterval(interval)
        if updater.failed is not None:
            raise updater.failed
        testimony.finding = updater.finding
        return testimony

    def lost(self, watching: threading.Thread) -> str:
        """How the kernel has kept the thread that is in `watch`, or its updater, and over what. Empty while neither."""
        if self._updater is not None and (lost := self._updater.lost()):
            return lost
        what, since = self._looks_at
        return kept(watching, since, self._patience, what) if what else ""

    def _look(self, testimony: Witnessed, updater: "Updater", accesses: Iterator[tuple[Place, str]]) -> None:
        place, kind = next(accesses)
        at = place.gfn * self._page
        with updater.inside:
            self._looks_at = f"a {kind} of gfn {place.gfn:#x}", time.monotonic()
            began = updater.step
            if kind == "read":
                access = self._vcpu.read(at)
            elif kind == "write":
                self._written = self._written % 0xFFFF + 1
                access = self._vcpu.write(at + SCRATCH_OFFSET, self._written)
                access = access._replace(word=self._backed.reached(place.words("write"), self._written))
            else:
                access = self._vcpu.fetch(at + CODE_OFFSET)
            ended = updater.step
        testimony.retries += access.retries
        if any(step % STEPS == UNDOING for step in range(began, ended + 1)):
            return  # nobody has asked what is seen while the test undoes the list
        if began != ended or began % STEPS == APPLYING:
            seen = told(kind, access, place.words(kind))
            testimony.counts[kind, seen] += 1
            if seen in BUGS:
                testimony.lost[place.gfn] += 1
            return
        testimony.outside += 1
        backing = place.before if began % STEPS == BEFORE else place.after
        testimony.wrong_outside += told(kind, access, {backing.word(kind)}) in BUGS


def _rehearsed(case: Case, host: Machine) -> tuple[list[Region], int, SlotSet, SlotSet]:
    """The requests that are accepted, the errno of the first that is not, and address space 0 before and behind."""
    rehearsal = Rehearsal(case.machine, host)
    accepted: list[Region] = []
    for i, region in enumerate(case.given):
        errno = rehearsal.answer(region, f"given {i}")
        if errno:
            raise RefusedGiven(i, errorcode[errno])
        accepted.append(region)
    before = rehearsal.slots()[0]
    errno = 0
    for i, region in enumerate(case.named()):
        errno = rehearsal.answer(region, f"entry {i}")
        if errno:
            break
        accepted.append(region)
    return accepted, errno, before, rehearsal.slots()[0]
