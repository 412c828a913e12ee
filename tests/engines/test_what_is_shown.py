# SPDX-License-Identifier: GPL-2.0-only
"""An engine gives what it says that it shows: a facet that is left out is one that no oracle judges."""

from collections.abc import Callable
from random import Random

import pytest

from engines.catalogue import ENGINES, MACHINES, engine_named
from fuzz.choices import drawn
from fuzz.grammar import case_of
from memslots.errors import Unfit
from memslots.outcome import Outcome

SIMULATED = [name for name in ENGINES if name not in MACHINES]
MAY_BE_LEFT_OUT: dict[str, Callable[[Outcome], bool]] = {
    "kind": lambda outcome: outcome.ended != "crashed",
    "value": lambda outcome: outcome.ended != "returned",
    "errno": lambda outcome: outcome.ended != "returned",
    "entry_errnos": lambda outcome: outcome.ended != "returned",
    "at_first_refusal": lambda outcome: not outcome.errno,
}
"""The facets that an outcome may lack, and when."""


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("name", SIMULATED)
def test_no_facet_that_an_engine_shows_is_left_out(name: str, record: bool) -> None:
    engine = engine_named(name)
    choices = drawn(Random(11))
    given = 0
    ended = set()
    while given < 400:
        try:
            outcome = engine.apply(case_of(next(choices)), record=record)
        except Unfit:
            continue
        given += 1
        ended.add(outcome.errno)
        for facet in engine.shows - ({"events"} if not record else set()):
            left_out = getattr(outcome, facet) is None
            assert not left_out or (facet in MAY_BE_LEFT_OUT and MAY_BE_LEFT_OUT[facet](outcome)), facet
    assert len(ended) > 1, "some are refused, some are not"
