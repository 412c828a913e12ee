# SPDX-License-Identifier: GPL-2.0-only
"""What is done with a kernel tree each time that it is saved: built, checked, tried on known cases, then fuzzed."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from engines.simulated.engines import Serial
from engines.tree.built import Built
from engines.tree.engine import LIST, engine_of
from engines.tree.tools import Unbuildable
from engines.tree.worker import Worker
from fuzz.campaign import NotAgain, buckets_shown, text_of_record
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.progress import Progress
from fuzz.trial import Trial
from memslots.case import Case
from reducers.reduce import reduced

_WATCHED = (
    *("virt/kvm/*.[ch]", "arch/x86/kvm/*.[ch]", "arch/x86/include/asm/kvm*.h", "arch/x86/include/uapi/asm/kvm.h"),
    *("include/linux/kvm*.h", "include/uapi/linux/kvm.h"),
)
"""The files whose change is a save. Others are seen by the build that the next of these brings about."""
_LOOK_SECONDS = 0.3
Stamp = Callable[[], object]


class Saved(Exception):
    """The tree has been saved, and what is under way is about code that is no more."""


def stamp_of(tree: Path) -> Stamp:
    """Says something else each time that a file of the tree has changed."""

    def stamp() -> object:
        found: list[tuple[str, int, int]] = []
        for path in (each for pattern in _WATCHED for each in tree.glob(pattern)):
            try:
                seen = path.stat()
            except OSError:
                continue  # an editor is about to put another in its place
            found.append((str(path), seen.st_mtime_ns, seen.st_size))
        return tuple(found)

    return stamp


class Saves:
    """When the tree was last looked at, and what it was like."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._seen = stamp()
        self._looked = time.monotonic()

    def look(self) -> None:
        """Raises Saved if there is something new. Looks at files now and then only."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        seen = self._stamp()
        if seen != self._seen:
            self._seen = seen
            raise Saved

    def wait(self) -> None:
        """Return when the tree is saved."""
        while True:
            try:
                self.look()
            except Saved:
                return
            time.sleep(_LOOK_SECONDS)


class Round:
    """One save's share of the work. It ends with Saved, or by Ctrl-C."""

    def __init__(self, build: Built, saves: Saves, tell: Callable[[str], None]) -> None:
        self._worker = Worker(build.library, build.layout, build.environment)
        engine = engine_of(f"{LIST}:{build.folder}", build, self._worker)
        self._build = build
        self._trial = Trial(Serial(), engine)
        self._saves = saves
        self._tell = tell
        self.cases = 0
        self.buckets: set[str] = set()

    def close(self) -> None:
        """End its process."""
        self._worker.close()

    def known(self, cases: Iterable[Case]) -> None:
        """Try cases that one has already, as far as they are for such a machine."""
        for case in cases:
            self._try(case)

    def drawn(self, rng: Random, progress: Progress) -> None:
        """Try drawn cases till the tree is saved."""
        machine = self._build.vm
        while True:
            case = case_of(drawn_choices(rng))
            self._try(replace(case, machine=replace(machine, max_gfn=case.machine.max_gfn)))
            progress.tick(
                f"{progress.seconds:5.0f} s   {self.cases:,} cases   {len(self.buckets)} buckets, waiting for a save",
                cases=self.cases,
                buckets=len(self.buckets),
            )

    def _try(self, case: Case) -> None:
        self._saves.look()
        self.cases += 1
        for bucket in sorted(self._shown(case) - self.buckets):
            if bucket in self.buckets:
                continue  # told with the one before
            small = self._smallest(case, bucket)
            self.buckets |= {bucket, *self._shown(small)}
            try:
                self._tell(text_of_record(self._trial, small, bucket))
            except NotAgain as error:
                self._tell(str(error))

    def _smallest(self, case: Case, bucket: str) -> Case:
        return reduced(case, lambda smaller: bucket in self._shown(smaller)).case

    def _shown(self, case: Case) -> frozenset[str]:
        self._saves.look()
        return buckets_shown(self._trial, case)


def rounds(
    path: Path,
    rebuild: Callable[[Path], Built],
    saves: Saves,
    known: Callable[[], Iterator[Case]],
    tell: Callable[[str], None],
) -> Iterator[None]:
    """Build, try and fuzz the tree; once more after each save, when the caller asks for the next."""
    while True:
        begin = time.monotonic()
        try:
            build = rebuild(path)
        except Unbuildable as failure:
            tell("\n".join((str(failure), *failure.lines)))
            saves.wait()
            yield
            continue
        tell(f"{build.folder}: built and checked in {time.monotonic() - begin:.1f} s")
        if build.difference:
            tell(f"Its single ioctl and serial part:\n{build.difference}")
        this = Round(build, saves, tell)
        try:
            with Progress("watch", tree=str(path)) as progress:
                this.known(known())
                this.drawn(Random(os.urandom(8)), progress)
        except Saved:
            tell(f"{this.cases:,} cases, {len(this.buckets)} buckets; saved: once more")
        finally:
            this.close()
        yield
