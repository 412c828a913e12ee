# SPDX-License-Identifier: GPL-2.0-only
"""Two builds beside one another: alike is told as such, and what is not is told by the smallest case."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

from engines.tree.build import RECORD
from engines.tree.built import built_in
from fuzz.progress import Progress
from fuzz.tree_compare import Comparison

Builds = Callable[..., Path]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]


def test_a_build_is_not_told_apart_from_itself(sameslots: Sameslots, fake_tree: Builds) -> None:
    ran = sameslots("tree", "compare", fake_tree(), fake_tree(), "--runs", "300", "--seed", "1")
    assert ran.returncode == 0
    assert ran.stdout.startswith("Not told apart: single ioctl and list ioctl, 300 cases, seed 1.\nNot covered:\n")


def test_two_list_ioctls_that_differ_are_told_apart_by_the_smallest_list(
    sameslots: Sameslots, fake_tree: Builds
) -> None:
    ran = sameslots("tree", "compare", fake_tree(), fake_tree("NAIVE"), "--seed", "1", "--time", "60")
    assert ran.returncode == 1
    assert "# The list ioctl of two kernel trees parts here.\n" in ran.stdout
    assert f"# active: {fake_tree()} " in ran.stdout
    assert 1 <= ran.stdout.count("\napply ") <= 2


def test_two_single_ioctls_that_differ_are_told_apart(sameslots: Sameslots, fake_tree: Builds) -> None:
    ran = sameslots(
        "tree", "compare", fake_tree("NO_LIST"), fake_tree("OVERLAP_OFF_BY_ONE"), "--seed", "1", "--time", "60"
    )
    assert ran.returncode == 1
    assert "# errno: " in ran.stdout
    assert ran.stdout.count("\ngiven ") + ran.stdout.count("\napply ") == 2


def test_what_x86s_own_hook_cannot_be_given_tells_nothing_apart(fake_tree: Builds, tmp_path: Path) -> None:
    plain = fake_tree()
    x86 = Path(shutil.copytree(plain, tmp_path / "x86"))
    (x86 / RECORD).write_text(json.dumps(json.loads((plain / RECORD).read_text()) | {"options": ["x86"]}))
    for pair in ((plain, x86), (x86, plain)):
        comparison = Comparison(*map(built_in, pair))
        most = built_in(x86).most_gfn
        assert {comparison.drawn(Random(seed)).machine.max_gfn > most for seed in range(100)} == {False}
        assert comparison.run(Random(1), None, 100, Progress("compare")).difference is None


def test_without_a_list_ioctl_in_both_that_is_said(sameslots: Sameslots, fake_tree: Builds) -> None:
    ran = sameslots("tree", "compare", fake_tree("NO_LIST"), fake_tree(), "--runs", "20", "--seed", "1")
    assert ran.returncode == 0
    assert "the single ioctl alone was compared" in ran.stdout


def test_what_is_neither_a_build_nor_a_tree_is_bad_input(
    sameslots: Sameslots, fake_tree: Builds, tmp_path: Path
) -> None:
    ran = sameslots("tree", "compare", fake_tree(), tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"sameslots: {tmp_path}: no Linux source tree")
