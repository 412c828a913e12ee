# SPDX-License-Identifier: GPL-2.0-only
"""Engines inside a guest: a guest that hangs or crashes is an outcome, and another one takes its place.

What a kernel does may depend on the cases before. So the case at which a guest came to harm is applied once more, as
the first of a fresh guest; and what is said of it is what the fresh guest does. A quick engine leaves that out.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TextIO

from engines.catalogue import MACHINES, engine_named
from engines.guests.applying import machine_request, machine_told, outcome_of, request
from engines.guests.console import Console
from engines.guests.frames import Frame, Kind
from engines.guests.guest import DIED, Guest, Lost
from engines.guests.plan import Plan
from engines.protocol import Engine
from memslots.case import Case
from memslots.errors import BadInput, Missing
from memslots.jsonl import line_from_case
from memslots.machine import Machine
from memslots.outcome import Outcome

BOOTING = "guest: booting "
"""How the line begins that tells of a boot: the last line, while it lasts."""
_BOOTS = 2
"""How often a guest is booted before it is said that this kernel does not come up."""


class Guests:
    """One guest at a time, booted when it is needed, and again when it was lost. Close it, or use it in a `with`."""

    def __init__(self, plan: Plan, *, boot: Callable[[Plan], Guest] = Guest, news: TextIO | None = None) -> None:
        """`news` gets lines for every guest that boots or is lost, and one at the end; standard error if it is None."""
        self._plan = plan
        self._boot = boot
        self._news = news
        self._guest: Guest | None = None
        self._cases = 0
        self.counts: Counter[str] = Counter()
        """What happened: boots, cases, and how often a loss was seen, tried again, and seen again."""

    def __enter__(self) -> "Guests":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the guest, if one runs, and say what there was."""
        self.drop()
        if self.counts:
            said = ", ".join(f"{name} {count:,}" for name, count in sorted(self.counts.items()))
            self.counts.clear()
            self._say(f"{self._plan.kernel}: {said}")

    def drop(self) -> None:
        """Stop the guest; the next case has another one."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def named(self, name: str, *, quick: bool = False) -> "GuestEngine":
        """The engine of this name in the guest. Raises BadInput for one that there is not."""
        return GuestEngine(self, name, engine_named(name, quick=quick), quick=quick)

    def machine(self, name: str) -> Machine | None:
        """What the VMs of the guest's kernel are like, where the engine is that kernel. Raises Missing."""
        if name not in MACHINES:
            return None
        try:
            return machine_told(self.answer(machine_request(name)))
        except Lost as lost:
            raise Missing(f"{self._plan.kernel}: {lost}, when asked about its KVM") from None

    def answer(self, asked: bytes, *, fresh: bool = False) -> bytes:
        """What the process inside makes of a request; `fresh`, in a guest that has had no other. Raises Lost."""
        if fresh and self._cases:
            self.drop()
        guest = self._booted()
        self._cases += 1
        self.counts["cases"] += 1
        try:
            deadline = time.monotonic() + self._plan.case
            why = f"the case has not ended after {self._plan.case:g} s"
            guest.send(Frame(Kind.APPLY, asked), deadline, why)
            while (frame := guest.receive(deadline, why)).kind is not Kind.ANSWER:
                pass
        except BaseException:
            # Whoever is interrupted half-way must not take this answer for the next one's.
            self.drop()
            raise
        return frame.payload

    def at_first_case(self) -> bool:
        """Whether the guest has answered once only."""
        return self._cases <= 1

    def oopsed(self) -> bool:
        """Whether the guest's kernel has oopsed, though it goes on."""
        return self._guest is not None and self._guest.oopsed()

    def lost(self, lost: Lost) -> None:
        """Count a loss and tell of it."""
        self._tell(lost.how, lost.why, lost.lines)

    def harmed(self, outcome: Outcome) -> None:
        """Count and tell of a guest that has answered and is not to be used again; and stop it."""
        console = self._guest.console if self._guest is not None else Console()
        how = outcome.ended if outcome.ended != "returned" else "suspect"
        self._tell(how, console.headline() or "says the engine inside", tuple(console.oops))
        self.drop()

    def _tell(self, how: str, why: str, lines: tuple[str, ...]) -> None:
        self.counts[how] += 1
        self._say("\n".join((f"{how}: {why} (case {self._cases} of this guest)", *lines)))

    def _booted(self) -> Guest:
        tries = 0
        while self._guest is None:
            tries += 1
            self._cases = 0
            print(f"{BOOTING}{self._plan.kernel}", file=self._news or sys.stderr, flush=True)
            try:
                self._guest = self._boot(self._plan)
                self._say(f"up after {self._guest.boot_seconds:.0f} s")
            except Lost as lost:
                if tries == _BOOTS:
                    raise Missing(f"{self._plan.kernel}: does not come up: {lost}; see docs/guest.md") from None
            except BadInput as refused:
                # Of the plan, not of a case: there will be no guest for any other, either.
                raise Missing(f"{self._plan.kernel}: does not come up: {refused}") from None
            self.counts["boots"] += 1
        return self._guest

    def _say(self, text: str) -> None:
        print(f"guest: {text}", file=self._news or sys.stderr, flush=True)


class GuestEngine:
    """An engine of the catalogue, in a guest. It has the name and shows the facets that it has outside."""

    def __init__(self, guests: Guests, name: str, outside: Engine, *, quick: bool) -> None:
        self.name = name
        self.shows = outside.shows
        self._guests = guests
        self._quick = quick

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """What becomes of `case` in the guest. Raises what the engine raises inside, and Missing without a guest."""
        asked = request(self.name, self._quick, record, line_from_case(case))
        first, suspect = self._tried(asked, fresh=False)
        if self._quick or not suspect:
            return first
        again, _ = self._tried(asked, fresh=True)
        same = (first.ended, first.kind) == (again.ended, again.kind)
        self._guests.counts["the same in a fresh guest" if same else "otherwise in a fresh guest"] += 1
        return again

    def _tried(self, asked: bytes, *, fresh: bool) -> tuple[Outcome, bool]:
        """One run, and whether the guest came to harm by it: then it is not used again."""
        try:
            answer = self._guests.answer(asked, fresh=fresh)
        except Lost as lost:
            self._guests.lost(lost)
            return _outcome_of(lost), True
        try:
            outcome, suspect = outcome_of(answer)
        except Missing:
            # What the cases before have left of the kernel may be too little for this one.
            if self._guests.at_first_case():
                raise
            self._guests.counts["given another guest"] += 1
            return self._tried(asked, fresh=True)
        # A simulated kernel that hangs does no harm to the real one around it.
        suspect = suspect or self._guests.oopsed() or (self.name in MACHINES and outcome.ended != "returned")
        if suspect:
            self._guests.harmed(outcome)
        return outcome, suspect


def _outcome_of(lost: Lost) -> Outcome:
    """A guest that died without a word has crashed, as far as anyone can tell."""
    ended = "crashed" if lost.how == DIED else lost.how
    return Outcome(ended, (), (), lost.kind)
