# SPDX-License-Identifier: GPL-2.0-only
"""The engines of a build: `tree:DIR`, its list ioctl where it has one, and `tree-serial:DIR`, its single one."""

from collections.abc import Sequence
from contextlib import suppress
from errno import errorcode
from pathlib import Path

from engines.simulated.boot import at_rest
from engines.tree.built import Built, built_in
from engines.tree.library import MOST_AT_ONCE
from engines.tree.outcome import PAGE_SIZE, AskedFor, Seen, ending_of, kind_of, outcome_of, read
from engines.tree.packing import WANT_EVENTS, WANT_PUBLISHED, How, packed, tried
from engines.tree.records import NONE, Ended
from engines.tree.source_lines import SourceLines
from engines.tree.worker import Gone, Worker
from memslots.case import Case
from memslots.errors import RefusedHere, Unfit
from memslots.outcome import GIVEN, UNSEEN, Change, Event, Outcome

LIST, SERIAL = "tree", "tree-serial"
"""What stands before the colon of their names."""
_FACETS = frozenset(Outcome._fields)


_workers: dict[Built, Worker] = {}


def _worker_of(built: Built) -> Worker:
    """One for all engines of a build: each case meets a VM of its own."""
    if built not in _workers:
        _workers[built] = Worker(built.library, built.layout, built.environment)
    return _workers[built]


def end_processes() -> None:
    """End the processes that the engines of all builds share; the next case starts one anew."""
    for worker in _workers.values():
        worker.close()


class TreeList:
    """KVM_SET_USER_MEMORY_REGION_LIST of a kernel tree, with all that may come of it."""

    shows = _FACETS - {"entry_errnos", "at_first_refusal"}

    def __init__(self, name: str, built: Built, worker: Worker | None = None) -> None:
        self.name = name
        self.built = built
        self._called = Called(built, worker or _worker_of(built))

    def ran(self) -> bytes:
        """How often each basic block was run by the last case, where the build counts them."""
        return self._called.ran()

    def look_ahead(self, cases: Sequence[Case]) -> None:
        """Get ready what `apply` is about to be asked: together, cases take a fraction of their time."""
        self._called.look_ahead(cases, How.LIST, WANT_PUBLISHED)

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`. Raises Unfit, Missing."""
        want = WANT_PUBLISHED | (WANT_EVENTS if record else 0)
        seen = self._called.seen(case, How.LIST, want)
        if isinstance(seen, Outcome):
            return seen
        return outcome_of(seen, None, self._called.lines.of, record=record, published=True)


class TreeSerial:
    """KVM_SET_USER_MEMORY_REGION of a kernel tree, entry after entry, stopping at the first refusal.

    With `keep_going` it goes on after refusals. What it publishes, and what its objects lack, is there where events
    are asked for, as of `serial`.
    """

    shows = _FACETS - {"published", "incomplete"}

    def __init__(self, name: str, built: Built, worker: Worker | None = None, *, keep_going: bool = False) -> None:
        self.name = name
        self.built = built
        self.keep_going = keep_going
        self._called = Called(built, worker or _worker_of(built))

    def ran(self) -> bytes:
        """How often each basic block was run by the last case, where the build counts them."""
        return self._called.ran()

    def look_ahead(self, cases: Sequence[Case]) -> None:
        """Get ready what `apply` is about to be asked: together, cases take a fraction of their time."""
        self._called.look_ahead(cases, How.KEEP_GOING if self.keep_going else How.SERIAL, 0)

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case`. Raises Unfit, Missing."""
        how = How.KEEP_GOING if self.keep_going else How.SERIAL
        seen = self._called.seen(case, how, WANT_EVENTS | WANT_PUBLISHED if record else 0)
        if isinstance(seen, Outcome):
            return seen
        return outcome_of(seen, _asked_for(case, how), self._called.lines.of, record=record, published=record)


class Called:
    """A build's library, called with cases that its machine can take."""

    def __init__(self, built: Built, worker: Worker) -> None:
        self._built = built
        self._worker = worker
        self._sites = built.sites
        self._most_gfn = built.most_gfn
        # The case itself is kept, or another could come to its place in memory.
        self._ahead: dict[tuple[int, How, int], tuple[Case, bytes]] = {}
        self.lines = SourceLines(built.library)

    def ran(self) -> bytes:
        """How often each basic block of a build with --coverage was run by the last case; nothing of another build."""
        return self._worker.ran(self._sites)

    def seen(self, case: Case, how: How, want: int) -> Seen | Outcome:
        """What comes of a case; its outcome where the call was not come to, or took its process with it.

        Raises Unfit, RefusedHere where the tree refuses what is given, RefusedGiven, Missing.
        """
        self._fits(case)
        try:
            raw = self._taken(case, how, want) or self._worker.apply(packed(case, how, want))
        except Gone as gone:
            return _of_gone(case, gone)
        seen = read(raw, len(case.given))
        index = seen.result.refused_given
        if index == NONE:
            return seen
        at_rest(case)  # a case that is none is that for the model, too
        if seen.result.ended == Ended.RETURNED:
            raise RefusedHere(
                index, errorcode.get(-seen.result.value, "?"), f"sameslots tree check {self._built.folder}"
            )
        mishap = ending_of(seen, f"given {index}", self.lines.of)._replace(phase=GIVEN)
        return _unseen(case, mishap, kind_of(seen.result))

    def look_ahead(self, cases: Sequence[Case], how: How, want: int) -> None:
        """Apply cases that somebody is about to ask for, those very objects. What went before is forgotten."""
        fitting: list[Case] = []
        ready: list[bytes] = []
        for case in cases[:MOST_AT_ONCE]:
            with suppress(Unfit):
                self._fits(case)
                ready.append(packed(case, how, want))
                fitting.append(case)
        results = self._worker.apply_all(ready)
        self._ahead = {
            (id(case), how, want): (case, raw) for case, raw in zip(fitting, results, strict=True) if raw is not None
        }

    def _taken(self, case: Case, how: How, want: int) -> bytes | None:
        """The result that was looked ahead for."""
        _, raw = self._ahead.pop((id(case), how, want), (case, None))
        return raw

    def _fits(self, case: Case) -> None:
        for name, value in self._built.machine.items():
            asked = getattr(case.machine, name)
            if asked != value:
                raise Unfit(f"machine: {name}={asked:#x}, and this kernel tree is compiled with {value:#x}")
        if case.machine.max_gfn > self._most_gfn:
            most, asked = self._most_gfn, case.machine.max_gfn
            raise Unfit(f"machine: max_gfn={asked:#x}, and x86's own hook takes no gfn above {most:#x}")


def _asked_for(case: Case, how: How) -> AskedFor:
    """Says what entries asked for. No kernel tells that of what it refuses: the model does, as things stood."""

    def asked_for(errnos: Sequence[int]) -> list[Change]:
        vm = at_rest(case).vm.copy()
        changes: list[Change] = []
        # The one behind the last answer did not return.
        for region, errno in zip(tried(case, how), (*errnos, 0), strict=False):
            changes.append(vm.asked_by(region))
            if not errno:
                vm.set_memory_region(region)
        return changes

    return asked_for


def _of_gone(case: Case, gone: Gone) -> Outcome:
    """The outcome of a case that took its process with it, or never came to an end. What was left, nobody saw."""
    ended, detail = "crashed", f"its process died (signal {gone.signal})"
    if gone.signal is None:
        ended, detail = "looped", "never comes to an end, and was ended from without"
    return _unseen(case, Event(ended, "", 0, Change.UNKNOWN, detail), None)


def _unseen(case: Case, mishap: Event, kind: str | None) -> Outcome:
    """The outcome of a case of which only the end is known."""
    mishaps = (mishap,)
    return Outcome(mishap.kind, UNSEEN, at_rest(case).walk, kind, mishaps=mishaps, events=mishaps, page_size=PAGE_SIZE)


def engine_of(name: str, built: Built, worker: Worker | None = None) -> TreeList | TreeSerial:
    """The list ioctl of a build where it has one, else its single one. `worker`: a process of its own."""
    return (TreeList if built.list_ioctl else TreeSerial)(name, built, worker)


def tree_engine(where: str) -> TreeList | TreeSerial:
    """`tree:DIR`. Raises BadInput, Missing."""
    return engine_of(f"{LIST}:{where}", built_in(Path(where)))


def tree_serial_engine(where: str) -> TreeSerial:
    """`tree-serial:DIR`: the single ioctl. Raises BadInput, Missing."""
    return TreeSerial(f"{SERIAL}:{where}", built_in(Path(where)))
