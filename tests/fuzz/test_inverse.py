# SPDX-License-Identifier: GPL-2.0-only
"""The inverse of the grammar: what the corpus shows, its bytes show."""

from pathlib import Path

import pytest
from hypothesis import given

from engines.simulated.engines import RfcV1, Serial
from fuzz.grammar import case_of, memory_of
from fuzz.inverse import choices_of
from fuzz.strategies import cases
from fuzz.trial import Trial
from memslots.case import Case, Faults
from memslots.region import Region
from memslots.textreader import parse_case, read_case

CORPUS = Path(__file__).parent.parent.parent / "corpus"
TRIAL = Trial(Serial(), RfcV1())


def buckets(case: Case) -> set[str]:
    return {finding.bucket for finding in TRIAL.verdict(case).findings}


def test_nearly_all_of_the_corpus_keeps_its_buckets() -> None:
    files = [read_case(path).case for path in sorted(CORPUS.rglob("*.slots"))]
    kept = sum(buckets(case_of(choices_of(case))) == buckets(case) for case in files)
    assert kept / len(files) > 0.8


def test_a_small_list_is_spelt_entry_by_entry() -> None:
    case = parse_case(
        [
            "slots 1",
            "given slot=0 gpa=0x2000 size=0x3000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
            "list nent=3",
            "apply slot=0 gpa=0x4000 size=0x3000 hva=0x100000000000 flags=LOG_DIRTY_PAGES invalidate",
            "apply slot=0 size=0",
        ]
    ).case
    assert case_of(choices_of(case)) == case


@given(cases())
def test_any_case_has_choices(case: Case) -> None:
    assert isinstance(case_of(choices_of(case)), Case)


def test_of_many_slots_those_are_spelt_that_the_list_is_about() -> None:
    given = [f"given slot={i} gpa={i * 2:#x}000 size=0x1000 hva=0x{10000 + i}000" for i in range(12)]
    case = parse_case(
        [
            "slots 1",
            *given,
            "apply slot=11 size=0 invalidate",
            "apply slot=20 gpa=0x14000 size=0x3000 hva=0x200000000000",  # where slot 10 is in the way
        ]
    ).case
    assert len(case_of(choices_of(case)).given) == 7
    assert buckets(case_of(choices_of(case))) == buckets(case) != set()


def test_each_address_space_has_ids_of_its_own() -> None:
    given = [f"given slot={i % 2}:{i} gpa={i:#x}000 size=0x1000 hva=0x{10000 + i}000" for i in range(7)]
    apply = [f"apply slot={i % 2}:{i} gpa={i:#x}000 size=0x1000 hva=0x{10000 + i}000" for i in range(7, 16)]
    assert buckets(case_of(choices_of(parse_case(["slots 1", *given, *apply]).case))) == set()


@pytest.mark.parametrize("faults", [(("copy", 0),), (("slot", 7),), (("array", 2), ("prepare", 3))])
def test_faults_near_the_beginning_are_spelt(faults: Faults) -> None:
    case = Case((Region(0, 0, 0x1000, 0x1000, memory_of(0, 0)),), faults=faults)
    assert case_of(choices_of(case)) == case


@pytest.mark.parametrize("nent", [None, 0, 65_535, 1 << 25])
def test_a_header_that_is_wrong_in_two_ways_is_spelt(nent: int | None) -> None:
    case = Case((Region(0, 0, 0x1000, 0x1000, memory_of(0, 0)),), nent=nent, header_flags=1 << 31)
    assert case_of(choices_of(case)) == case
