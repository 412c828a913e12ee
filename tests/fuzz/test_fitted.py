# SPDX-License-Identifier: GPL-2.0-only
"""Cases that are drawn for a kernel tree can be given to it."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

from engines.catalogue import HERE, engine_named
from engines.simulated.engines import Serial
from fuzz.choices import drawn
from fuzz.fitted import fitted
from fuzz.grammar import case_of
from fuzz.statistics import counted
from fuzz.trial import Trial

Builds = Callable[..., Path]
CASES = 300


def test_where_no_engine_is_bound_to_a_machine_the_choices_name_it() -> None:
    spelt = fitted(HERE, "rfc-v1", "serial")
    every = list(islice(drawn(Random(1)), CASES))
    assert [spelt(choices) for choices in every] == [case_of(choices) for choices in every]


def test_a_drawn_case_is_for_the_machine_that_a_tree_is_compiled_for_but_for_its_max_gfn(fake_tree: Builds) -> None:
    name = f"tree:{fake_tree()}"
    for engine, reference in ((name, "serial"), ("serial", name)):
        cases = [fitted(HERE, engine, reference)(choices) for choices in islice(drawn(Random(1)), CASES)]
        kept = [case for case in cases if case.machine.overrides().keys() <= {"max_gfn", "address_spaces"}]
        assert len(kept) > CASES // 2
        assert {case.machine.address_spaces for case in kept} == {2}
        assert any("max_gfn" in case.machine.overrides() for case in kept)


def test_statistics_of_a_tree_are_of_cases_that_it_can_be_given(fake_tree: Builds) -> None:
    name = f"tree:{fake_tree()}"
    trial = Trial(Serial(), engine_named(name))
    as_spelt = counted(trial, 1, CASES)["engine ended"]["not given: unfit"]
    fits = counted(trial, 1, CASES, fitted(HERE, name, "serial"))["engine ended"]["not given: unfit"]
    assert fits < as_spelt
