# SPDX-License-Identifier: GPL-2.0-only
"""One trial: a case through the reference and through an engine, and what the oracles say of the two."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from engines.catalogue import strict
from engines.protocol import Engine
from fuzz.own_order import OWN_ORDER
from memslots.case import Case
from memslots.outcome import Event, Outcome
from oracles.allowances import allowed_of_commit
from oracles.bucket import bucket_of, parting_event
from oracles.form import as_refused, fails_before, form_refusal
from oracles.injected import as_failed, failure_of_its_own, refused_before, spared, unasked
from oracles.judge import asked, judge
from oracles.mismatch import Allowance, Judgement, Mismatch
from oracles.policy import Policy
from oracles.windows import NEEDS as WINDOWS_NEED
from oracles.windows import windows


class Finding(NamedTuple):
    """A mismatch, the event where engine and reference part, and the bucket."""

    engine: str
    reference: str
    mismatch: Mismatch
    parting: Event | None
    bucket: str


class Verdict(NamedTuple):
    """Both outcomes, what the oracles found, and what they allowed."""

    reference: Outcome
    outcome: Outcome
    findings: tuple[Finding, ...]
    allowances: tuple[Allowance, ...]


def policy_for(engine: Engine, policy: Policy) -> Policy:
    """`policy`, which speaks of lists; an engine that stops at its first refusal, one at a time, undoes nothing."""
    return Policy.PREFIX if one_at_a_time(engine) else policy


def one_at_a_time(engine: Engine) -> bool:
    """Whether it is an engine of the single ioctl: it shows what stood at its first refusal."""
    return "at_first_refusal" in engine.shows


class Trial:
    """A reference, an engine and a policy, ready for any number of cases."""

    def __init__(self, reference: Engine, engine: Engine, policy: Policy = Policy.ATOMIC) -> None:
        self.reference = reference
        self.engine = engine
        self.policy = policy_for(engine, policy)
        self._oracles = asked(engine.shows)
        self._strict = strict(engine)
        self._as_one = engine.shows >= WINDOWS_NEED and "at_first_refusal" not in engine.shows
        self._own_order = OWN_ORDER.get(engine.name)

    def judge(self, case: Case) -> tuple[Outcome, Outcome, Judgement]:
        """Both outcomes and what the oracles say; where faults strike, beside what they make right. Raises BadCase."""
        reference = self.reference.apply(case)
        outcome = self.engine.apply(case)
        if self._own_order is not None:
            return self._judge_in_own_order(case, reference, outcome, self._own_order)
        unfailed = reference
        if case.faults and (reference.failed or outcome.failed):
            unfailed = self.reference.apply(replace(case, faults=()))
            if spared(reference, outcome) or refused_before(outcome, unfailed):
                reference = unfailed
            elif failure_of_its_own(reference, outcome):
                reference = as_failed(reference, outcome)
        refusal = form_refusal(case, unfailed) if self._strict else None
        if refusal is not None and fails_before(case, outcome, refusal):
            refusal = None
        if refusal is not None:
            reference = as_refused(reference, refusal)
        judgement = judge(reference, outcome, self._oracles, self.policy)
        if outcome.failed:
            judgement = judgement._replace(mismatches=(*unasked(case.faults, outcome), *judgement.mismatches))
        if self._as_one and outcome.published:
            of_windows = tuple(windows(case, reference, outcome, self.policy))
            judgement = judgement._replace(mismatches=(*judgement.mismatches, *of_windows))
        if refusal is not None:
            judgement = judgement._replace(allowances=(refusal.allowance, *judgement.allowances))
        return reference, outcome, judgement

    def _judge_in_own_order(
        self, case: Case, listed: Outcome, outcome: Outcome, own_order: Callable[[Case], Case]
    ) -> tuple[Outcome, Outcome, Judgement]:
        """The same for an engine with an order of its own.

        A list that both accept comes to the same in any order; otherwise the reference gets the list in that order.
        """
        reference = self.reference.apply(own_order(case)) if listed.value or outcome.value else listed
        mismatches, allowances = judge(reference, outcome, self._oracles, self.policy)
        own = tuple(allowed_of_commit(listed, reference, outcome))
        return reference, outcome, Judgement(mismatches, allowances + own)

    def verdict(self, case: Case) -> Verdict:
        """The same, with the bucket of each mismatch."""
        reference, outcome, judgement = self.judge(case)
        findings = tuple([self._finding(mismatch, reference, outcome) for mismatch in judgement.mismatches])
        return Verdict(reference, outcome, findings, judgement.allowances)

    def _finding(self, mismatch: Mismatch, reference: Outcome, outcome: Outcome) -> Finding:
        parting = parting_event(mismatch, reference, outcome)
        bucket = bucket_of(mismatch, reference, outcome, parting)
        return Finding(self.engine.name, self.reference.name, mismatch, parting, bucket)
