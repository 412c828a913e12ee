# SPDX-License-Identifier: GPL-2.0-only
"""Without the aftermath of a stray edit an outcome says less, and nothing else."""

from random import Random

from engines.simulated.engines import RfcV1, Serial
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.trial import Trial


def test_the_buckets_are_the_same_but_for_what_comes_of_corrupt_sets() -> None:
    whole, quick = Trial(Serial(), RfcV1()), Trial(Serial(), RfcV1(aftermath=False))
    rng = Random(2)
    astray = 0
    for _ in range(3_000):
        case = case_of(drawn_choices(rng))
        expected, got = whole.verdict(case), quick.verdict(case)
        buckets = {each.bucket for each in expected.findings}
        if expected.outcome.corrupt:
            assert got.findings[0].bucket == expected.findings[0].bucket
            assert {each.bucket for each in got.findings} <= buckets
            astray += 1
            assert got.outcome.ended == "unknown"
            assert got.outcome.value is None
        else:
            assert got.outcome == expected.outcome
            assert {each.bucket for each in got.findings} == buckets
    assert astray > 100
