# SPDX-License-Identifier: GPL-2.0-only
"""The engines that run on the simulated kernel."""

from collections.abc import Sequence

from engines.simulated import serial_rfc_v1
from engines.simulated.boot import at_rest, boot, boot_faithfully
from engines.simulated.completeness import incomplete_objects, lost_arrays
from engines.simulated.ended import Ended
from engines.simulated.kernel import Kernel
from engines.simulated.linked import LinkedMemslots
from engines.simulated.plain_list import followed
from engines.simulated.readout import SHOWS, outcome_of
from engines.simulated.recorder import RecordingKernel
from engines.simulated.rfc_v1 import ListCall
from engines.simulated.serial import set_memory_region
from engines.simulated.vm import Misused
from memslots.case import Case
from memslots.outcome import Event, Outcome
from memslots.slot import SlotSets


class Serial:
    """The reference: Linux 6.1's single ioctl, entry after entry, stopping at the first refusal.

    It tries the entries that the list's header names. With `keep_going` it goes on after refusals, and tries
    every entry that the case gives: each alone, so there is no header.

    What it publishes, and whether slots lack anything, is there where events are asked for: the short cut has no such
    list and no such objects.
    """

    name = "serial"
    shows = SHOWS - {"published", "incomplete"}

    _ioctl = staticmethod(set_memory_region)

    def __init__(self, *, keep_going: bool = False) -> None:
        self.keep_going = keep_going

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`."""
        if record or case.faults:
            return self.apply_faithfully(case, record=record)
        return self._apply_plainly(case)

    def apply_faithfully(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case` on the kernel with pointers."""
        kernel = RecordingKernel(case.machine) if record else Kernel(case.machine, LinkedMemslots)
        boot_faithfully(case, kernel)
        outcome = self._apply_on(kernel, case)
        if isinstance(kernel, RecordingKernel):
            return outcome._replace(events=tuple(kernel.events))
        return outcome._replace(published=None, incomplete=None)

    def _apply_on(self, kernel: Kernel, case: Case) -> Outcome:
        before = kernel.walk(0)
        errnos: list[int] = []
        at_first_refusal = None
        for i, region in enumerate(case.apply if self.keep_going else case.named()):
            kernel.index = i
            errno = -self._ioctl(kernel, region)
            errnos.append(errno)
            if errno and at_first_refusal is None:
                at_first_refusal = kernel.walk(0)
                if not self.keep_going:
                    break
        first = next(filter(None, errnos), 0)
        outcome = outcome_of(
            kernel,
            before,
            value=-1 if first else 0,
            errno=first,
            entry_errnos=tuple(errnos),
            at_first_refusal=at_first_refusal,
        )
        return outcome._replace(
            leaked=(outcome.leaked or 0) + lost_arrays(kernel), incomplete=len(incomplete_objects(kernel))
        )

    def _apply_plainly(self, case: Case) -> Outcome:
        rest, before = at_rest(case)
        vm = rest.copy()
        errnos: list[int] = []
        first = 0
        at_first_refusal: SlotSets | None = None
        entries = case.apply if self.keep_going or case.nent is None else case.named()
        mishaps: list[Event] = []
        for region in entries:
            errno = vm.set_memory_region(region)
            if errno:
                mishaps.append(Event("refuse", "", len(errnos), vm.asked_by(region)))
                if not first:
                    first = errno
                    at_first_refusal = vm.walk_since(rest, before)
            errnos.append(errno)
            if first and not self.keep_going:
                break
        after = at_first_refusal
        if after is None or self.keep_going:
            after = vm.walk_since(rest, before)
        spaces = len(after)
        return Outcome(
            "returned",
            after,
            before,
            None,
            -1 if first else 0,
            first,
            tuple(errnos),
            at_first_refusal,
            after,
            tuple([as_id + n * spaces for as_id, n in enumerate(vm.swaps)]),
            False,
            False,
            vm.nr_memslot_pages,
            (),
            False,
            False,
            0,
            False,
            sum(vm.swaps) - sum(rest.swaps),
            tuple(mishaps),
            page_size=case.machine.page_size,
        )


class SerialRfcV1(Serial):
    """The single ioctl of a kernel with the RFC's patches, entry after entry, stopping at the first refusal.

    What is accepted takes the short cut of the kernel without the patches: they change what happens when something
    fails.
    """

    name = "serial-rfc-v1"
    _ioctl = staticmethod(serial_rfc_v1.set_memory_region)

    def __init__(self) -> None:
        super().__init__()

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`."""
        outcome = super().apply(case, record=record)
        if record or case.faults or not outcome.value:
            return outcome
        return self._apply_on(boot(case), case)._replace(published=None)


class RfcV1:
    """The list ioctl as posted on 9 Sep 2022, on Linux 6.1 with the nine patches.

    Without `aftermath` a call that goes astray is not followed any further: its outcome is `unknown`, corrupt, and
    knows its mishaps up to the stray edit. That is all a bucket needs, at a fifth of the price.
    """

    name = "rfc-v1"
    shows = SHOWS - {"entry_errnos", "at_first_refusal", "incomplete"}

    def __init__(self, *, aftermath: bool = True) -> None:
        self.aftermath = aftermath

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`."""
        if record:
            return self.apply_faithfully(case, record=True)
        if not case.faults:
            rest, before = at_rest(case)
            call = followed(case, rest)
            if call is not None:
                if not call.stray:
                    return call.outcome(before)
                return self._gone_astray(case, call.walk(before), call.damage, call.mishaps)
        kernel = boot(case)
        try:
            return self._apply_on(kernel, case)
        except Misused:
            return self._gone_astray(case, kernel.walk(0), tuple(sorted(kernel.damage)), kernel.mishaps)

    def apply_faithfully(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case` on the kernel with pointers."""
        kernel = RecordingKernel(case.machine) if record else Kernel(case.machine, LinkedMemslots)
        boot_faithfully(case, kernel)
        outcome = self._apply_on(kernel, case)
        return outcome._replace(events=tuple(kernel.events)) if isinstance(kernel, RecordingKernel) else outcome

    def _gone_astray(self, case: Case, active: SlotSets, damage: tuple[str, ...], mishaps: Sequence[Event]) -> Outcome:
        """What becomes of a case whose sets go astray, where these were `active`."""
        if self.aftermath:
            return self.apply_faithfully(case)
        return Outcome("unknown", active, active, damage=damage, corrupt=True, mishaps=tuple(mishaps))

    def _apply_on(self, kernel: Kernel, case: Case) -> Outcome:
        before = kernel.walk(0)
        call = ListCall(kernel, case)
        try:
            for _ in call.steps():
                pass
        except Ended as end:
            kernel.call_ends(end)
            return outcome_of(kernel, before, ended=end.ended, kind=end.kind)
        kernel.call_ends()
        r = call.r
        return outcome_of(kernel, before, value=-1 if r < 0 else r, errno=-min(r, 0))
