# SPDX-License-Identifier: GPL-2.0-only
"""The engines without pointers beside the kernel with them: on drawn cases, on recorded ones, and on the corpus."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from engines.simulated.boot import at_rest
from engines.simulated.engines import RfcV1, Serial
from engines.simulated.plain_list import followed
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.jsonl import case_from_line
from memslots.textreader import read_case

HOUSE = Path(__file__).parent.parent.parent
DRAWN = 2_500


def followed_as(case: Case) -> str:
    """What became of the list ioctl's short cut, once it has been held against the kernel with pointers."""
    rest, before = at_rest(case)
    call = None if case.faults else followed(case, rest)
    if call is None:
        return "left to the kernel"
    faithful = RfcV1().apply_faithfully(case)
    if not call.stray:
        assert call.outcome(before) == faithful, case
        return "followed"
    assert faithful.corrupt
    assert faithful.mishaps is not None
    stray = next(i for i, mishap in enumerate(faithful.mishaps) if mishap.kind == "stray")
    assert tuple(call.mishaps) == faithful.mishaps[: stray + 1], case
    return "gone astray"


@pytest.mark.parametrize("seed", range(4))
def test_drawn_lists_end_alike_without_pointers(seed: int) -> None:
    rng = Random(seed)
    shares = Counter(followed_as(replace(case_of(drawn_choices(rng)), faults=())) for _ in range(DRAWN))
    assert shares["followed"] > 0.8 * DRAWN, shares
    assert shares["gone astray"] > 0.05 * DRAWN, shares
    assert 0 < shares["left to the kernel"] < 0.08 * DRAWN, shares


def test_drawn_lists_end_alike_in_serial_without_pointers() -> None:
    rng = Random(4)
    for _ in range(DRAWN):
        case = case_of(drawn_choices(rng))
        assert Serial().apply(case) == Serial().apply_faithfully(case)


def on_record() -> Iterator[Case]:
    for name in ("rfc-v1-booted.jsonl", "serial-booted.jsonl"):
        for line in (HOUSE / "tests" / "data" / name).read_text().splitlines():
            record = {key: value for key, value in json.loads(line).items() if key not in ("serial", "list")}
            yield case_from_line(json.dumps(record))[1]
    for path in sorted((HOUSE / "corpus").rglob("*.slots")):
        yield read_case(path).case


def test_recorded_lists_and_the_corpus_end_alike_without_pointers() -> None:
    shares = Counter(followed_as(case) for case in on_record())
    assert shares["followed"] > 500, shares
    assert shares["gone astray"] > 20, shares


def test_a_call_leaves_the_slots_at_rest_as_they_were() -> None:
    """Both engines, and every trial of the same `given`, begin with them."""
    rng = Random(5)
    for _ in range(300):
        case = case_of(drawn_choices(rng))
        rest, before = at_rest(case)
        Serial().apply(case)
        RfcV1().apply(case)
        assert at_rest(case)[0] is rest
        assert rest.walk() == before
