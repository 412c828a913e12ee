# SPDX-License-Identifier: GPL-2.0-only
"""Cases that are drawn for a kernel tree can be given to it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

from engines.catalogue import HERE, engine_named
from engines.simulated.boot import at_rest
from engines.simulated.engines import Serial
from fuzz.choices import drawn
from fuzz.fitted import fitted
from fuzz.grammar import MACHINES, case_of
from fuzz.statistics import counted
from fuzz.trial import Trial
from memslots.case import Case

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
        assert {case.machine.overrides().keys() <= {"max_gfn"} for case in cases} == {True}
        assert {case.machine.address_spaces for case in cases} == {2}
        assert {case.machine.max_gfn for case in cases} == {each.max_gfn for each in MACHINES}
        assert any(case.faults for case in cases)


def test_what_is_drawn_as_given_is_accepted_there(fake_tree: Builds) -> None:
    """What another machine takes, ids and flags and addresses, need not be."""
    spelt = fitted(HERE, f"tree:{fake_tree()}", "serial")
    for choices in islice(drawn(Random(9)), 3000):
        assert at_rest(fresh(spelt(choices)))


def fresh(case: Case) -> Case:
    """The same without what is known of it already."""
    return replace(case, given=(*case.given,))


def test_no_case_of_a_tree_is_left_out(fake_tree: Builds) -> None:
    name = f"tree:{fake_tree()}"
    ended = counted(Trial(Serial(), engine_named(name)), 1, CASES, fitted(HERE, name, "serial"))["engine ended"]
    assert not ended["not given: unfit"]
    assert ended.total() >= CASES
