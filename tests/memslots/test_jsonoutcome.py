# SPDX-License-Identifier: GPL-2.0-only
"""An outcome goes through its JSON form and comes back; what is no outcome is refused by the name of its key."""

import json
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslots.errors import BadCase
from memslots.jsonl import json_of_outcome
from memslots.jsonoutcome import outcome_from_json, whole_json_of_outcome
from memslots.outcome import Change, Event, Outcome, Publication
from memslots.slot import Gfn, Slot, SlotSets
from memslots.uapi import U32, U64

UNHURRIED = settings(deadline=None)
FRAMES = st.integers(0, U64)


@st.composite
def slot_sets(draw: st.DrawFn) -> SlotSets:
    """Slots know the address space that they stand in."""
    slots = st.lists(
        st.tuples(st.integers(0, 0xFFFF), FRAMES.map(Gfn), FRAMES, FRAMES, st.integers(0, U32)), max_size=3
    )
    return tuple(tuple(Slot(as_id, *slot) for slot in draw(slots)) for as_id in range(draw(st.integers(0, 2))))


EVENTS = st.lists(
    st.builds(Event, st.text(), st.text(), st.integers(-1, U32), st.sampled_from(Change), st.text()), max_size=3
).map(tuple)
PUBLISHED = st.lists(
    st.tuples(st.integers(0, 1), slot_sets(), st.booleans()).map(
        lambda drawn: Publication(drawn[0], drawn[1][drawn[0]] if len(drawn[1]) > drawn[0] else (), drawn[2])
    ),
    max_size=3,
).map(tuple)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "ended": st.text(),
    "kind": st.text(),
    "value": st.integers(-1, 1),
    "errno": st.integers(0, 133),
    "entry_errnos": st.lists(st.integers(0, 133), max_size=3).map(tuple),
    "generation": st.lists(FRAMES, max_size=2).map(tuple),
    "nr_memslot_pages": FRAMES,
    "damage": st.lists(st.text(), max_size=2).map(tuple),
    "leaked": FRAMES,
    "incomplete": FRAMES,
    "publications": FRAMES,
    "page_size": FRAMES,
    **dict.fromkeys(("before", "active", "inactive", "at_first_refusal"), slot_sets()),
    "published": PUBLISHED,
    **dict.fromkeys(("mishaps", "events"), EVENTS),
    **dict.fromkeys(("slots_lock", "slots_arch_lock", "dangling", "corrupt", "warned"), st.booleans()),
}
ALWAYS = ("ended", "active", "before")
OUTCOMES = st.fixed_dictionaries(
    {key: FIELDS[key] for key in ALWAYS},
    optional={key: value for key, value in FIELDS.items() if key not in ALWAYS},
).map(lambda fields: Outcome(**fields))  # type: ignore[arg-type]  # each key has its own strategy


def test_every_field_of_an_outcome_is_drawn() -> None:
    assert set(FIELDS) == set(get_type_hints(Outcome))


@UNHURRIED
@given(OUTCOMES)
def test_an_outcome_comes_back_whole_from_the_longer_form(outcome: Outcome) -> None:
    assert outcome_from_json(json.loads(json.dumps(whole_json_of_outcome(outcome)))) == outcome


@UNHURRIED
@given(OUTCOMES)
def test_an_outcome_comes_back_from_the_contract_without_what_it_leaves_out(outcome: Outcome) -> None:
    bare = outcome._replace(before=(), mishaps=None, events=None, published=None, page_size=None, incomplete=None)
    assert outcome_from_json(json.loads(json.dumps(json_of_outcome(outcome)))) == bare


BAD_FIELDS = {
    '{"active": {}}': "outcome: expected ended",
    '{"ended": 1}': "outcome.ended: expected a string",
    '{"colour": 1}': "outcome: unknown key 'colour'",
    '{"value": true}': "outcome.value: expected a whole number",
    '{"warned": 1}': "outcome.warned: expected true or false",
    '{"entry_errnos": {}}': "outcome.entry_errnos: expected a list",
    '{"entry_errnos": ["0"]}': "outcome.entry_errnos: expected a whole number",
    '{"damage": [0]}': "outcome.damage: expected a string",
    '{"active": []}': "outcome.active: expected an object",
    '{"active": {"1": []}}': "outcome.active: expected an object, its keys the address spaces from 0 on",
    '{"active": {"0": [[1, 2, 3]]}}': "outcome.active: expected slots of five numbers",
    '{"generation": [1]}': "outcome.generation: expected an object",
    '{"mishaps": [["refuse", "P1", 0, "GROW", ""]]}': "outcome.mishaps: expected one of CREATE",
    '{"mishaps": [["refuse", "P1", 0, [], ""]]}': "outcome.mishaps: expected a string",
    '{"published": [[0, []]]}': "outcome.published: expected publications of three parts",
    '{"published": [[0, [[1]], false]]}': "outcome.published: expected slots of five numbers",
    '{"published": [[0, [], 1]]}': "outcome.published: expected true or false",
    '{"events": [[]]}': "outcome.events: expected events of five parts",
}


@pytest.mark.parametrize("line", BAD_FIELDS)
def test_what_is_no_outcome_is_refused_by_its_key(line: str) -> None:
    with pytest.raises(BadCase) as refusal:
        outcome_from_json(json.loads(line))
    assert BAD_FIELDS[line] in str(refusal.value)
