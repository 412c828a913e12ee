# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's way (8.0 and later, kvm_region_commit): deletions, then creations, one at a time, readers kept out if need be.

A listener (one an address space) queues what is to be deleted and what is to be created, and commits both queues in
the end: on the single ioctl, which is Linux 6.1's. Readers (vCPUs) are inhibited for the whole commit iff a deleted
range meets a created one. Slot numbers are those of the list, where QEMU would take the lowest that is free.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engines.simulated.boot import at_rest, boot, boot_faithfully
from engines.simulated.checks import id_refused, refusal
from engines.simulated.kernel import Kernel
from engines.simulated.plain import PlainVm
from engines.simulated.readout import SHOWS, outcome_of
from engines.simulated.recorder import RecordingKernel
from engines.simulated.serial import set_memory_region
from memslots.case import Case
from memslots.errors import UnfitEntry
from memslots.outcome import Outcome
from memslots.region import Region
from memslots.slot import Slot, slot_of


class Queued(NamedTuple):
    """What stands in a queue: the request, which entry it is, and the range that it takes away or puts there."""

    entry: int
    region: Region
    slot: Slot


class Listener:
    """What one address space is to lose and to get, in the order of the list."""

    def __init__(self) -> None:
        self.transaction_del: list[Queued] = []
        self.transaction_add: list[Queued] = []

    @property
    def need_inhibit(self) -> bool:
        """Whether some deleted range meets some created one: a walk along both, in the order of addresses."""
        deleted, created = _by_address(self.transaction_del), _by_address(self.transaction_add)
        d, a = next(deleted, None), next(created, None)
        while d is not None and a is not None:
            if d.overlaps(a):
                return True
            if d.base_gfn < a.base_gfn:
                d = next(deleted, None)
            else:
                a = next(created, None)
        return False


def _by_address(queue: Iterable[Queued]) -> Iterator[Slot]:
    return iter(sorted([queued.slot for queued in queue], key=lambda slot: slot.base_gfn))


def queued(case: Case, rest: PlainVm) -> list[Listener]:
    """The listeners of a VM whose slots are `rest`, with the list in their queues.

    Raises Unfit for a list that no transaction of QEMU's is.
    """
    listeners = [Listener() for _ in rest.sets]
    deleted: set[int] = set()
    created: set[int] = set()
    for i, region in enumerate(case.named()):
        if id_refused(case.machine, region) or refusal(case.machine, region) is not None:
            raise UnfitEntry(i, "qemu-commit sends no request with such fields")
        standing = rest.slot(region.as_id, region.id)
        listener = listeners[region.as_id]
        if not region.memory_size:
            if standing is None or region.slot in deleted:
                raise UnfitEntry(i, "qemu-commit deletes what stands when the transaction begins, and once")
            deleted.add(region.slot)
            listener.transaction_del.append(Queued(i, region, standing))
        else:
            if region.slot in created:
                raise UnfitEntry(i, "qemu-commit creates a slot once in a transaction")
            if standing is not None and region.slot not in deleted:
                raise UnfitEntry(i, "qemu-commit neither moves a slot nor changes its flags in a transaction")
            created.add(region.slot)
            listener.transaction_add.append(Queued(i, region, slot_of(region, case.machine.page_shift)))
    return listeners


class QemuCommit:
    """QEMU's commit on Linux 6.1, one listener after the other; a refused request ends it, as it aborts QEMU."""

    name = "qemu-commit"
    shows = SHOWS - {"entry_errnos", "incomplete"}

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`. Raises Unfit."""
        listeners = queued(case, at_rest(case).vm)
        if not record:
            return self._apply_on(boot(case), listeners)
        kernel = RecordingKernel(case.machine)
        boot_faithfully(case, kernel)
        return self._apply_on(kernel, listeners)._replace(events=tuple(kernel.events))

    def _apply_on(self, kernel: Kernel, listeners: Iterable[Listener]) -> Outcome:
        before = kernel.walk(0)
        for listener in listeners:
            kernel.inhibited = listener.need_inhibit
            for phase, queue in (("del", listener.transaction_del), ("add", listener.transaction_add)):
                kernel.phase = phase
                for kernel.index, region, _ in queue:
                    errno = -set_memory_region(kernel, region)
                    if errno:
                        return outcome_of(kernel, before, value=-1, errno=errno, at_first_refusal=kernel.walk(0))
        return outcome_of(kernel, before, value=0, errno=0)
