# SPDX-License-Identifier: GPL-2.0-only
"""Each oracle says no to the outcome it is there for, and nothing to a sound one."""

import pytest

from engines.simulated.engines import RfcV1, Serial
from memslots.case import Case
from memslots.outcome import Outcome
from memslots.slot import Gfn, Slot
from memslots.textreader import parse_case
from oracles.allowances import (
    ALLOWANCES,
    DELETIONS_FIRST,
    FEWER_PUBLICATIONS,
    PREFIX_LEFT_BEHIND,
    PUBLICATIONS_OF_A_REFUSED_LIST,
    SEEN_IN_BETWEEN,
    allowed,
)
from oracles.form import FORM
from oracles.judge import ORACLES, asked, judge
from oracles.mismatch import Judgement
from oracles.policy import Policy, expected_active

ALL = asked(frozenset(Outcome._fields))


def case(text: str) -> Case:
    return parse_case(["slots 1", *text.splitlines()]).case


ACCEPTED = case("""\
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1:7 gpa=0x0 size=0x1000 hva=0x100000700000
apply slot=0 size=0
apply slot=1 gpa=0x4000 size=0x4000 hva=0x100000000000
apply slot=2 gpa=0x8000 size=0x4000 hva=0x100000020000""")
REFUSED = case("""\
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
apply slot=1 gpa=0x20000 size=0x4000 hva=0x100000020000
apply slot=2 gpa=0xf000 size=0x4000 hva=0x100000040000""")
OK = Serial().apply(ACCEPTED)
NO = Serial().apply(REFUSED)
ROLLED_BACK = NO._replace(active=NO.before, inactive=NO.before, nr_memslot_pages=16)


def found(reference: Outcome, outcome: Outcome, policy: Policy = Policy.ATOMIC) -> list[str]:
    judgement = judge(reference, outcome, ALL, policy)
    return [" ".join(filter(None, (m.oracle, m.what))) for m in judgement.mismatches]


def judged(reference: Outcome, outcome: Outcome) -> Judgement:
    return judge(reference, outcome, ALL, Policy.ATOMIC)


def test_the_reference_agrees_with_itself() -> None:
    assert found(OK, OK) == []
    assert found(NO, NO, Policy.PREFIX) == []


@pytest.mark.parametrize(
    ("change", "oracle"),
    [
        ({"ended": "hung", "value": None, "errno": None}, "survival"),
        ({"ended": "crashed", "kind": "bug"}, "survival"),
        ({"ended": "looped"}, "survival"),
        ({"value": 1}, "error_codes"),
        ({"value": -1, "errno": 22}, "error_codes"),
        ({"slots_lock": True}, "balance slots_lock-held"),
        ({"slots_arch_lock": True}, "balance slots_arch_lock-held"),
        ({"leaked": 1}, "balance leaked"),
        ({"dangling": True}, "balance dangling"),
        ({"damage": ("out-of-bounds",)}, "balance out-of-bounds"),
        ({"corrupt": True}, "invariants corrupt"),
        ({"warned": True}, "invariants warned"),
        ({"publications": 5, "generation": (12, 3)}, "invariants more-publications"),
        ({"publications": 4, "generation": (8, 5)}, "invariants more-publications"),
        ({"generation": (98, 99)}, "invariants generation"),
        ({"generation": (0, 1)}, "invariants generation"),
        ({"publications": 3}, "invariants generation"),
        ({"nr_memslot_pages": 8}, "invariants page-count"),
        ({"inactive": ((), OK.active[1])}, "invariants sets-differ"),
    ],
    ids=str,
)
def test_one_thing_wrong_is_one_mismatch(change: dict[str, object], oracle: str) -> None:
    assert found(OK, OK._replace(**change)) == [oracle]  # type: ignore[arg-type]  # fields of many types


def altered(outcome: Outcome, slot: Slot, pages: int) -> Outcome:
    """The outcome with one more slot in address space 0, in both sets, counted."""
    assert outcome.nr_memslot_pages is not None
    sets = (tuple(sorted([*outcome.active[0], slot])), *outcome.active[1:])
    return outcome._replace(active=sets, inactive=sets, nr_memslot_pages=outcome.nr_memslot_pages + pages)


def test_a_slot_left_invalid_is_found() -> None:
    invalid = Slot(0, 9, Gfn(0x100), 1, 0x1000, 1 << 16)
    assert found(OK, altered(OK, invalid, 1)) == ["invariants left-invalid", "final_slots"]


def test_overlapping_slots_are_found() -> None:
    assert found(OK, altered(OK, Slot(0, 9, Gfn(0x7), 2, 0x1000, 0), 2)) == ["invariants overlap", "final_slots"]


def test_touching_slots_do_not_overlap() -> None:
    assert found(OK, altered(OK, Slot(0, 9, Gfn(0xC), 2, 0x1000, 0), 2)) == ["final_slots"]


def test_an_overlap_in_the_inactive_set_alone_is_found() -> None:
    overlapping = (*OK.active[0], Slot(0, 9, Gfn(0x7), 2, 0x1000, 0))
    assert found(OK, OK._replace(inactive=(overlapping, OK.active[1]))) == [
        "invariants sets-differ",
        "invariants overlap",
    ]


def test_slots_of_different_address_spaces_do_not_overlap() -> None:
    assert OK.active[1][0].base_gfn < OK.active[0][0].base_gfn
    assert found(OK, altered(OK, Slot(0, 9, Gfn(0), 1, 0x1000, 0), 1)) == ["final_slots"]


def test_an_id_that_no_slot_may_have_is_found() -> None:
    assert found(OK, altered(OK, Slot(0, 32767, Gfn(0x100), 1, 0x1000, 0), 1)) == [
        "invariants id-range",
        "final_slots",
    ]


@pytest.mark.parametrize("field", ["base_gfn", "npages", "userspace_addr", "flags", "id"])
def test_final_slots_compares_every_field(field: str) -> None:
    last = OK.active[0][-1]
    other = last._replace(**{field: getattr(last, field) + 1})
    sets = ((*OK.active[0][:-1], other), OK.active[1])
    assert "final_slots" in found(OK, OK._replace(active=sets, inactive=sets))


def test_a_refused_list_must_leave_the_state_before_it_under_atomic() -> None:
    assert found(NO, ROLLED_BACK) == []
    assert found(NO, NO) == ["final_slots"]


def test_a_refused_list_must_leave_the_prefix_under_prefix() -> None:
    assert found(NO, NO, Policy.PREFIX) == []
    assert found(NO, ROLLED_BACK, Policy.PREFIX) == ["final_slots"]


def test_a_torn_list_is_right_under_no_policy() -> None:
    torn = altered(ROLLED_BACK, Slot(0, 9, Gfn(0x100), 1, 0x1000, 0), 1)
    assert found(NO, torn) == found(NO, torn, Policy.PREFIX) == ["final_slots"]


def test_a_reference_that_goes_on_after_refusals_makes_the_same_right() -> None:
    going_on = Serial(keep_going=True).apply(REFUSED)
    for policy in Policy:
        assert expected_active(going_on, policy) == expected_active(NO, policy)


def test_an_engine_that_accepts_what_serial_refuses_is_found() -> None:
    accepting = altered(NO, Slot(0, 2, Gfn(0xF), 4, 0x100000040000, 0), 4)._replace(value=0, errno=0)
    assert {"error_codes", "final_slots", "invariants overlap"} <= set(found(NO, accepting, Policy.PREFIX))


def test_an_oracle_is_not_asked_what_the_engine_does_not_show() -> None:
    shows = frozenset(("ended", "kind", "value", "errno", "active"))
    names = {oracle.__name__ for oracle in asked(shows)}
    assert names == {"survival", "error_codes", "final_slots"}
    assert len(asked(frozenset())) == 0
    assert len(ALL) == len(ORACLES)


def test_corrupt_sets_are_not_judged_but_the_answer_and_the_memory_are() -> None:
    wild = OK._replace(corrupt=True, active=((), ()), leaked=9, dangling=True, damage=("double-free",), value=1)
    assert found(OK, wild) == ["invariants corrupt", "error_codes", "balance double-free"]


OF_A_COMMIT = {DELETIONS_FIRST, PREFIX_LEFT_BEHIND, SEEN_IN_BETWEEN}
"""What `tests/fuzz/test_own_order.py` meets one by one: only there the reference is asked in an engine's own order."""


def test_each_allowance_is_met_and_counted() -> None:
    met = set()
    resize = case("""\
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000000000""")
    copied = case("apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000\nfault copy=1")
    for each in (resize, REFUSED, copied):
        met |= set(judged(Serial().apply(each), RfcV1().apply(each)).allowances)
    # Those of the form are met in test_form.py, where the case is known.
    assert met == set(ALLOWANCES) - set(FORM) - OF_A_COMMIT


@pytest.mark.parametrize("as_id", [0, 1])
def test_an_update_in_progress_is_found_in_every_address_space(as_id: int) -> None:
    assert OK.generation is not None
    stuck = tuple(g | 1 << 63 if i == as_id else g for i, g in enumerate(OK.generation))
    assert "invariants update-in-progress" in found(OK, OK._replace(generation=stuck))


def test_more_publications_are_found_where_the_engine_refuses_what_serial_accepts() -> None:
    refusing = OK._replace(value=-1, errno=22, publications=5, generation=(12, 3))
    assert "invariants more-publications" in found(OK, refusing)


def test_one_finding_does_not_hide_another() -> None:
    damaged = OK._replace(damage=("out-of-bounds",), leaked=1, dangling=True, active=((), OK.active[1]))
    assert {"balance out-of-bounds", "balance leaked", "balance dangling", "final_slots"} <= set(found(OK, damaged))
    assert "invariants warned" in found(OK, OK._replace(value=-1, errno=5, warned=True))
    assert "invariants warned" in found(NO, ROLLED_BACK._replace(warned=True))


@pytest.mark.parametrize("change", [{"ended": "hung", "value": None, "errno": None}, {"corrupt": True}], ids=str)
def test_what_did_not_return_or_is_corrupt_is_allowed_nothing(change: dict[str, object]) -> None:
    other = OK._replace(generation=(8, 3), publications=3)._replace(**change)  # type: ignore[arg-type]  # many types
    assert judged(OK, other).allowances == ()


def test_fewer_publications_are_allowed_and_more_are_not() -> None:
    assert OK.generation is not None
    fewer = OK._replace(generation=(8, 3), publications=3)
    assert judged(OK, fewer) == Judgement((), (FEWER_PUBLICATIONS,))
    assert PUBLICATIONS_OF_A_REFUSED_LIST not in judged(OK, fewer).allowances


def test_every_allowance_says_where_it_is_written() -> None:
    assert all(len(allowance.citation) > 20 for allowance in ALLOWANCES)


def test_an_engine_that_shows_no_generations_makes_use_of_no_allowance_for_them() -> None:
    assert list(allowed(OK, OK._replace(generation=None))) == []
    assert list(allowed(OK._replace(generation=None), OK)) == []
