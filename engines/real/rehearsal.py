# SPDX-License-Identifier: GPL-2.0-only
"""What the model says of a request before it goes to a real kernel: its answer, and whether it may go at all.

The metadata of a slot takes 10 bytes a page and a MOVE holds two copies: 2^31 - 1 pages would take 20 GiB.
"""

from errno import EEXIST

from engines.simulated.plain import PlainVm
from memslots.errors import Unfit
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import SlotSets

MOST_PAGES = 1024
"""The longest slot that a request may make or move on a real kernel, in pages."""


class Rehearsal:
    """The requests so far, played on the model of the case's machine, and on one of the host where they differ."""

    def __init__(self, machine: Machine, host: Machine) -> None:
        if machine.page_size != host.page_size:
            raise Unfit(f"machine: page_size={machine.page_size:#x}, and this host has {host.page_size:#x}")
        self._vm = PlainVm(machine)
        self._host = PlainVm(host) if host != machine else None
        self._differs = ", ".join(
            f"{name}={value:#x} on this host"
            for name, value in host.numbers().items()
            if machine.numbers()[name] != value
        )
        self._page_shift = machine.page_shift
        self.led_astray = False
        """Whether the kernel has answered otherwise than the model: then nothing is certain to be refused."""

    def answer(self, region: Region, where: str) -> int:
        """0 or the errno (positive) that is to come. Raises Unfit, saying `where`, for a request that may not go."""
        large = region.memory_size >> self._page_shift > MOST_PAGES
        asked = self._vm.asked_by(region) if large else Change.UNKNOWN
        errno = self._vm.set_memory_region(region)
        # Refused for certain before anything is allocated: by its own fields, its slot's, or an overlap.
        if large and (self.led_astray or not (asked is Change.UNKNOWN or errno == EEXIST)):
            raise Unfit(
                f"{where}: memory_size={region.memory_size:#x}: expected at most {MOST_PAGES} pages on a real kernel,"
                " or a request that is refused before anything is allocated"
            )
        if self._host is not None and self._host.set_memory_region(region) != errno:
            raise Unfit(f"{where}: the case's machine answers otherwise than this host's would: {self._differs}")
        return errno

    def slots(self) -> SlotSets:
        """The slots that are to stand now."""
        return self._vm.walk()
