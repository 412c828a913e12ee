# SPDX-License-Identifier: GPL-2.0-only
"""A booted kernel's outcomes beside the code of its tree and `ideal`: to judge what a guest has written takes none."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from engines.tree.built import built_in
from engines.tree.engine import TreeList
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.errors import BadInput
from memslots.outcome import UNSEEN
from tests.guest.list_agreement import Said, main
from tests.guest.list_campaign import line_of

Builds = Callable[..., Path]
Judged = Callable[..., tuple[int, str, str]]
"""The exit code, and what is said to standard output and to standard error."""
LISTS = 60
HIDDEN = ("damage", "generation", "leaked", "publications")
"""What no kernel without KASAN shows, among others."""


def written(path: Path, build: Path) -> list[dict[str, Said]]:
    """What a kernel that does what this build does would have written of so many lists; and the lines of it."""
    built = built_in(build)
    engine = TreeList("tree", built)
    rng = Random(5)
    lines = []
    for _ in range(LISTS):
        case = case_of(drawn_choices(rng), built.vm)
        line = json.loads(line_of(case, engine.apply(case)))
        lines.append(line | {"outcome": line["outcome"] | dict.fromkeys(HIDDEN)})
    path.write_text("\n".join(map(json.dumps, lines)))
    return lines


@pytest.fixture
def judged(capsys: pytest.CaptureFixture[str]) -> Judged:
    def judged(path: Path, build: Path, variant: str, lists: int = LISTS) -> tuple[int, str, str]:
        code = main([str(path), str(lists), str(build), variant])
        return (code, *capsys.readouterr())

    return judged


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outcomes.jsonl"


@pytest.mark.parametrize(("variant", "defines"), [("naive", ["NAIVE"]), ("atomic", [])])
def test_a_kernel_that_does_what_its_tree_does_agrees(
    variant: str, defines: list[str], fake_tree: Builds, file: Path, judged: Judged
) -> None:
    written(file, fake_tree(*defines))
    code, out, err = judged(file, fake_tree(*defines), variant)
    assert (code, err) == (0, ""), out
    assert f"{variant}: {LISTS} lists: " in out
    assert " 0 differ from the tree, " in out


def test_a_kernel_that_undoes_nothing_is_not_atomic(fake_tree: Builds, file: Path, judged: Judged) -> None:
    written(file, fake_tree("NAIVE"))
    code, _out, err = judged(file, fake_tree("NAIVE"), "atomic")
    assert code == 1
    assert "lists differ from ideal: expected none" in err
    assert "differ from the tree" not in err


def test_a_kernel_that_undoes_all_is_not_naive(fake_tree: Builds, file: Path, judged: Judged) -> None:
    written(file, fake_tree())
    code, _out, err = judged(file, fake_tree(), "naive")
    assert code == 1
    assert "lists that naive must tear came out as ideal says: expected none" in err


def test_a_kernel_that_is_not_of_this_tree_differs(fake_tree: Builds, file: Path, judged: Judged) -> None:
    written(file, fake_tree("NAIVE"))
    code, _out, err = judged(file, fake_tree(), "naive")
    assert code == 1
    assert "lists differ from the tree: expected none" in err


@pytest.mark.parametrize(
    ("facet", "value"), [("errno", 5), ("active", {"0": [], "1": []}), ("slots_lock", True), ("warned", True)]
)
def test_one_facet_of_one_list_is_enough(
    facet: str, value: object, fake_tree: Builds, file: Path, judged: Judged
) -> None:
    lines = written(file, fake_tree("NAIVE"))
    there = next(line["outcome"] for line in lines if line["outcome"]["active"] != {"0": [], "1": []})
    there.update({facet: value})  # type: ignore[dict-item]
    file.write_text("\n".join(map(json.dumps, lines)))
    code, out, err = judged(file, fake_tree("NAIVE"), "naive")
    assert code == 1
    assert f"{file}: 1 lists differ from the tree: expected none\n" in err
    assert f"  {facet}: {value}, expected " in out


def test_lists_that_were_never_tried_are_missed(fake_tree: Builds, file: Path, judged: Judged) -> None:
    """A guest that dies, and a program that ends with a traceback, leave fewer."""
    written(file, fake_tree("NAIVE"))
    code, _out, err = judged(file, fake_tree("NAIVE"), "naive", lists=2 * LISTS)
    assert code == 1
    assert f"{LISTS} lists were tried: expected {2 * LISTS}" in err
    file.write_text("")
    code, _out, err = judged(file, fake_tree("NAIVE"), "naive", lists=0)
    assert code == 1
    assert "in no list there was anything to undo" in err


def test_a_kernel_that_shows_nothing_agrees_with_nothing(fake_tree: Builds, file: Path, judged: Judged) -> None:
    lines = written(file, fake_tree("NAIVE"))
    for line in lines:
        line["outcome"]["active"] = None
    file.write_text("\n".join(map(json.dumps, lines)))
    code, _out, err = judged(file, fake_tree("NAIVE"), "naive")
    assert code == 1
    assert "active was seen in 0 lists: expected all of them" in err


def test_a_line_that_was_cut_off_is_told(fake_tree: Builds, file: Path, judged: Judged) -> None:
    written(file, fake_tree("NAIVE"))
    file.write_text(file.read_text()[:-9])
    with pytest.raises(BadInput, match=rf":{LISTS}: .*: expected "):
        judged(file, fake_tree("NAIVE"), "naive")


def test_what_nobody_could_see_is_written_as_nothing(fake_tree: Builds) -> None:
    built = built_in(fake_tree())
    case = case_of(drawn_choices(Random(5)), built.vm)
    outcome = TreeList("tree", built).apply(case)._replace(active=UNSEEN)
    assert json.loads(line_of(case, outcome))["outcome"]["active"] is None
