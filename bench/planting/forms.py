# SPDX-License-Identifier: GPL-2.0-only
"""Engines with a mistake in them: the forms in which an engine runs from other sources, as engines for a trial.

Whatever a mistake leads to is an outcome: an exception is a crash, a loop without end is one that ended `looped`.
"""

from collections.abc import Callable

from bench.planting.limit import Endless, Limit
from bench.planting.world import World
from engines.protocol import Engine, RefusedGiven
from engines.simulated.engines import Serial
from engines.simulated.readout import SHOWS
from memslots.case import Case
from memslots.outcome import UNSEEN, Outcome

SECONDS = 0.3
"""CPU time that a call may take: the longest lists of all take a tenth of it."""

SIMULATED = "engines.simulated"
IDEAL = "engines.ideal"


_ALWAYS = frozenset(
    (
        *("value", "errno", "inactive", "generation", "slots_lock", "slots_arch_lock", "nr_memslot_pages", "damage"),
        *("dangling", "corrupt", "leaked", "warned", "publications", "mishaps", "published"),
    )
)
"""What an engine that vouches for it has to show of every call that returns: oracles take None for not shown."""


class Guarded:
    """An engine whose exceptions are outcomes, and the lack of a facet that it vouches for.

    RefusedGiven stays what it is: nobody can judge such a case.
    """

    def __init__(self, name: str, shows: frozenset[str], apply: Callable[[Case], Outcome]) -> None:
        self.name = name
        self.shows = shows
        self._apply = apply
        self._vouched = _ALWAYS & shows
        self._limit = Limit(SECONDS)

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`. Raises RefusedGiven."""
        try:
            with self._limit:
                outcome = self._apply(case)
        except RefusedGiven:
            raise
        except Endless:
            return Outcome("looped", UNSEEN, UNSEEN)
        except Exception as error:  # noqa: BLE001 - whatever a mistake leads to
            return Outcome("crashed", UNSEEN, UNSEEN, type(error).__name__)
        if outcome.ended == "returned" and any(getattr(outcome, facet) is None for facet in self._vouched):
            return Outcome("crashed", UNSEEN, UNSEEN, "nothing to be seen")
        return outcome


def plain(world: World) -> Engine:
    """Serial by its short cut."""
    serial = world.module(f"{SIMULATED}.engines").Serial()
    return Guarded("serial", Serial.shows, serial.apply)


def faithful(world: World) -> Engine:
    """Serial on the kernel with pointers, and all that it publishes."""
    linked = world.module(f"{SIMULATED}.linked")
    return _on_a_kernel(world, lambda: linked.LinkedMemslots)


def indexed(world: World) -> Engine:
    """Serial on the kernel whose sets are dictionaries."""
    objects = world.module(f"{SIMULATED}.objects")
    return _on_a_kernel(world, lambda: objects.Memslots)


def _on_a_kernel(world: World, memslots: Callable[[], type]) -> Engine:
    serial = world.module(f"{SIMULATED}.engines").Serial()
    boot_faithfully = world.module(f"{SIMULATED}.boot").boot_faithfully
    kernel_of = world.module(f"{SIMULATED}.kernel").Kernel
    ended = world.module(f"{SIMULATED}.ended").Ended
    misused = world.module(f"{SIMULATED}.vm").Misused

    def apply(case: Case) -> Outcome:
        try:
            kernel = kernel_of(case.machine, memslots())
            boot_faithfully(case, kernel)
            outcome: Outcome = serial._apply_on(kernel, case)
        except ended as end:
            return Outcome(end.ended, UNSEEN, UNSEEN, end.kind)
        except misused:
            return Outcome("unknown", UNSEEN, UNSEEN, corrupt=True)
        # What a list of single requests leaves without backing on the way is its nature, and no mistake.
        return outcome._replace(page_size=None)

    return Guarded("serial", SHOWS, apply)


def ideal(world: World) -> Engine:
    """The engine `ideal`."""
    engine = world.module(f"{IDEAL}.engine").Ideal()
    return Guarded("ideal", engine.shows, engine.apply)


class Faithfully:
    """The reference for mistakes in the short cut, which must not be judged by it."""

    name = "serial"
    shows = Serial.shows

    def __init__(self) -> None:
        self._serial = Serial()

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case` on the kernel with pointers."""
        return self._serial.apply_faithfully(case)
