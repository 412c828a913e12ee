# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes in the model of the serial ioctl, and how soon calibration finds each."""

import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple, cast

from bench.planting.mutants import Mutant, mutants
from bench.planting.world import World, source_of
from fuzz.calibration import Calibration, Difference, drawn_sequence
from fuzz.models import Faithful, Model, Plain
from memslots.errors import BadCase
from memslots.machine import Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import SlotSets

PACKAGE = "engines.simulated"
CHECKS: dict[str, tuple[str, ...] | None] = {
    "engines.simulated.plain": ("PlainVm.set_memory_region", "PlainVm.asked_by"),
    "engines.simulated.plain_memslots": ("PlainMemslots.another_id_in",),
    "engines.simulated.checks": None,
    "engines.simulated.serial": None,
    "engines.simulated.kernel": ("Kernel.classify", "Kernel.prepare_region", "Kernel._arch_prepare"),
    "engines.simulated.objects": ("Memslots.another_id_in",),
    "memslots.machine": ("Machine.__post_init__",),
    "memslots.region": ("Region.as_id", "Region.id"),
    "memslots.slot": ("slot_of",),
}
"""The functions that decide what a request is answered and what kind of change it is, by module; None: all of them."""

RAISED = -1
"""The answer of a model that raises an exception: no errno."""
CONTROL = "wrong by design"
_MACHINES, _REQUESTS = "memslots.machine", "memslots.region"


class Planted(NamedTuple):
    """A mutant of the model."""

    name: str
    """Module, function and mistake."""
    module: str
    mutant: Mutant


def planted() -> Iterator[Planted]:
    """Every mutant of the model's checks, by rule."""
    for module, names in CHECKS.items():
        source, path = source_of(module)
        for mutant in mutants(source, "/".join(path.parts[-module.count(".") - 1 :]), names):
            yield Planted(f"{module.rpartition('.')[2]}.{mutant.name}", module, mutant)


class Guarded:
    """A model with a mistake, whose exceptions are answers like any other."""

    def __init__(self, model: Callable[[], Model], request: Callable[[Region], Region], spaces: int) -> None:
        self._make = model
        self._model: Model | None = None
        self._request = request
        self._slots: SlotSets = ((),) * spaces
        self._asked = Change.UNKNOWN

    def set_memory_region(self, region: Region) -> int:
        """0 or an errno (positive), or RAISED."""
        try:
            self._model = self._model or self._make()
            errno = self._model.set_memory_region(self._request(region))
            self._asked, self._slots = self._model.asked(), self._model.walk()
        except Exception:  # noqa: BLE001 - whatever a mistake leads to
            return RAISED
        return errno

    def asked(self) -> Change:
        """What the last request asked for."""
        return self._asked

    def walk(self) -> SlotSets:
        """The slots of each address space, by id."""
        return self._slots


def models_with(module: str, source: str) -> dict[str, Callable[[Machine], Model]]:
    """The forms of the model that run `module`, with `source` in place of its own."""
    forms: dict[str, Callable[[World], Callable[[Machine], Model]]] = {"plain": _plain, "faithful": _faithful}
    found: dict[str, Callable[[Machine], Model]] = {}
    for name, form in forms.items():
        world = World(PACKAGE, {module: source})
        try:
            model = form(world)
        except BadCase:
            # A mistake over which not even the machines with a name can be made.
            model = _impossible
        if world.runs(module):
            found[name] = _guarded(world, model)
    return found


def _guarded(world: World, model: Callable[[Machine], Model]) -> Callable[[Machine], Model]:
    """The model on machines and requests of its own world, where that has made them."""

    def guarded(machine: Machine) -> Model:
        return Guarded(lambda: model(own(machine)), request, machine.address_spaces)

    def own(machine: Machine) -> Machine:
        if not world.runs(_MACHINES):
            return machine
        return cast(Machine, world.module(_MACHINES).Machine(machine.profile, **machine.numbers()))

    def request(region: Region) -> Region:
        return cast(Region, world.module(_REQUESTS).Region(*region)) if world.runs(_REQUESTS) else region

    return guarded


def _impossible(_: Machine) -> Model:
    raise BadCase("no machine")


def _plain(world: World) -> Callable[[Machine], Model]:
    vm = world.module(f"{PACKAGE}.plain").PlainVm
    return lambda machine: Plain(machine, vm)


def _faithful(world: World) -> Callable[[Machine], Model]:
    kernel, serial = world.module(f"{PACKAGE}.kernel"), world.module(f"{PACKAGE}.serial")
    return lambda machine: Faithful(machine, kernel.Kernel, serial.set_memory_region)


class Sequences:
    """The sequences of a seed, as `calibrate` draws them, drawn once for all that are looked for."""

    def __init__(self, seed: int, machine: Machine) -> None:
        self._rng = Random(seed)
        self._machine = machine
        self._drawn: list[list[Region]] = []

    def __iter__(self) -> Iterator[Sequence[Region]]:
        for i in range(1 << 62):
            if i == len(self._drawn):
                self._drawn.append(drawn_sequence(self._rng, self._machine))
            yield self._drawn[i]


class Search(NamedTuple):
    """How a mutant was looked for, and the first difference, or None."""

    difference: Difference | None
    requests: int
    seconds: float


def searched(
    models: dict[str, Callable[[Machine], Model]], sequences: Sequences, *, seconds: float = 60, requests: int = 0
) -> Search:
    """Calibrates these models until one differs from the kernel, at most so long; or so many requests if not 0."""
    calibration = Calibration(models=models)
    begin = time.monotonic()
    try:
        for regions in sequences:
            difference = calibration.compare(regions)
            took = time.monotonic() - begin
            if difference is not None or (calibration.ops >= requests if requests else took >= seconds):
                break
    finally:
        calibration.close()
    return Search(difference, calibration.ops, took)


class NotLookedAt(Exception):
    """A model that is wrong by design was not found out: that no other one differs means nothing."""


class Refusing(Plain):
    """A model that is wrong about the first request already."""

    def set_memory_region(self, region: Region) -> int:
        """RAISED, whatever is asked."""
        super().set_memory_region(region)
        return RAISED


def together(those: Sequence[Planted], sequences: Sequences, *, requests: int) -> Search:
    """Calibrates all of them at once on the same requests; the difference says which one it is.

    Where there is none, a model that is wrong by design comes last and is looked for, too. Raises NotLookedAt.
    """
    models = {
        f"{each.name} ({form})": model
        for each in those
        for form, model in models_with(each.module, each.mutant.source).items()
    }
    search = searched(models, sequences, requests=requests)
    if search.difference is None:
        control = searched({**models, CONTROL: Refusing}, sequences, requests=1).difference
        if control is None or control.model != CONTROL:
            raise NotLookedAt(f"of {len(models) + 1} models not all are compared: the last one is wrong by design")
    return search
