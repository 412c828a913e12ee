# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts on drawn cases: those of them that the engine can be given."""

from collections.abc import Iterator
from random import Random

from fuzz.choices import drawn
from fuzz.grammar import case_of
from fuzz.trial import Trial, Verdict
from memslots.errors import Unfit


def drawn_verdicts(trial: Trial, lists: int, seed: int) -> Iterator[Verdict]:
    """So many of them."""
    choices = drawn(Random(seed))
    while lists:
        try:
            verdict = trial.verdict(case_of(next(choices)))
        except Unfit:
            continue
        lists -= 1
        yield verdict
