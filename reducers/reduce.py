# SPDX-License-Identifier: GPL-2.0-only
"""Reduction: the passes in their order, until none finds anything."""

from collections.abc import Callable

from memslots.case import Case
from reducers.delete import cut_the_tail, delete_entries, delete_given, delete_pairs, delete_slots
from reducers.fields import lower_fields, plain_header
from reducers.problem import OutOfBudget, Problem
from reducers.rename import compress_addresses, exchange, flatten_given, order, renumber, slide_down

BUDGET = 2000
"""Evaluations of the predicate in one reduction."""

FEWER = (plain_header, cut_the_tail, delete_slots, delete_entries, delete_given)
SMALLER = (
    plain_header,
    flatten_given,
    renumber,
    compress_addresses,
    delete_entries,
    delete_given,
    delete_pairs,
    slide_down,
    exchange,
    lower_fields,
    order,
)


def reduce_entries(problem: Problem) -> None:
    """Take away what can be taken away, without a look at the values."""
    for shrink in FEWER:
        shrink(problem)


def reduced(case: Case, holds: Callable[[Case], bool], budget: int = BUDGET) -> Problem:
    """The problem with its case in normal form: nothing can go, no field be lower, names in order of appearance.

    The same case and predicate give the same result. If the budget runs out, the smallest case found so far.
    """
    problem = Problem(case, holds, budget)
    try:
        reduce_entries(problem)
        while True:
            before = problem.case
            for shrink in SMALLER:
                shrink(problem)
            if problem.case == before:
                return problem
    except OutOfBudget:
        return problem
