# SPDX-License-Identifier: GPL-2.0-only
"""The thread that applies a list to a VM whose vCPU is at work, and undoes it, again and again."""

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from errno import errorcode
from typing import Protocol

from engines.real.device import ioctl
from engines.real.list_vm import SET_USER_MEMORY_REGION_LIST, packed_list
from engines.real.vm import Vm
from memslots.case import Case
from memslots.errors import Missing, Unfit
from memslots.slot import SlotSet


class Way(Protocol):
    """One way of applying a list to a VM whose vCPU runs."""

    @property
    def keeps_prefix(self) -> bool:
        """Whether a list that is refused leaves what its entries before that have made."""
        ...

    @property
    def inhibits(self) -> bool:
        """Whether the vCPU is kept out meanwhile."""
        ...

    def apply(self, vm: Vm, case: Case) -> int:
        """0, or the errno of the first refusal."""
        ...


class OneAtATime:
    """KVM_SET_USER_MEMORY_REGION for each entry, up to the first refusal, the vCPU running or (`inhibited`) not.

    Inhibited is what QEMU does since 8.0 where a deleted range meets a created one (kvm_region_commit).
    """

    keeps_prefix = True

    def __init__(self, *, inhibited: bool) -> None:
        self.inhibits = inhibited

    def apply(self, vm: Vm, case: Case) -> int:
        """0, or the errno of the first refusal."""
        return next(filter(None, (vm.set_memory_region(region) for region in case.named())), 0)


class AllAtOnce:
    """KVM_SET_USER_MEMORY_REGION_LIST with the vCPU running. A kernel that hangs over it keeps this thread for ever."""

    keeps_prefix = False
    inhibits = False

    def apply(self, vm: Vm, case: Case) -> int:
        """0, or what the call returned instead: an errno, or 1."""
        return abs(ioctl(vm.fd, SET_USER_MEMORY_REGION_LIST, packed_list(case)))


KEPT_OUT = "inhibited"
WAYS: dict[str, Callable[[], Way]] = {
    "serial": lambda: OneAtATime(inhibited=False),
    KEPT_OUT: lambda: OneAtATime(inhibited=True),
    "list": AllAtOnce,
}


BEFORE, APPLYING, AFTER, UNDOING, STEPS = 0, 1, 2, 3, 4
"""Where a round is: `step` modulo STEPS."""
_STAY = 0.0005
"""Seconds between two steps, for the vCPU to look around."""

_PATIENCE = 20.0
"""Seconds that one step may take, emulated kernels included."""


def _said(errno: int) -> str:
    return errorcode.get(errno, str(errno)) if errno else "ok"


class Updater(threading.Thread):
    """The thread that applies the list and undoes it. `step` counts what it does; `inside` is the vCPU's to hold.

    Where the kernel answers another errno than expected, it ends: `after` is then not what stands.
    """

    def __init__(self, vm: Vm, case: Case, before: SlotSet, after: SlotSet, errno: int, way: Way) -> None:
        super().__init__(daemon=True)
        self._vm, self._case, self._way = vm, case, way
        self._before, self._after, self._errno = before, after, errno
        self._stopped = threading.Event()
        self.inside = threading.Lock()
        self.step = 0
        self.failed: BaseException | None = None

    @property
    def rounds(self) -> int:
        """How often the list was applied."""
        return (self.step + 2) // STEPS

    def run(self) -> None:
        """Rounds until stopped."""
        try:
            while not self._stopped.wait(_STAY):
                # Kept out, the vCPU has no access that could be of either side: it is before the list or after it.
                with self.inside if self._way.inhibits else nullcontext():
                    self.step += 1
                    errno = self._way.apply(self._vm, self._case)
                    if errno != self._errno:
                        raise Unfit(f"the kernel answers {_said(errno)} to the list, the model {_said(self._errno)}")
                    self.step += 1
                if self._stopped.wait(_STAY):
                    return
                self.step += 1
                self._undo()
                self.step += 1
        except Exception as error:  # noqa: BLE001 - it is raised again where it is waited for
            self.failed = error

    def _undo(self) -> None:
        for slot in self._after:
            errno = self._vm.set(slot.id, 0, 0, 0, 0)
            if errno:
                raise Unfit(f"slot {slot.id} cannot be taken back: {os.strerror(errno)}")
        for slot in self._before:
            shift = self._case.machine.page_shift
            errno = self._vm.set(slot.id, slot.flags, slot.base_gfn << shift, slot.npages << shift, slot.userspace_addr)
            if errno:
                raise Unfit(f"slot {slot.id} cannot be put back: {os.strerror(errno)}")

    def stop(self) -> None:
        """End it after the step that it is at, if the kernel ever comes back from it."""
        self._stopped.set()
        if self.ident is None:
            return  # Ctrl-C came before it began
        self.join(_PATIENCE)
        if self.is_alive():
            self.failed = Missing(f"the kernel has not come back from the list for {_PATIENCE:.0f} s: boot it again")
