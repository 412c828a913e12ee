# SPDX-License-Identifier: GPL-2.0-only
"""Two independent readings of the serial ioctl come to the same end: ideal beside serial, list by list."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings

from engines.ideal.engine import Ideal
from engines.simulated.engines import Serial
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.strategies import cases
from fuzz.trial import Trial
from memslots.case import FAULT_KINDS, Case
from memslots.jsonl import case_from_line
from memslots.outcome import Outcome
from memslots.slot import SlotSet
from memslots.textreader import read_case
from memslots.uapi import KVM_MEMSLOT_INVALID

HOUSE = Path(__file__).parent.parent.parent
TRIAL = Trial(Serial(), Ideal())
DRAWN = 1_500


def agreed(case: Case) -> Outcome:
    """The outcome of ideal, which the oracles find nothing against."""
    verdict = TRIAL.verdict(case)
    assert verdict.findings == (), case
    held_to_i3(verdict.outcome)
    return verdict.outcome


def held_to_i3(outcome: Outcome) -> None:
    """At most two publications of each address space, INVALID slots before the last, which is a way back at times."""
    assert outcome.published is not None
    assert len(outcome.published) == outcome.publications
    for as_id, before in enumerate(outcome.before):
        seen = [published.slots for published in outcome.published if published.as_id == as_id]
        assert len(seen) <= 2
        after = outcome.active[as_id]
        assert (seen[-1] if seen else before) == after
        if len(seen) == 2:
            assert invalid_only_marks(before, seen[0])


def invalid_only_marks(before: SlotSet, invalid: SlotSet) -> bool:
    """Whether `invalid` is `before` with some slots marked INVALID, and at least one."""
    unmarked = tuple(slot._replace(flags=slot.flags & ~KVM_MEMSLOT_INVALID) for slot in invalid)
    return unmarked == before and invalid != before


@pytest.mark.parametrize("seed", range(2))
def test_drawn_lists_agree(seed: int) -> None:
    rng = Random(seed)
    ended = Counter(agreed(case_of(drawn_choices(rng))).errno for _ in range(DRAWN))
    assert ended[0] > DRAWN / 4, ended
    assert len(ended) >= 4, ended


def test_drawn_lists_with_faults_agree() -> None:
    rng = Random(2)
    met: Counter[str] = Counter()
    for _ in range(DRAWN):
        faults = {rng.choice(list(FAULT_KINDS)): rng.randrange(4) for _ in range(rng.choice((1, 1, 2)))}
        met.update(agreed(replace(case_of(drawn_choices(rng)), faults=tuple(sorted(faults.items())))).failed)
    assert set(met) == set(FAULT_KINDS), met


@settings(max_examples=200, deadline=None)
@given(cases())
def test_lists_of_the_grammar_agree(case: Case) -> None:
    agreed(case)


def recorded() -> Iterator[Case]:
    for name in ("rfc-v1-booted.jsonl", "serial-booted.jsonl"):
        for line in (HOUSE / "tests" / "data" / name).read_text().splitlines():
            record = {key: value for key, value in json.loads(line).items() if key not in ("serial", "list")}
            yield case_from_line(json.dumps(record))[1]


def test_recorded_lists_agree() -> None:
    assert Counter(agreed(case).value for case in recorded()).keys() == {0, -1}


def test_a_recorded_list_that_a_booted_kernel_accepted_one_at_a_time_leaves_what_it_left_there() -> None:
    """The kernel's own word, with no simulation of serial in between."""
    told = 0
    for line in (HOUSE / "tests" / "data" / "serial-booted.jsonl").read_text().splitlines():
        record = json.loads(line)
        did = record.pop("serial")
        _, case = case_from_line(json.dumps(record))
        if any(region.invalidate_slot > 1 for region in case.apply):
            continue
        outcome = Ideal().apply(case)
        first = next((i for i, errno in enumerate(did["entry_errnos"]) if errno), None)
        if first is None:
            left = {str(as_id): [list(slot[1:]) for slot in slots] for as_id, slots in enumerate(outcome.active)}
            assert left == did["active"], record
            assert outcome.nr_memslot_pages == did["nr_memslot_pages"]
        else:
            assert outcome.entry_errnos == tuple(did["entry_errnos"][: first + 1]), record
        told += 1
    assert told > 350


@pytest.mark.parametrize("folder", ["seeds", "mismatches"])
def test_the_corpus_agrees(folder: str) -> None:
    paths = sorted((HOUSE / "corpus" / folder).rglob("*.slots"))
    assert len(paths) > 40
    for path in paths:
        agreed(read_case(path).case)
