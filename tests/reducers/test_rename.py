# SPDX-License-Identifier: GPL-2.0-only
"""The passes of rename.py one by one: what each makes of a case when nothing stands in its way."""

from collections.abc import Callable

import pytest

from memslots.case import Case
from memslots.casefile import case_file
from memslots.textreader import parse_case
from memslots.textwriter import text_of
from reducers.problem import Problem
from reducers.rename import compress_addresses, exchange, flatten_given, order, renumber, slide_down

Pass = Callable[[Problem], None]

GIVEN = "given slot=0 gpa=0x{:x} size=0x1000 hva=0x0\n"
LIST = "apply slot=0 gpa=0x{:x} size=0x1000 hva=0x0\napply slot={} gpa=0x{:x} size=0x1000 hva=0x0\n"


def passed(shrink: Pass, text: str, holds: Callable[[Case], bool] = lambda case: True) -> str:
    problem = Problem(parse_case(["slots 1", *text.splitlines()]).case, holds, budget=1000)
    shrink(problem)
    return text_of(case_file(problem.case)).removeprefix("slots 1\n")


@pytest.mark.parametrize(
    ("shrink", "before", "after"),
    [
        (flatten_given, GIVEN.format(0x5000) + GIVEN.format(0x3000) + "apply slot=0 size=0\n", None),
        (renumber, "apply slot=1:9 size=0\napply slot=4 size=0\n", "apply slot=0 size=0\napply slot=1 size=0\n"),
        (compress_addresses, LIST.format(0x7000, 1, 0x9000), LIST.format(0, 1, 0x1000)),
        (order, LIST.format(0x1000, 0, 0), LIST.format(0, 0, 0x1000)),
        (exchange, "apply slot=1 size=0\napply slot=0 size=0\n", "apply slot=0 size=0\napply slot=1 size=0\n"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_pass_gives_smaller_names(shrink: Pass, before: str, after: str | None) -> None:
    expected = GIVEN.format(0x3000) + "apply slot=0 size=0\n" if after is None else after
    assert passed(shrink, before) == expected


def test_neighbours_of_different_sizes_exchange_their_places() -> None:
    """Neither place can be given to the other alone, nor can one of the two be lowered."""
    long, short = "slot=0 gpa={} size=0x2000 hva=0x0", "slot=1 gpa={} size=0x1000 hva=0x0"
    before = f"apply {long}\napply {short}\n".format("0x0", "0x2000")
    assert passed(exchange, before) == f"apply {long}\napply {short}\n".format("0x1000", "0x0")


def test_what_touches_slides_down_together_and_far() -> None:
    def touching(case: Case) -> bool:
        one, other = case.apply
        return one.guest_phys_addr + 0x1000 == other.guest_phys_addr

    assert passed(slide_down, LIST.format(1 << 40, 1, (1 << 40) + 0x1000), touching) == LIST.format(0, 1, 0x1000)


@pytest.mark.parametrize("shrink", [flatten_given, renumber, compress_addresses, order, exchange, slide_down])
def test_a_pass_leaves_what_the_predicate_holds_on_to(shrink: Pass) -> None:
    text = GIVEN.format(0x5000) + LIST.format(0x7000, 9, 0x3000)
    assert passed(shrink, text, lambda case: False) == text
