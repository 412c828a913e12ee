# SPDX-License-Identifier: GPL-2.0-only
"""The thread that applies a list to a VM whose vCPU is at work, and undoes it, again and again."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from errno import errorcode
from typing import Protocol

from engines.real.device import ioctl
from engines.real.host import SET_USER_MEMORY_REGION_LIST
from engines.real.kept import kept
from engines.real.list_vm import packed_list
from engines.real.vm import Vm
from memslots.case import Case
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
        """What the kernel returns, or -errno of the first refusal."""
        ...


class OneAtATime:
    """KVM_SET_USER_MEMORY_REGION for each entry, up to the first refusal, the vCPU running or (`inhibited`) not.

    Inhibited is what QEMU does since 8.0 where a deleted range meets a created one (kvm_region_commit).
    """

    keeps_prefix = True

    def __init__(self, *, inhibited: bool) -> None:
        self.inhibits = inhibited

    def apply(self, vm: Vm, case: Case) -> int:
        """What the first ioctl returns that does not return 0, or -errno; 0 if all do."""
        return next(filter(None, (-vm.set_memory_region(region) for region in case.named())), 0)


class AllAtOnce:
    """KVM_SET_USER_MEMORY_REGION_LIST with the vCPU running. A kernel that hangs over it keeps its thread for ever."""

    keeps_prefix = False
    inhibits = False

    def apply(self, vm: Vm, case: Case) -> int:
        """What the call returns, or -errno."""
        return ioctl(vm.fd, SET_USER_MEMORY_REGION_LIST, packed_list(case))


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
_LOOK_SECONDS = 0.1
"""Between two looks at a thread that is to end."""

PATIENCE = 20.0
"""Seconds that one step may take, emulated kernels included."""
_SECONDS_AN_ENTRY = 0.05


def _said(answer: int) -> str:
    if answer < 0:
        return f"is refused ({errorcode.get(-answer, str(-answer))})"
    return f"returns {answer}" if answer else "is accepted"


class _Otherwise(Exception):
    """The kernel has answered otherwise than the model. The text says how."""


class Updater(threading.Thread):
    """The thread that applies the list and undoes it. `step` counts what it does; `inside` is the vCPU's to hold.

    Where the kernel answers otherwise than the model it ends, for then nobody knows what stands; `finding` says how.
    """

    def __init__(
        self,
        vm: Vm,
        case: Case,
        before: SlotSet,
        after: SlotSet,
        errno: int,
        way: Way,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(daemon=True)
        self._vm, self._case, self._way = vm, case, way
        self._before, self._after, self._errno = before, after, errno
        self._patience = patience + _SECONDS_AN_ENTRY * case.entries
        self._since = time.monotonic()
        self._waits = False
        self._stopped = threading.Event()
        self.inside = threading.Lock()
        self.step = 0
        self.finding = ""
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
                with self._outside() if self._way.inhibits else nullcontext():
                    self._next_step()
                    answer = self._way.apply(self._vm, self._case)
                    if answer != -self._errno:
                        raise _Otherwise(f"the list {_said(answer)}; the model says that it {_said(-self._errno)}")
                    self._next_step()
                if self._stopped.wait(_STAY):
                    return
                self._next_step()
                self._undo()
                self._next_step()
        except _Otherwise as otherwise:
            self.finding = str(otherwise)
        except Exception as error:  # noqa: BLE001 - it is raised again where it is waited for
            self.failed = error

    def _next_step(self) -> None:
        self._since = time.monotonic()
        self.step += 1

    @contextmanager
    def _outside(self) -> Iterator[None]:
        """While the vCPU does not run. To wait for it is no fault of the list's."""
        self._waits = True
        with self.inside:
            self._waits = False
            self._since = time.monotonic()
            yield

    def _undo(self) -> None:
        shift = self._case.machine.page_shift
        for slot in self._after:
            answer = -self._vm.set(slot.id, 0, 0, 0, 0)
            if answer:
                raise _Otherwise(f"to delete slot {slot.id}, which must stand behind the list, {_said(answer)}")
        for slot in self._before:
            place = slot.base_gfn << shift, slot.npages << shift, slot.userspace_addr
            answer = -self._vm.set(slot.id, slot.flags, *place)
            if answer:
                raise _Otherwise(f"to put slot {slot.id} back, which stood before the list, {_said(answer)}")

    def lost(self) -> str:
        """How the kernel has kept this thread, and over what. Empty while it has not."""
        what = "undoing the list" if self.step % STEPS == UNDOING else "the list"
        return "" if self._waits else kept(self, self._since, self._patience, what)

    def stop(self) -> None:
        """End it after the step that it is at; if the kernel keeps it, `finding` says so."""
        self._stopped.set()
        while self.ident is not None and self.is_alive():  # Ctrl-C may have come before it began
            self.join(_LOOK_SECONDS)
            lost = self.lost()
            if lost:
                self.finding = lost
                return
