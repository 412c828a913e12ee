# SPDX-License-Identifier: GPL-2.0-only
"""A case, what must go on being true of it, and how often that was asked."""

from collections.abc import Callable

from memslots.case import Case
from reducers.measure import Measure, measure


class OutOfBudget(Exception):
    """The predicate has been asked as often as it may be. The problem's case is the smallest found."""


class Problem:
    """The smallest case known of which `holds` is true, behind a single way to propose another.

    `calls` counts evaluations; a case that was asked before is not asked again.
    """

    def __init__(self, case: Case, holds: Callable[[Case], bool], budget: int) -> None:
        self._holds = holds
        self._asked: set[Case] = {case}
        self._measure: Measure = measure(case)
        self.case = case
        self.calls = 0
        self.budget = budget

    def consider(self, case: Case) -> bool:
        """Whether `case` is smaller and the predicate holds of it; then it is the case from here on.

        Raises OutOfBudget.
        """
        if case in self._asked:
            return False
        size = measure(case)
        if size >= self._measure:
            return False
        if self.calls >= self.budget:
            raise OutOfBudget
        self.calls += 1
        self._asked.add(case)
        if not self._holds(case):
            return False
        self.case, self._measure = case, size
        return True
