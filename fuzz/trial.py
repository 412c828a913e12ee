# SPDX-License-Identifier: GPL-2.0-only
"""One trial: a case through the reference and through an engine, and what the oracles say of the two."""

from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from engines.catalogue import strict
from engines.protocol import Engine
from fuzz.own_order import OWN_ORDER
from memslots.case import Case
from memslots.outcome import Event, Outcome
from oracles.allowances import allowed_of_commit
from oracles.bucket import bucket_of, parting_event
from oracles.form import FormRefusal, as_refused, fails_before, form_refusal
from oracles.injected import as_failed, failure_of_its_own, refused_before, spared, unasked
from oracles.judge import asked, judge
from oracles.mismatch import Allowance, Judgement, Mismatch
from oracles.policy import Policy
from oracles.windows import NEEDS as WINDOWS_NEED
from oracles.windows import windows


class Basis(Enum):
    """Where that comes from what an engine is held to."""

    REFERENCE = "what the reference did with the case"
    SPARED = "what it does without the failure, which it alone has met"
    REFUSED_BEFORE = "what it does without the failure: it refuses an entry before the one for which the engine fails"
    FAILURE = "made up: the errno of the failure that the engine has met, and nothing changed"
    FORM = "made up: a refusal of the form, which the reference lets pass"
    OWN_ORDER = "what the reference did with the list in the engine's own order"


class Measure(NamedTuple):
    """What an engine is held to, and where that comes from; the refusal that it must make for the form alone."""

    right: Outcome
    basis: Basis
    form: FormRefusal | None = None


class Finding(NamedTuple):
    """A mismatch, the event where engine and reference part, and the bucket."""

    engine: str
    reference: str
    mismatch: Mismatch
    parting: Event | None
    bucket: str


class Verdict(NamedTuple):
    """What the engine is held to, its outcome, what the oracles found and allowed; and what the reference did."""

    reference: Outcome
    outcome: Outcome
    findings: tuple[Finding, ...]
    allowances: tuple[Allowance, ...]
    did: Outcome
    basis: Basis


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
        self._as_one = engine.shows >= WINDOWS_NEED and not one_at_a_time(engine)
        self._own_order = OWN_ORDER.get(engine.name)

    def judge(self, case: Case) -> tuple[Outcome, Outcome, Judgement]:
        """What is right, the engine's outcome, and what the oracles say of the two. Raises BadCase."""
        _, (right, _, _), outcome, judgement = self._judged(case)
        return right, outcome, judgement

    def _judged(self, case: Case) -> tuple[Outcome, Measure, Outcome, Judgement]:
        """The reference's outcome, what is right beside it, the engine's, and what the oracles say."""
        reference = self.reference.apply(case)
        outcome = self.engine.apply(case)
        measure = self.measure(case, reference, outcome)
        right, _, form = measure
        judgement = judge(right, outcome, self._oracles, self.policy)
        if self._own_order is not None:
            own = tuple(allowed_of_commit(reference, right, outcome))
            return reference, measure, outcome, judgement._replace(allowances=judgement.allowances + own)
        if outcome.failed:
            judgement = judgement._replace(mismatches=(*unasked(case.faults, outcome), *judgement.mismatches))
        if self._as_one and outcome.published:
            of_windows = tuple(windows(case, right, outcome, self.policy))
            judgement = judgement._replace(mismatches=(*judgement.mismatches, *of_windows))
        if form is not None:
            judgement = judgement._replace(allowances=(form.allowance, *judgement.allowances))
        return reference, measure, outcome, judgement

    def measure(self, case: Case, reference: Outcome, outcome: Outcome, *, record: bool = False) -> Measure:
        """What is right beside both outcomes of the case; with events, if `record`, where the reference runs again."""
        if self._own_order is not None:
            # A list that both accept comes to the same in any order.
            if not (reference.value or outcome.value):
                return Measure(reference, Basis.REFERENCE)
            return Measure(self.reference.apply(self._own_order(case), record=record), Basis.OWN_ORDER)
        right = unfailed = reference
        basis = Basis.REFERENCE
        if case.faults and (reference.failed or outcome.failed):
            unfailed = self.reference.apply(replace(case, faults=()), record=record)
            if spared(reference, outcome):
                right, basis = unfailed, Basis.SPARED
            elif refused_before(outcome, unfailed):
                right, basis = unfailed, Basis.REFUSED_BEFORE
            elif failure_of_its_own(reference, outcome):
                right, basis = as_failed(reference, outcome), Basis.FAILURE
        form = form_refusal(case, unfailed) if self._strict else None
        if form is None or fails_before(case, reference, outcome, form):
            return Measure(right, basis)
        return Measure(as_refused(right, form), Basis.FORM, form)

    def verdict(self, case: Case) -> Verdict:
        """The same, with the bucket of each mismatch."""
        did, (right, basis, _), outcome, judgement = self._judged(case)
        findings = tuple([self._finding(mismatch, right, outcome) for mismatch in judgement.mismatches])
        return Verdict(right, outcome, findings, judgement.allowances, did, basis)

    def _finding(self, mismatch: Mismatch, reference: Outcome, outcome: Outcome) -> Finding:
        parting = parting_event(mismatch, reference, outcome)
        bucket = bucket_of(mismatch, reference, outcome, parting)
        return Finding(self.engine.name, self.reference.name, mismatch, parting, bucket)
