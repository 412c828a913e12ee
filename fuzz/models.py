# SPDX-License-Identifier: GPL-2.0-only
"""Both forms of the serial reference behind one door, for whoever compares them with a kernel request by request."""

from collections.abc import Callable
from typing import Protocol

from engines.simulated.kernel import Kernel
from engines.simulated.plain import PlainVm
from engines.simulated.serial import set_memory_region
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import SlotSets


class Model(Protocol):
    """Who says what a request will be answered, what it asked for, and which slots stand then."""

    def set_memory_region(self, region: Region) -> int:
        """0 or an errno (positive)."""
        ...

    def asked(self) -> Change:
        """What the last request asked for, as things stood; UNKNOWN if it was refused before that was known."""
        ...

    def walk(self) -> SlotSets:
        """The slots of each address space, by id."""
        ...


class Plain:
    """The short cut that campaigns use, as a model."""

    def __init__(self, machine: Machine, vm: Callable[[Machine], PlainVm] = PlainVm) -> None:
        self._vm = vm(machine)
        self._asked = Change.UNKNOWN

    def set_memory_region(self, region: Region) -> int:
        """0 or an errno (positive)."""
        self._asked = self._vm.asked_by(region)
        return self._vm.set_memory_region(region)

    def asked(self) -> Change:
        """What the last request asked for."""
        return self._asked

    def walk(self) -> SlotSets:
        """The slots of each address space, by id."""
        return self._vm.walk()


class Faithful:
    """The simulated kernel with its pointers, as a model."""

    def __init__(
        self,
        machine: Machine,
        kernel: Callable[[Machine], Kernel] = Kernel,
        ioctl: Callable[[Kernel, Region], int] = set_memory_region,
    ) -> None:
        self._kernel = kernel(machine)
        self._ioctl = ioctl

    def set_memory_region(self, region: Region) -> int:
        """0 or an errno (positive)."""
        return -self._ioctl(self._kernel, region)

    def asked(self) -> Change:
        """What the last request asked for."""
        entry = self._kernel.entry
        return Change.UNKNOWN if entry is None else entry.asked

    def walk(self) -> SlotSets:
        """The active sets."""
        return self._kernel.walk(0)


MODELS: dict[str, Callable[[Machine], Model]] = {"plain": Plain, "faithful": Faithful}
