# SPDX-License-Identifier: GPL-2.0-only
"""Which basic blocks cases have run: of each case its own, the new ones for atheris, the missing ones in a listing."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.build import RECORD
from engines.tree.built import built_in
from engines.tree.engine import TreeList
from engines.tree.source_lines import SourceLines
from fuzz.features import BLOCKS, NewBlocks
from fuzz.tree_coverage import Reached, _marked, cases_at
from memslots.textreader import parse_case

Builds = Callable[..., Path]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]
PUT = "apply slot={0} gpa={0:#x}0000 size=0x1000 hva=0x20000"


def list_of(entries: int) -> str:
    return "\n".join(["slots 1", *(PUT.format(i + 1) for i in range(entries))])


def test_a_case_tells_what_it_has_run_itself(fake_tree: Builds) -> None:
    """The fake counts lists by their length."""
    engine = TreeList("tree:x", built_in(fake_tree()))
    for entries in (3, 5, 3):
        engine.apply(parse_case(list_of(entries).splitlines()).case)
        ran = engine.ran()
        assert len(ran) == 64
        assert [i for i, times in enumerate(ran) if times] == [entries]


def test_only_what_no_case_before_has_run_is_new() -> None:
    new = NewBlocks()
    first = new.of(bytes([0, 1, 9]))
    assert len(first) == 2
    assert new.of(bytes([0, 1, 9])) == []
    assert new.of(bytes([0, 1, 10])) == [], "about as often"
    assert len(new.of(bytes([0, 2, 9]))) == 1, "more often"
    assert len(new.of(bytes([255, 1, 9]))) == 1
    assert all(0 <= block < BLOCKS for block in new.of(bytes([255]) * 5000))


def test_blocks_are_counted_by_the_cases_that_run_them(fake_tree: Builds, tmp_path: Path) -> None:
    for entries in (1, 2):
        (tmp_path / f"{entries}.slots").write_text(list_of(entries) + "\n")
    reached = Reached(built_in(fake_tree()))
    reached.try_all(cases_at((tmp_path,), built_in(fake_tree())))
    assert reached.cases == 2
    # The list ioctl, and one at a time.
    assert [(i, n) for i, n in enumerate(reached.times) if n] == [(1, 2), (2, 2)]


def test_a_listing_marks_the_lines_that_nobody_has_reached() -> None:
    source = [f"line {i}" for i in range(1, 31)]
    told = list(_marked(source, {3: 5, 4: 0, 20: 7}, [4], False))
    assert told == [
        "      5     3 line 3",
        "  #####     4 line 4",
        "            5 line 5",
        "            6 line 6",
        "            7 line 7",
    ]
    assert len(list(_marked(source, {3: 5, 4: 0, 20: 7}, [4], True))) == 18


def test_addresses_nobody_knows_have_no_line(fake_tree: Builds) -> None:
    assert [line for _, _, line in SourceLines(built_in(fake_tree()).library).of_all([1, 2])] == [0, 0]


def test_a_build_that_counts_nothing_says_what_to_do(sameslots: Sameslots, fake_tree: Builds, tmp_path: Path) -> None:
    build = Path(shutil.copytree(fake_tree(), tmp_path / "build"))
    (build / RECORD).write_text(json.dumps(json.loads((build / RECORD).read_text()) | {"options": []}))
    ran = sameslots("tree", "coverage", build)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "sameslots tree build --coverage" in ran.stderr


@pytest.mark.parametrize("missing", ["x.slots", "."])
def test_cases_that_are_not_there_are_bad_input(
    missing: str, sameslots: Sameslots, fake_tree: Builds, tmp_path: Path
) -> None:
    ran = sameslots("tree", "coverage", fake_tree(), tmp_path / missing, "--lists", "1")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
