# SPDX-License-Identifier: GPL-2.0-only
"""A KVM that a test makes up: it has the list ioctl, and goes wrong over it as it is told to.

Two sets an address space, each a model of its own; a request is looked up in one of them and done in both, and each
publication exchanges them. The log is a file.
"""

import os
import signal
from collections.abc import Callable
from errno import EEXIST
from pathlib import Path
from struct import unpack_from

from engines.real.host import Host
from engines.real.list_vm import ListVm
from engines.simulated.plain import PlainVm
from memslots.machine import machine_of
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import Gfn, Slot

MACHINE = machine_of("linux-6.1", {"max_gfn": (1 << 28) - 1})
PAGE = MACHINE.page_size
_PUBLICATIONS = {Change.CREATE: 1, Change.FLAGS_ONLY: 1, Change.DELETE: 2, Change.MOVE: 2}


class WreckedVm(ListVm):
    """One VM of such a kernel. `goes_wrong` is called when a list has been applied, and may answer for it.

    `invalid` are ids of slots that are INVALID, in both sets but for `valid_in`. `when_refused` may give another errno
    for EEXIST. `phantoms` are addresses where readers find memory nevertheless.
    """

    def __init__(self, kvm: "WreckedKvm") -> None:
        self.kvm = kvm
        self.sets = [PlainVm(MACHINE), PlainVm(MACHINE)]
        self.looked_at = [0 for _ in range(MACHINE.address_spaces)]
        self.lists = 0
        self.invalid: set[int] = set()
        self.valid_in: PlainVm | None = None
        self.slots_lock = self.slots_arch_lock = False
        self.at_close: Callable[[], object] = lambda: None
        self.when_read: Callable[[], object] = lambda: None
        self.when_refused: Callable[[int], int] = lambda errno: errno
        self.phantoms: set[int] = set()

    def set_memory_region(self, region: Region) -> int:
        if self.slots_lock:
            stuck()
        at = self.looked_at[min(region.as_id, MACHINE.address_spaces - 1)]
        ours, other = self.sets[at], self.sets[1 - at]
        asked = ours.asked_by(region)
        errno = ours.set_memory_region(region)
        if errno:
            return self.when_refused(errno) if errno == EEXIST else errno
        if asked is Change.NO_OP and region.slot in self.invalid:
            asked = Change.FLAGS_ONLY
        if asked is not Change.NO_OP:
            if self.slots_arch_lock:
                stuck()
            other.set_memory_region(region)
            self.invalid.discard(region.slot)
        self.looked_at[region.as_id] = (at + _PUBLICATIONS.get(asked, 0)) % 2
        return 0

    def set(self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int) -> int:
        return self.set_memory_region(Region(slot, flags, guest_phys_addr, memory_size, userspace_addr))

    def ask(self, slot: int, guest_phys_addr: int, memory_size: int) -> int:
        raise AssertionError("this kernel has no REGION2")

    def logs(self, slot: int) -> bool:
        there = self.sets[self.looked_at[slot >> 16]].slot(slot >> 16, slot & 0xFFFF)
        return there is not None and there.flags & 1 == 1

    @property
    def active(self) -> PlainVm:
        """The set that is active in address space 0."""
        return self.sets[1 - self.looked_at[0] if self.kvm.looks_at_inactive else self.looked_at[0]]

    def finds(self, guest_phys_addr: int) -> bool:
        self.when_read()
        page = Slot(0, -1, Gfn(guest_phys_addr // PAGE), 1, 0, 0)
        here = [slot for slot in self.active.sets[0].by_id.values() if slot.overlaps(page)]
        invalid = self.invalid if self.active is not self.valid_in else ()
        there = any(slot.id not in invalid and not slot.flags & 2 for slot in here)
        return there or guest_phys_addr in self.phantoms

    def set_list(self, packed: bytearray) -> int:
        nent, _ = unpack_from("=II", packed)
        r = 0
        for i in range(nent):
            r = -self.set_memory_region(Region(*unpack_from("=IIQQQB31s", packed, 8 + 64 * i)))
            if r:
                break
        self.lists += 1
        answer = self.kvm.goes_wrong(self)
        return r if answer is None else answer

    def close(self) -> None:
        self.at_close()


class WreckedKvm:
    """The door to it. `log` is where its log goes; `looks_at_inactive`: as with patch 8 of the series."""

    def __init__(
        self, log: Path, goes_wrong: Callable[[WreckedVm], int | None], *, looks_at_inactive: bool = False
    ) -> None:
        self.log = log
        self.goes_wrong = goes_wrong
        self.looks_at_inactive = looks_at_inactive
        self._said = 0
        log.touch()

    def host(self) -> Host:
        return Host("6.1.0-wrecked", MACHINE, False, True)

    def vm(self) -> WreckedVm:
        return WreckedVm(self)

    def say(self, *lines: str) -> None:
        """Put lines into the log."""
        with self.log.open("a") as log:
            for line in lines:
                log.write(f"4,{self._said},{self._said * 1000},-,caller=T{os.getpid()};{line}\n SUBSYSTEM=none\n")
                self._said += 1

    def loses(self, lines: int) -> None:
        """Say so many that nobody will read."""
        self._said += lines


def stuck() -> None:
    """Wait for ever."""
    while True:
        signal.pause()


def loop() -> None:
    """Work for ever."""
    while True:
        pass


def die() -> None:
    """End as a task ends that has oopsed."""
    os.kill(os.getpid(), signal.SIGKILL)
