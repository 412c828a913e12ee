# SPDX-License-Identifier: GPL-2.0-only
"""What a worker of an enumeration does with its stretches: judge each case, count, write down, go on."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from fuzz.enumeration import Enumeration
from fuzz.ledger import Ledger, Place, Stretch, Tally
from fuzz.trial import Trial
from memslots.case import FAULT_KINDS, Case
from memslots.errors import Unfit

FLUSH_SECONDS = 0.5
"""How much of its work a killed worker may lose."""


class Sweep:
    """One worker's share of a run."""

    def __init__(
        self, trial: Trial, enumeration: Enumeration, ledger: Ledger, run: str, flush_seconds: float = FLUSH_SECONDS
    ) -> None:
        self._trial = trial
        self._enumeration = enumeration
        self._ledger = ledger
        self._run = run
        self._flush_seconds = flush_seconds
        self._tally = Tally()

    def go(self, stopped: Callable[[], bool]) -> None:
        """Go through one stretch after the other until none is left, or until told to stop. Raises BadInput."""
        while (stretch := self._ledger.claim(self._run)) is not None:
            # A short stretch ends before anybody has asked.
            if self._through(stretch, stopped) or stopped():
                return

    def _through(self, stretch: Stretch, stopped: Callable[[], bool]) -> bool:
        """Whether it was told to stop; what has been done is written down by then."""
        number = stretch.next
        flushed = time.monotonic()
        stop = False
        faults = self._enumeration.scope.faults
        for case in self._enumeration.cases(stretch.next, stretch.until):
            if self._judge(case, Place(number)) and faults:
                self._judge_failing(case, number)
            number += 1
            if time.monotonic() - flushed >= self._flush_seconds:
                self._write(stretch._replace(next=number))
                stop = stopped()
                if stop:
                    break
                flushed = time.monotonic()
        self._write(stretch._replace(next=number))
        return stop

    def _write(self, stretch: Stretch) -> None:
        self._ledger.add(self._run, stretch, self._tally)
        self._tally = Tally()

    def _judge(self, case: Case, place: Place) -> bool:
        """Whether the engine could be given the case."""
        tally = self._tally
        try:
            verdict = self._trial.verdict(case)
        except Unfit:
            tally.unfit += 1
            return False
        tally.trials += 1
        for allowance in verdict.allowances:
            tally.allowed[allowance.name] += 1
        if verdict.findings:
            tally.mismatches += 1
            for bucket in dict.fromkeys([finding.bucket for finding in verdict.findings]):
                tally.sighted(bucket, place)
        return True

    def _judge_failing(self, case: Case, number: int) -> None:
        """Judge the case once for each failure that the engine meets: one that it does not meet changes nothing."""
        step = 0
        for kind in FAULT_KINDS:
            for n in count():
                failing = replace(case, faults=((kind, n),))
                if not self._meets(failing):
                    break
                step += 1
                self._judge(failing, Place(number, step, kind, n))

    def _meets(self, failing: Case) -> bool:
        """Whether the engine meets the failure. One that it cannot be given is counted, but for its list.

        Asked beforehand: the reference takes longer, and most kinds of failures are met by few lists.
        """
        try:
            return bool(self._trial.engine.apply(failing).failed)
        except Unfit:
            self._tally.unfit_failures += 1
            return False
