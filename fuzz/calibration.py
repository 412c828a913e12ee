# SPDX-License-Identifier: GPL-2.0-only
"""The model beside the kernel that runs here: the same requests, one by one, and after each the same answer and slots?

What a granted request did must also be what the model calls it. No kernel tells what a refused one asked for: there
each model is held to the rehearsal, so that both forms call it the same.

A difference is a mistake in the model, or news about Linux.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from errno import errorcode
from random import Random
from typing import NamedTuple

from engines.real.clean import CleanVm
from engines.real.device import KVM
from engines.real.host import this_host
from engines.real.readback import Named, Readback
from engines.real.rehearsal import Rehearsal
from engines.real.vm import Vm
from engines.simulated.plain import PlainVm
from fuzz.grammar import CHOICE_BITS, Grammar
from fuzz.layout import GESTURE
from fuzz.models import MODELS, Model
from fuzz.profiles import PROFILES, profile
from memslots.case import Case
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import SlotSets
from reducers.reduce import reduced

GESTURES_A_SEQUENCE = 48
_BOUNDARY_SHARE = 0.35
_BOUNDARIES = [i for i, gesture in enumerate(profile(0).gestures) if gesture == "boundary"]


class Difference(NamedTuple):
    """Where a model and the kernel part, at the last of `regions`: in answer, slots, or what the change is called."""

    model: str
    regions: tuple[Region, ...]
    asked: Change
    called: Change
    """What the model says was asked for."""
    expected: int
    """The model's errno."""
    answered: int
    """The kernel's."""
    expected_slots: SlotSets
    slots: SlotSets

    @property
    def kind(self) -> str:
        """What a reduction keeps: who parts, at what kind of change, with which answers."""
        expected, answered = (
            errorcode.get(errno, str(errno)) if errno else "ok" for errno in (self.expected, self.answered)
        )
        if expected == answered and self.expected_slots == self.slots:
            return f"{self.model} {self.asked.name}: {expected}, and the model calls it {self.called.name}"
        if expected == answered:
            return f"{self.model} {self.asked.name}: {expected}, and other slots"
        return f"{self.model} {self.asked.name}: the model says {expected}, the kernel {answered}"


def drawn_sequence(rng: Random, machine: Machine) -> list[Region]:
    """Requests that play on a few slots, a third of them with a field at its limit."""
    favoured = rng.random() < 0.5
    grammar = Grammar(profile(rng.randrange(1, PROFILES) if favoured else 0), PlainVm(machine))
    for _ in range(GESTURES_A_SEQUENCE):
        choice = rng.getrandbits(CHOICE_BITS)
        if not favoured and rng.random() < _BOUNDARY_SHARE:
            choice = choice & ~GESTURE.mask | GESTURE.saying(rng.choice(_BOUNDARIES))
        grammar.add(choice)
    return grammar.regions


class Calibration:
    """Sequences on one VM of this machine's kernel, and on the models; with counts of what was asked and answered."""

    def __init__(self, path: str = KVM, models: dict[str, Callable[[Machine], Model]] | None = None) -> None:
        """Raises Missing without /dev/kvm."""
        self.host = this_host(path)
        self._models = MODELS if models is None else models
        self._clean = CleanVm(path)
        self.ops = 0
        self.left_out = 0
        self.counts: Counter[tuple[Change, int]] = Counter()

    def close(self) -> None:
        """Give back what is open."""
        self._clean.close()

    def compare(self, regions: Sequence[Region], *, counted: bool = True) -> Difference | None:
        """The first difference, or None. What could make the kernel allocate too much is left out."""
        vm = self._clean.taken()
        try:
            difference, slots = self._compared(vm, regions, counted)
        except BaseException:
            vm.close()
            raise
        if difference is None:
            self._clean.handed_back(vm, slots)
        else:
            vm.close()
        return difference

    def _compared(self, vm: Vm, regions: Sequence[Region], counted: bool) -> tuple[Difference | None, SlotSets]:
        """The first difference, and what stands in `vm` if there is none."""
        machine = self.host.machine
        readback = Readback(vm, machine, Named(machine, machine, regions), region2=self.host.region2)
        rehearsal = Rehearsal(machine, machine)
        models = [(name, make(machine)) for name, make in self._models.items()]
        slots = rehearsal.slots()
        done: list[Region] = []
        for region in regions:
            if not rehearsal.may_go(region):
                self.left_out += counted
                continue
            asked = rehearsal.asked_by(region)
            rehearsal.answer(region, "")
            answered = vm.set_memory_region(region)
            done.append(region)
            if counted:
                self.ops += 1
                self.counts[asked, answered] += 1
            before = slots
            read: SlotSets | None = None
            for name, model in models:
                expected = model.set_memory_region(region)
                slots = model.walk()
                # One reading serves every model that expects the same slots.
                as_read = expected == answered and (slots == read or readback.equal(slots))
                shown = done_to(region, before, slots) if as_read and not answered else asked
                if not as_read or model.asked() is not shown:
                    read = slots if as_read else readback.slots()
                    found = Difference(name, tuple(done), shown, model.asked(), expected, answered, slots, read)
                    return found, read
                read = slots
        return None, slots


def done_to(region: Region, before: SlotSets, after: SlotSets) -> Change:
    """What a request did that the kernel granted, by the slots before and after it."""
    was, now = (next((slot for slot in slots[region.as_id] if slot.id == region.id), None) for slots in (before, after))
    if was is None or now is None:
        return Change.UNKNOWN if was is now else Change.CREATE if was is None else Change.DELETE
    if was.base_gfn != now.base_gfn:
        return Change.MOVE
    return Change.FLAGS_ONLY if was != now else Change.NO_OP


def smallest(calibration: Calibration, difference: Difference) -> Difference:
    """The difference with the fewest and plainest requests that shows the same kind again."""
    kind = difference.kind
    machine = calibration.host.machine

    def again(case: Case) -> Difference | None:
        found = calibration.compare(case.apply, counted=False)
        return found if found is not None and found.kind == kind else None

    problem = reduced(Case(difference.regions, machine=machine), lambda case: again(case) is not None)
    return again(problem.case) or difference
