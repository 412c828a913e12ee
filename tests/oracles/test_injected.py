# SPDX-License-Identifier: GPL-2.0-only
"""Where a fault strikes the call must answer with its errno and undo everything; where it spares the call, nothing."""

from errno import EEXIST, EFAULT, ENOMEM

import pytest

from engines.ideal.engine import Ideal
from engines.simulated.engines import RfcV1, Serial, SerialRfcV1
from fuzz.trial import Trial
from memslots.case import FAULT_KINDS, Case
from memslots.outcome import Change, Event, Outcome
from memslots.textreader import parse_case
from oracles.allowances import FAILURE_OF_ITS_OWN
from oracles.injected import ERRNOS, as_failed, failure_of_its_own, spared
from oracles.policy import Policy

GIVEN = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000\n"
CREATE = "apply slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000\n"
DELETE = "apply slot=0 size=0 invalidate\n"


def case(text: str) -> Case:
    return parse_case(["slots 1", *text.splitlines()]).case


def injected(outcome: Outcome, *kinds: str) -> Outcome:
    events = tuple([Event("injected", "", 0, Change.UNKNOWN, kind) for kind in kinds])
    return outcome._replace(mishaps=(*events, *(outcome.mishaps or ())))


class Answering:
    """An engine whose outcome is settled."""

    name = "answering"
    shows = RfcV1.shows

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        return self.outcome


def found(case: Case, outcome: Outcome) -> list[str]:
    verdict = Trial(Serial(), Answering(outcome)).verdict(case)
    return [finding.mismatch.oracle for finding in verdict.findings]


def test_every_kind_of_fault_has_its_errno() -> None:
    assert set(ERRNOS) == set(FAULT_KINDS)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_failure_that_the_list_alone_meets_must_be_answered_with_its_errno_and_undone(kind: str) -> None:
    listed = case(f"{GIVEN}{CREATE}fault {kind}=9")
    done = Serial().apply(listed)
    undone = done._replace(
        value=-1, errno=ERRNOS[kind], active=done.before, inactive=done.before, nr_memslot_pages=1, generation=(0, 1)
    )._replace(publications=-1)
    assert found(listed, injected(undone, kind)) == []
    assert "error_codes" in found(listed, injected(undone._replace(errno=5), kind))
    assert "final_slots" in found(listed, injected(undone._replace(active=done.active), kind))
    assert "error_codes" in found(listed, injected(done, kind)), "it was not noticed"


def test_a_list_that_is_spared_is_held_to_what_serial_does_without_faults() -> None:
    struck = case(f"{GIVEN}{CREATE}fault copy=0")
    done = Serial().apply(case(f"{GIVEN}{CREATE}"))
    assert Serial().apply(struck).errno == EFAULT
    assert found(struck, done) == []
    assert found(struck, done._replace(active=done.before, inactive=done.before)) != []


def test_both_are_compared_where_both_meet_the_failure() -> None:
    struck = case(f"{GIVEN}{CREATE}{DELETE}fault invalid=0")
    reference = Serial().apply(struck)
    assert (reference.errno, reference.failed) == (ENOMEM, ("invalid",))
    assert not spared(reference, reference)
    assert not failure_of_its_own(reference, reference)


def test_an_error_before_the_failure_is_judged_as_ever() -> None:
    refused = case(f"{GIVEN}apply slot=7 size=0\n{CREATE}fault slot=0")
    assert Serial().apply(refused).failed == ()
    verdict = Trial(Serial(), RfcV1()).verdict(refused)
    assert (verdict.outcome.failed, verdict.findings) == ((), ())


def test_another_failure_than_the_reference_meets_is_the_engines_own() -> None:
    struck = case(f"{GIVEN}{CREATE}{DELETE}fault copy=1\nfault slot=0")
    verdict = Trial(Serial(), RfcV1()).verdict(struck)
    assert (verdict.outcome.errno, verdict.outcome.failed) == (EFAULT, ("copy",))
    assert verdict.allowances[0] is FAILURE_OF_ITS_OWN
    assert verdict.findings == ()


def test_what_a_failure_makes_right_is_the_state_before() -> None:
    applied = Serial().apply(case(f"{GIVEN}{CREATE}"))
    expected = as_failed(applied, injected(applied, "array"))
    assert (expected.value, expected.errno, expected.active) == (-1, ENOMEM, applied.before)


def test_the_entry_that_is_refused_must_be_the_one_that_the_reference_refuses() -> None:
    refused = case(f"{GIVEN}{CREATE}apply slot=7 size=0")
    right = Serial().apply(refused)
    assert right.entry_errnos == (0, 22)
    other = right._replace(active=right.before, inactive=right.before, nr_memslot_pages=1, entry_errnos=(22,))
    findings = Trial(Serial(), Answering(other)).verdict(refused).findings
    assert [(f.mismatch.oracle, f.mismatch.what) for f in findings] == [("error_codes", "index")]
    assert findings[0].mismatch.facts == {"expected": 1, "got": 0}
    untold = other._replace(entry_errnos=None)
    assert Trial(Serial(), Answering(untold)).verdict(refused).findings == ()


def test_a_list_that_does_not_notice_a_failure_parts_from_the_reference_there() -> None:
    unnoticed = case(f"{GIVEN}apply slot=0 size=0 invalidate\nfault array=1")
    findings = Trial(Serial(), RfcV1()).verdict(unnoticed).findings
    assert "survival ENOMEM crashed-null-dereference UNKNOWN unnoticed" in {finding.bucket for finding in findings}
    assert {finding.parting.kind for finding in findings if finding.parting} == {"unnoticed"}


def test_a_failure_that_the_case_does_not_ask_for_is_noticed() -> None:
    listed = case(f"{GIVEN}{CREATE}fault copy=7")
    done = Serial().apply(listed)
    undone = done._replace(
        value=-1, errno=ENOMEM, active=done.before, inactive=done.before, nr_memslot_pages=1, generation=(0, 1)
    )._replace(publications=-1)
    assert found(listed, injected(undone, "slot")) == ["error_codes"]
    assert found(case(f"{GIVEN}{CREATE}fault slot=7"), injected(undone, "slot")) == []
    assert found(case(f"{GIVEN}{CREATE}fault slot=7"), injected(undone, "slot", "slot")) == ["error_codes"], "twice"


def test_the_same_kind_at_another_place_is_the_engines_own() -> None:
    struck = case(f"{CREATE}{CREATE.replace('slot=1 gpa=0x1000', 'slot=2 gpa=0x2000')}fault copy=1")
    for engine in (RfcV1(), Ideal()):
        verdict = Trial(Serial(), engine, Policy.PREFIX).verdict(struck)
        assert (verdict.outcome.errno, verdict.findings) == (EFAULT, ()), "all entries are one copy"
        assert FAILURE_OF_ITS_OWN in verdict.allowances
    verdict = Trial(Serial(), SerialRfcV1()).verdict(struck)
    assert FAILURE_OF_ITS_OWN not in verdict.allowances, "it copies each request, as serial does"


def test_a_failure_does_not_excuse_what_an_entry_before_it_must_be_refused_for() -> None:
    late = case(f"{CREATE}{CREATE.replace('slot=1', 'slot=2')}{CREATE.replace('slot=1', 'slot=3')}fault slot=1")
    reference = Serial().apply(late)
    assert (reference.errno, reference.failed) == (EEXIST, ())
    failed = reference._replace(
        errno=ENOMEM,
        active=reference.before,
        inactive=reference.before,
        nr_memslot_pages=0,
        entry_errnos=None,
        generation=(0, 1),
        publications=-1,
        mishaps=(Event("injected", "", 2, Change.CREATE, "slot"),),
    )
    assert "error_codes" in found(late, failed)
    at_once = failed._replace(mishaps=(Event("injected", "", 0, Change.CREATE, "slot"),))
    assert "error_codes" not in found(late, at_once), "it failed before the entry that is refused"


def test_which_entry_is_refused_counts_where_both_fail_alike() -> None:
    struck = case(f"{GIVEN}{DELETE}{CREATE}fault copy=1")
    right = SerialRfcV1().apply(struck)
    assert right.entry_errnos == (0, EFAULT)
    wrong = right._replace(entry_errnos=(EFAULT,))
    assert [f.mismatch.what for f in Trial(Serial(), Answering(wrong), Policy.PREFIX).verdict(struck).findings] == [
        "index"
    ]
