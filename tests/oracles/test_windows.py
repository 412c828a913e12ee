# SPDX-License-Identifier: GPL-2.0-only
"""INVALID is for what the list deletes or moves, and no set is published as it was (contract I3)."""

from dataclasses import replace

import pytest

from engines.ideal.engine import Ideal
from engines.simulated.engines import Serial
from fuzz.trial import Trial
from memslots.case import Case
from memslots.outcome import Outcome, Publication
from memslots.slot import SlotSet
from memslots.textreader import parse_case
from memslots.uapi import KVM_MEMSLOT_INVALID

GIVEN = "given slot=0 gpa=0x0 size=0x1000 hva=0x0\ngiven slot=1 gpa=0x1000 size=0x1000 hva=0x1000\n"
DELETE = "apply slot=0 size=0\n"
MOVE = "apply slot=0 gpa=0x4000 size=0x1000 hva=0x0\n"
LOG = "apply slot=0 gpa=0x0 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES\n"
CREATE = "apply slot=2 gpa=0x8000 size=0x1000 hva=0x0\n"
REFUSED = "apply slot=9 size=0\n"


class Answering:
    """An engine that publishes what it is told to, and is the ideal one otherwise."""

    name = "ideal"
    shows = Ideal.shows

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        return self.outcome


def case(text: str) -> Case:
    return parse_case(["slots 1", *(GIVEN + text).splitlines()]).case


def invalid(slots: SlotSet, *ids: int) -> SlotSet:
    """These slots, those of the ids INVALID."""
    return tuple(slot._replace(flags=slot.flags | KVM_MEMSLOT_INVALID) if slot.id in ids else slot for slot in slots)


def found(of: Case, *sets: SlotSet) -> set[str]:
    """What is found where address space 0 is published like that, and the call left the last of it."""
    outcome = Ideal().apply(of)
    assert outcome.generation is not None
    shown = tuple(Publication(0, slots) for slots in sets)
    generation = (2 * (len(of.given) + len(sets)), outcome.generation[1])
    told = outcome._replace(published=shown, publications=len(shown), generation=generation)
    findings = Trial(Serial(), Answering(told)).verdict(of).findings
    return {finding.mismatch.what for finding in findings if finding.mismatch.oracle == "visibility"}


@pytest.mark.parametrize("text", [DELETE, MOVE, DELETE + CREATE, MOVE + LOG.replace("0x0 size", "0x4000 size")])
def test_a_slot_that_goes_away_may_be_invalid_and_its_neighbour_may_not(text: str) -> None:
    listed = case(text)
    outcome = Ideal().apply(listed)
    before, after = outcome.before[0], outcome.active[0]
    assert found(listed, invalid(before, 0), after) == set()
    assert found(listed, invalid(before, 0, 1), after) == {"invalidated-in-vain"}


def test_a_slot_whose_flags_change_is_not_to_be_invalid() -> None:
    listed = case(LOG + CREATE)
    outcome = Ideal().apply(listed)
    assert found(listed, outcome.active[0]) == set()
    assert found(listed, invalid(outcome.before[0], 0), outcome.active[0]) == {"invalidated-in-vain"}


def test_what_nent_leaves_out_makes_nothing_invalid_and_zeros_behind_the_list_delete_slot_0() -> None:
    short = case("list nent=1\n" + CREATE + DELETE)
    outcome = Ideal().apply(short)
    assert found(short, invalid(outcome.before[0], 0), outcome.active[0]) == {"invalidated-in-vain"}
    longer = case("list nent=2\n" + CREATE)
    outcome = Ideal().apply(longer)
    assert found(longer, invalid(outcome.before[0], 0), outcome.active[0]) == set()


def test_a_refused_list_publishes_nothing_or_a_window_and_the_way_back() -> None:
    refused = case(DELETE + REFUSED)
    before = Ideal().apply(refused).before[0]
    assert found(refused) == set()
    assert found(refused, invalid(before, 0), before) == set()
    assert found(refused, before) == {"needless"}
    assert found(refused, invalid(before, 1), before) == {"invalidated-in-vain"}


def test_an_accepted_list_that_comes_to_nothing_may_be_published_once() -> None:
    back = case(MOVE + MOVE.replace("0x4000", "0x0"))
    before = Ideal().apply(back).before[0]
    assert found(back, before) == set()
    assert "republished" in found(back, before, before)


def test_slots_that_were_edited_and_never_published_are_noticed() -> None:
    listed = case(CREATE)
    outcome = Ideal().apply(listed)
    silent = outcome._replace(
        published=(), publications=0, generation=Ideal().apply(replace(listed, apply=())).generation
    )
    whats = {f.mismatch.what for f in Trial(Serial(), Answering(silent)).verdict(listed).findings}
    assert "edited-in-place" in whats


def test_as_many_sets_are_seen_published_as_are_counted() -> None:
    listed = case(CREATE)
    outcome = Ideal().apply(listed)
    assert outcome.published is not None
    twice = outcome._replace(published=(*outcome.published, outcome.published[-1]))
    whats = {f.mismatch.what for f in Trial(Serial(), Answering(twice)).verdict(listed).findings}
    assert "publications" in whats
