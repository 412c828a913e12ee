# SPDX-License-Identifier: GPL-2.0-only
"""What a strict engine must refuse for its form, and that nothing else is excused by it (contract I4)."""

from errno import E2BIG, EFAULT, EINVAL

import pytest

from engines.ideal.engine import Ideal
from engines.simulated.engines import RfcV1, Serial
from fuzz.trial import Trial
from memslots.case import Case
from memslots.outcome import Outcome
from memslots.textreader import parse_case
from oracles.form import FORM, form_refusal

GIVEN = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000\n"
CREATE = "apply slot=2 gpa=0x4000 size=0x1000 hva=0x0\n"
DELETE = "apply slot=0 size=0\n"
PADDED = DELETE.replace("\n", " padding=80\n")
HINTED = DELETE.replace("\n", " invalidate_slot=2\n")
MISSING = "apply slot=9 size=0\n"

REFUSED = {
    # text; the errno and the entry that a strict engine must answer; the allowance
    "header flags": ("list header_flags=0x10\n" + CREATE, EINVAL, (), "header_flags_refused"),
    "header flags of an empty list": ("list nent=0 header_flags=0x10\n", EINVAL, (), "header_flags_refused"),
    "a long list": ("list nent=65535\n" + CREATE, E2BIG, (), "long_list_refused"),
    "padding": (CREATE + PADDED, EINVAL, (0, EINVAL), "entry_form_refused"),
    "invalidate_slot": (CREATE + HINTED, EINVAL, (0, EINVAL), "entry_form_refused"),
    "padding before what serial refuses": (PADDED + MISSING, EINVAL, (EINVAL,), "entry_form_refused"),
    "padding of what serial refuses otherwise": (
        "apply slot=2 gpa=0x0 size=0x1000 hva=0x0 padding=01\n",
        EINVAL,
        (EINVAL,),
        "entry_form_refused",
    ),
}

UNREFUSED = {
    "a plain list": CREATE + DELETE,
    "a list as long as may be": "list nent=65534\n" + CREATE,
    "padding behind what serial refuses": MISSING + PADDED,
    "padding behind nent": "list nent=1\n" + CREATE + PADDED,
    "padding of what serial refuses alike": MISSING.replace("\n", " padding=01\n"),
    "a flagged entry": DELETE.replace("\n", " invalidate\n"),
}


class Answering:
    """An engine under the name of a strict one that gives one answer, whatever the case."""

    name = "ideal"
    shows = Ideal.shows

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        return self.outcome


def case(text: str) -> Case:
    return parse_case(["slots 1", *(GIVEN + text).splitlines()]).case


def found(of: Case, outcome: Outcome) -> set[str]:
    return {finding.mismatch.oracle for finding in Trial(Serial(), Answering(outcome)).verdict(of).findings}


@pytest.mark.parametrize(("text", "errno", "errnos", "name"), REFUSED.values(), ids=REFUSED.keys())
def test_a_strict_engine_must_refuse_the_form_with_its_errno_at_its_entry(
    text: str, errno: int, errnos: tuple[int, ...], name: str
) -> None:
    listed = case(text)
    verdict = Trial(Serial(), Ideal()).verdict(listed)
    assert verdict.findings == ()
    assert [allowance.name for allowance in verdict.allowances if allowance in FORM] == [name]
    right = verdict.outcome
    assert (right.value, right.errno, right.entry_errnos) == (-1, errno, errnos)
    assert found(listed, right._replace(errno=5)) == {"error_codes"}
    assert found(listed, right._replace(entry_errnos=(*errnos, 0, errno) if not errnos else (0, *errnos))) == {
        "error_codes"
    }
    assert "final_slots" in found(listed, right._replace(active=((), ())))
    assert found(listed, right._replace(leaked=1)) == {"balance"}


@pytest.mark.parametrize("text", [text for text, *_ in REFUSED.values()], ids=REFUSED.keys())
def test_a_strict_engine_that_takes_what_has_no_meaning_is_found(text: str) -> None:
    listed = case(text)
    lenient = Serial().apply(listed)._replace(at_first_refusal=None)
    assert "error_codes" in found(listed, lenient)


@pytest.mark.parametrize("text", UNREFUSED.values(), ids=UNREFUSED.keys())
def test_nothing_is_excused_where_the_form_is_right(text: str) -> None:
    listed = case(text)
    assert form_refusal(listed, Serial().apply(listed)) is None
    verdict = Trial(Serial(), Ideal()).verdict(listed)
    assert verdict.findings == ()
    assert not set(verdict.allowances) & set(FORM)
    before = verdict.outcome.before
    header_refused = verdict.outcome._replace(
        value=-1, errno=EINVAL, entry_errnos=(), active=before, inactive=before, nr_memslot_pages=1
    )
    assert "error_codes" in found(listed, header_refused)


def test_engines_that_are_not_strict_are_held_to_serial() -> None:
    listed = case(CREATE + PADDED.replace("\n", " invalidate\n"))
    verdict = Trial(Serial(), RfcV1()).verdict(listed)
    assert (verdict.findings, verdict.outcome.value) == ((), 0)
    assert not set(verdict.allowances) & set(FORM)


def test_every_allowance_of_the_form_is_met() -> None:
    assert {name for *_, name in REFUSED.values()} == {allowance.name for allowance in FORM}


@pytest.mark.parametrize("fault", ["copy=1", "array=0", "array=1", "slot=0", "prepare=0"])
def test_a_failure_that_comes_later_does_not_excuse_header_flags(fault: str) -> None:
    listed = case(f"list header_flags=0x10\n{CREATE}fault {fault}")
    assert found(listed, failing(fault)) == {"error_codes"}
    assert found(listed, Ideal().apply(listed)) == set()


def test_a_header_that_cannot_be_copied_is_not_looked_at() -> None:
    listed = case(f"list header_flags=0x10\n{CREATE}fault copy=0")
    assert found(listed, Ideal().apply(listed)) == set()
    assert Ideal().apply(listed).errno == EFAULT


@pytest.mark.parametrize("fault", ["slot=0", "prepare=0"])
def test_a_failure_that_comes_later_does_not_excuse_padding(fault: str) -> None:
    listed = case(f"{CREATE.replace('hva', 'padding=01 hva')}fault {fault}")
    assert found(listed, failing(fault)) == {"error_codes"}
    assert found(listed, Ideal().apply(listed)) == set()


@pytest.mark.parametrize("fault", ["slot=0", "prepare=0"])
def test_from_entry_to_entry_a_failure_may_come_before_padding(fault: str) -> None:
    """As in a kernel that asks the arch about each entry while it checks them; but not behind the padding."""
    padded = case(f"{CREATE}{PADDED}fault {fault}")
    assert found(padded, failing(fault)) == set()
    assert found(padded, Ideal().apply(padded)) == set()
    later = CREATE.replace("slot=2", "slot=3").replace("0x4000", "0x9000")
    behind = case(f"{CREATE}{PADDED}{later}fault {fault.replace('0', '2' if 'prepare' in fault else '1')}")
    assert found(behind, failing(fault)) == {"error_codes"}


@pytest.mark.parametrize("fault", ["slot=0", "prepare=0"])
def test_of_two_failures_at_an_earlier_entry_either_may_be_met_first(fault: str) -> None:
    """Where the arch is asked before anything is allocated, it is the other one."""
    padded = case(f"{CREATE}{PADDED}fault slot=0\nfault prepare=0")
    assert found(padded, failing(fault)) == set()


@pytest.mark.parametrize("fault", ["copy=1", "array=0", "array=1"])
def test_entries_that_are_not_there_are_not_looked_at(fault: str) -> None:
    listed = case(f"{CREATE.replace('hva', 'padding=01 hva')}fault {fault}")
    assert found(listed, Ideal().apply(listed)) == set()
    assert Ideal().apply(listed).failed == (fault.partition("=")[0],)


def failing(fault: str) -> Outcome:
    """What the same list comes to whose form is right, and whose failure is met."""
    kind = fault.partition("=")[0]
    plain = Ideal().apply(case(f"{CREATE}fault {fault}"))
    assert plain.failed == (kind,)
    return plain
