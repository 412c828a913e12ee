# SPDX-License-Identifier: GPL-2.0-only
"""A VM without slots for each case: making one takes ten times as long as emptying it."""

import os

from engines.real.device import KVM, opened
from engines.real.vm import Vm
from memslots.slot import SlotSets


class CleanVm:
    """A VM without slots, the same one again as long as its user hands it back clean, and never across a fork."""

    def __init__(self, path: str = KVM) -> None:
        self._path = path
        self._pid = 0
        self._kvm = -1
        self._vm: Vm | None = None

    def taken(self) -> Vm:
        """The VM, for its user to change. Raises Missing."""
        if self._pid != os.getpid():
            # A child may not use its parent's VM (EIO), and what it holds open of it would keep it alive.
            self.drop()
            if self._kvm >= 0:
                os.close(self._kvm)
            self._kvm = opened(self._path)
            self._pid = os.getpid()
        vm = self._vm or Vm(self._kvm)
        self._vm = None
        return vm

    def handed_back(self, vm: Vm, slots: SlotSets) -> None:
        """`vm` holds exactly these slots: they are deleted, and it is kept; or closed, where one stays."""
        if any(vm.set(slot.as_id << 16 | slot.id, 0, 0, 0, 0) for of_space in slots for slot in of_space):
            vm.close()
        else:
            self._vm = vm

    def drop(self) -> None:
        """Close the VM that is kept, if one is."""
        if self._vm is not None:
            self._vm.close()
            self._vm = None

    def close(self) -> None:
        """Close everything."""
        self.drop()
        if self._kvm >= 0:
            os.close(self._kvm)
        self._kvm, self._pid = -1, 0
