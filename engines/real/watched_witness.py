# SPDX-License-Identifier: GPL-2.0-only
"""A witness in a process of its own, for the kernel may keep one: what it saw, and how the kernel kept it.

A thread that hangs or loops in the kernel cannot be ended, nor the process that it belongs to. So a watched child
does all of it, and a third thread of that child looks whether the other two go on: the updater in the list, and the
vCPU, which KVM lets try again and again where a slot stays INVALID.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from engines.real.device import KVM
from engines.real.kmsg import KMSG, KernelLog
from engines.real.symptoms import symptoms_in
from engines.real.testimony import Place, Witnessed
from engines.real.updater import PATIENCE, Way
from engines.real.watched import Failed, Lost, Stuck, Tell, Watched
from engines.real.witness import Witness
from memslots.case import Case
from memslots.errors import BadInput, Missing

_TELL_SECONDS = 0.1
"""Between two reports of how it goes."""
OPEN, WATCH = "open", "watch"
"""What the child is asked, in this order."""
GoOn = Callable[[Witnessed], bool]


class WatchedWitness:
    """A case on a VM with a vCPU, in a child. Close it, or use it in a `with` block."""

    def __init__(
        self, case: Case, way: Way, go_on: GoOn, *, path: str = KVM, patience: float = PATIENCE, log: str = KMSG
    ) -> None:
        """Raises what `Witness` raises. `go_on` will be asked in the child."""
        self._patience = patience
        self._latest = Witnessed()
        self._log = _opened(log)
        self._child: Watched | None = Watched(_Worker(case, way, go_on, path, patience))
        try:
            answer = self._asked(OPEN)
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, Witnessed):
                raise Missing(f"{path}: this kernel makes no vCPU: {answer.finding}")
            assert isinstance(answer, list)
            self.places: list[Place] = answer
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "WatchedWitness":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child, unless the kernel keeps it."""
        if self._child is not None:
            self._child.close()
            self._child = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def watch(self, heard: Callable[[Witnessed], None]) -> Witnessed:
        """What the vCPU saw, and what the kernel did besides. `heard` is told now and then how it goes.

        Raises what the witness's `watch` raises.
        """

        def told(so_far: object) -> None:
            assert isinstance(so_far, Witnessed)
            self._latest = so_far
            heard(so_far)

        answer = self._asked(WATCH, told)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Witnessed)
        return self._with_log(answer)

    def _asked(self, question: str, told: Tell = lambda _: None) -> object:
        """The child's answer; of one that is lost, what it has told and how it was lost."""
        assert self._child is not None
        try:
            return self._child.ask(question, self._patience, told)
        except Lost as lost:
            self._child = None
            silent = f"hung: its process has said nothing for {self._patience:.0f} s"
            return replace(self._latest, finding=silent if isinstance(lost, Stuck) else "crashed: its process has died")
        except Failed:
            self._child = None
            raise

    def _with_log(self, testimony: Witnessed) -> Witnessed:
        """The same, with the kernel's own words where it died over it: who meets an oops may be held, and not end."""
        oops = "" if self._log is None else symptoms_in(self._log.news().lines).oops_text
        finding = testimony.finding
        if not finding or not oops:
            return testimony
        return replace(testimony, finding=f"{finding}: {oops}" if finding.startswith("crashed") else f"crashed: {oops}")


class _Worker:
    """What the child does. The thread that watches is left alone where the kernel keeps it."""

    def __init__(self, case: Case, way: Way, go_on: GoOn, path: str, patience: float) -> None:
        self._case, self._way, self._go_on = case, way, go_on
        self._path, self._patience = path, patience
        self._witness: Witness | None = None
        self._latest = Witnessed()
        self._answer: Witnessed | Exception | None = None

    def __call__(self, question: object, tell: Tell) -> object:
        try:
            if self._witness is None:
                self._witness = Witness(self._case, self._path, self._patience)
                return self._witness.places
            return self._watched(self._witness, tell)
        except (BadInput, Missing) as error:
            return error

    def _watched(self, witness: Witness, tell: Tell) -> Witnessed:
        """What it saw in the end."""
        watching = threading.Thread(target=self._watch, args=(witness,), daemon=True)
        watching.start()
        while self._answer is None:
            watching.join(_TELL_SECONDS)
            tell(self._so_far())
            finding = witness.lost(watching)
            if finding:
                return replace(self._so_far(), finding=finding)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def _watch(self, witness: Witness) -> None:
        def noted(so_far: Witnessed) -> bool:
            self._latest = so_far
            return self._go_on(so_far)

        try:
            self._answer = witness.watch(self._way, noted)
        except Exception as error:  # noqa: BLE001 - it is raised again where it is waited for
            self._answer = error

    def _so_far(self) -> Witnessed:
        """What was seen so far, which another thread goes on counting in."""
        latest = self._latest
        return replace(latest, counts=Counter(latest.counts), lost=Counter(latest.lost))


def _opened(log: str) -> KernelLog | None:
    try:
        return KernelLog(log)
    except Missing:
        return None
