# SPDX-License-Identifier: GPL-2.0-only
"""Small things about the parts of a campaign that the campaign's own tests do not name."""

from pathlib import Path

from engines.simulated.engines import RfcV1, Serial
from fuzz.features import COUNTERS, Features
from fuzz.supervisor import Plan
from fuzz.trial import Trial
from memslots.errors import Missing
from memslots.textreader import parse_case

TRIAL = Trial(Serial(), RfcV1())


def features(numbers: Features, *lines: str) -> set[int]:
    case = parse_case(["slots 1", *lines]).case
    verdict = TRIAL.verdict(case)
    return numbers.of(case, verdict.reference, verdict.outcome)


def test_features_tell_what_the_engines_did_and_not_where() -> None:
    numbers = Features()
    here = features(numbers, "apply slot=0 gpa=0x0 size=0x1000 hva=0x0")
    elsewhere = features(numbers, "apply slot=7 gpa=0x9000 size=0x3000 hva=0x5000")
    refused = features(numbers, "apply slot=0 size=0")
    assert here == elsewhere
    assert refused - here
    assert all(0 <= number < COUNTERS for number in here | refused)


def test_a_plan_names_the_backend_of_each_worker() -> None:
    def backends(backend: str) -> tuple[str, ...]:
        return Plan(backend, "rfc-v1", "serial", "atomic", Path("out"), 1, None, 1, True).backends()

    assert backends("random") == ("random",)
    assert backends("mixed")[0] == "random"
    try:
        assert backends("atheris") == ("atheris",)
    except Missing as missing:
        assert "pip install atheris" in str(missing)  # noqa: PT017 - either is right, by what is installed
