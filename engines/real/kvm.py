# SPDX-License-Identifier: GPL-2.0-only
"""The single ioctl of the kernel that runs here, entry after entry."""

from collections.abc import Iterable
from errno import errorcode

from engines.protocol import RefusedGiven
from engines.real.clean import CleanVm
from engines.real.device import KVM
from engines.real.host import Host, this_host
from engines.real.readback import Named, Readback
from engines.real.rehearsal import Rehearsal
from engines.real.vm import Vm
from memslots.case import Case
from memslots.errors import Unfit
from memslots.outcome import Event, Outcome
from memslots.region import Region
from memslots.slot import SlotSets


class IoctlSerial:
    """KVM_SET_USER_MEMORY_REGION of this machine's kernel, stopping at the first refusal as `Serial` does.

    With `keep_going` it goes on after refusals, and tries every entry that the case gives.
    """

    name = "kvm"
    shows = frozenset(("ended", "value", "errno", "entry_errnos", "before", "active", "at_first_refusal"))

    def __init__(self, *, keep_going: bool = False, path: str = KVM) -> None:
        self.keep_going = keep_going
        self._path = path
        self._clean = CleanVm(path)

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`. Raises Missing without /dev/kvm, Unfit for what this kernel cannot be given."""
        host = this_host(self._path)
        if case.faults:
            raise Unfit(f"fault {case.faults[0][0]}: a real kernel fails when it likes")
        rehearsal = Rehearsal(case.machine, host.machine)
        vm = self._clean.taken()
        try:
            outcome, sound = _applied(vm, case, host, rehearsal, self.keep_going)
        except BaseException:
            vm.close()
            raise
        if sound:
            self._clean.handed_back(vm, outcome.active)
        else:
            vm.close()
        return outcome

    def close(self) -> None:
        """Give back what is open."""
        self._clean.close()


def _applied(vm: Vm, case: Case, host: Host, rehearsal: Rehearsal, keep_going: bool) -> tuple[Outcome, bool]:
    """The outcome, and whether the VM holds what the model says it should."""
    named = Named(case.machine, host.machine, (*case.given, *case.apply))
    readback = Readback(vm, case.machine, named, region2=host.region2)
    sound = True

    def seen() -> SlotSets:
        nonlocal sound
        expected = rehearsal.slots()
        if readback.equal(expected):
            return expected
        sound = False
        return readback.slots()

    for i, region in enumerate(case.given):
        expected = rehearsal.answer(region, f"given {i}")
        errno = vm.set_memory_region(region)
        rehearsal.led_astray |= errno != expected
        # What the kernel alone refuses is no bad input: the list finds other slots than it should, and that is told.
        if errno and expected:
            raise RefusedGiven(i, errorcode[expected])
    before = seen()
    at_first_refusal = None
    errnos: list[int] = []
    refusals: list[Event] = []
    entries: Iterable[Region] = case.apply if keep_going else case.named()
    for i, region in enumerate(entries):
        asked = rehearsal.asked_by(region)
        expected = rehearsal.answer(region, f"entry {i}")
        errno = vm.set_memory_region(region)
        rehearsal.led_astray |= errno != expected
        errnos.append(errno)
        if errno:
            refusals.append(Event("refuse", "", i, asked))
        if errno and at_first_refusal is None:
            at_first_refusal = seen()
            if not keep_going:
                break
    active = at_first_refusal if at_first_refusal is not None and not keep_going else seen()
    first = next((errno for errno in errnos if errno), 0)
    return (
        Outcome(
            "returned",
            active,
            before,
            value=-1 if first else 0,
            errno=first,
            entry_errnos=tuple(errnos),
            at_first_refusal=at_first_refusal,
            # Of what it accepts, nobody sees how. What it refuses was asked for in a state that the model knows, too.
            mishaps=tuple(refusals) or None,
        ),
        sound,
    )
