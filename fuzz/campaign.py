# SPDX-License-Identifier: GPL-2.0-only
"""What one process of a campaign does with each case: judge it, count its buckets, reduce and keep what is new."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial

from fuzz.findings import Findings, Record
from fuzz.reason import reason
from fuzz.replay import expectations_of
from fuzz.signature import changes_of, short_name, signature_of
from fuzz.trial import Trial, Verdict
from memslots.case import Case
from memslots.casefile import case_file
from memslots.errors import BadCase, BadInput, RefusedHere, Unfit
from memslots.jsonl import line_from_case
from memslots.textwriter import text_of
from reducers.reduce import reduced

FLUSH_SECONDS = 0.5
"""How old what a killed campaign has counted may be."""
_REMEMBERED = 4096
"""Of how many cases that reductions have tried it is remembered what they show."""


class MismatchFound(Exception):
    """A case showed a mismatch, and whoever runs the fuzzer wants to hear of it at once (farms do)."""


class NotAgain(BadInput):
    """A bucket that a case showed once and then no more: what a real kernel does is not reported on one run."""


class Campaign:
    """One worker's share of a campaign."""

    def __init__(
        self, trial: Trial, findings: Findings, worker: str, *, whole: Trial | None = None, raises: bool = False
    ) -> None:
        """`trial` judges every case, and may be a quick one; `whole`, if it is, says what a record expects."""
        self.trial = trial
        self._whole = whole or trial
        # What one bucket's reduction has tried, the reductions of the case's other buckets try as well.
        self._shown = lru_cache(_REMEMBERED)(partial(buckets_shown, trial))
        self.trials = 0
        self._findings = findings
        self._worker = worker
        self._raises = raises
        self._seen: dict[str, int] = {}
        self._fresh: dict[str, tuple[int, int, float]] = {}
        self._allowed: Counter[str] = Counter()
        self._counted = 0
        self._unfit = 0
        self._kernel_differs = False
        self._flushed = time.monotonic()
        # A campaign that goes on counts from where it was.
        self._trials_before, seconds_before = findings.work_of(worker)
        self._begin = self._flushed - seconds_before

    def observe(self, case: Case) -> Verdict | None:
        """The verdict on a case, counted and kept; None if an engine cannot be given it.

        Raises MismatchFound if that was asked for.
        """
        self.trials += 1
        try:
            verdict = self.trial.verdict(case)
        except Unfit as unfit:
            self._unfit += 1
            if isinstance(unfit, RefusedHere) and not self._kernel_differs:
                self._kernel_differs = True
                print(unfit, line_from_case(case), sep=": ", file=sys.stderr)  # noqa: T201 - the log of a worker
            return None
        for allowance in verdict.allowances:
            self._allowed[allowance.name] += 1
        if verdict.findings:
            for bucket in dict.fromkeys([finding.bucket for finding in verdict.findings]):
                self._sighted(case, bucket)
            if self._raises:
                self.flush()
                raise MismatchFound(verdict.findings[0].bucket)
        if not self.trials & 15 and time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
        return verdict

    def flush(self) -> None:
        """Write down what was counted since the last time."""
        now = time.monotonic()
        self._findings.add(
            self._worker, self.trials - self._counted, self._unfit, now - self._flushed, self._fresh, self._allowed
        )
        self._unfit = 0
        self._fresh = {}
        self._allowed.clear()
        self._counted = self.trials
        self._flushed = now

    def _sighted(self, case: Case, bucket: str) -> None:
        seen = self._seen[bucket] = self._seen.get(bucket, 0) + 1
        count, trial, second = self._fresh.get(
            bucket, (0, self._trials_before + self.trials, time.monotonic() - self._begin)
        )
        self._fresh[bucket] = (count + 1, trial, second)
        # The first of a bucket is reduced, then the 8th, the 64th and so on: a bucket has few signatures, and the
        # odd ones are found by looking again, ever more seldom.
        if _power_of_8(seen):
            self._keep(case, bucket)
            if seen == 1:
                self.flush()

    def _keep(self, case: Case, bucket: str) -> None:
        problem = reduced(case, lambda smaller: bucket in self._shown(smaller))
        small = problem.case
        changes = ", ".join(changes_of(small))
        signature = signature_of(bucket, small)
        name = short_name(signature)
        before = len(case.given) + len(case.apply)
        after = len(small.given) + len(small.apply)
        record = Record(signature, bucket, name, before, after, problem.calls, changes)
        try:
            self._findings.keep(record, text_of_record(self._whole, small, bucket))
        except NotAgain as error:
            print(error, file=sys.stderr)  # noqa: T201 - the log of a worker


def buckets_shown(trial: Trial, case: Case) -> frozenset[str]:
    """The buckets that a case shows. What is no case shows none."""
    try:
        return frozenset([finding.bucket for finding in trial.verdict(case).findings])
    except BadCase:
        return frozenset()


def shows(trial: Trial, bucket: str) -> Callable[[Case], bool]:
    """The predicate of a reduction: whether a case shows this bucket."""
    return lambda case: bucket in buckets_shown(trial, case)


def text_of_record(trial: Trial, case: Case, bucket: str, comment: str = "") -> str:
    """The case file of a reduced case: why it happens (or `comment`), the case, and all that is expected of it.

    Raises NotAgain if it does not show the bucket.
    """
    verdict = trial.verdict(case)
    finding = next((finding for finding in verdict.findings if finding.bucket == bucket), None)
    if finding is None:
        raise NotAgain(f"{bucket}: shown once, and not when it was tried again: {line_from_case(case)}")
    comment = comment or f"{bucket}\n{reason(finding, verdict.outcome)}"
    return text_of(case_file(case, expectations_of(trial, case, verdict), comment=comment))


def _power_of_8(n: int) -> bool:
    return n & (n - 1) == 0 and (n.bit_length() - 1) % 3 == 0
