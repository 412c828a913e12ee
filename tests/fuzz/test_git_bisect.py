# SPDX-License-Identifier: GPL-2.0-only
"""The exit codes of a step of a bisection: what is good, bad, to be skipped, and what ends it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.build import RECORD
from engines.tree.built import Built, built_in
from engines.tree.tools import Unbuildable
from fuzz.git_bisect import bisected
from memslots.errors import BadInput, Missing

Builds = Callable[..., Path]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_code_of_a_campaign_is_that_of_the_step(code: int, fake_tree: Builds, tmp_path: Path) -> None:
    folders: list[Path] = []

    def campaign(folder: Path) -> int:
        folders.append(folder)
        return code

    assert bisected(f"tree:{fake_tree()}", tmp_path, campaign, built_in) == code
    assert folders == [tmp_path / built_in(fake_tree()).content[:12]]


def refused(error: Exception) -> Callable[[Path], Built]:
    def rebuild(_: Path) -> Built:
        raise error

    return rebuild


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unbuildable("kvm_main.c", ["virt/kvm/kvm_main.c:7: error: expected ;"]), 125),
        (BadInput("x: no Linux source tree"), 128),
        (Missing("gcc is not here"), 128),
    ],
)
def test_a_tree_that_cannot_be_built_is_skipped_and_a_mistake_ends_it_all(
    error: Exception, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bisected("tree:x", tmp_path, lambda _: 0, refused(error)) == code
    assert str(error) in capsys.readouterr().err


def test_a_commit_whose_single_ioctl_is_wrong_is_skipped(
    fake_tree: Builds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = Path(shutil.copytree(fake_tree(), tmp_path / "build"))
    facts = json.loads((build / RECORD).read_text())
    facts["checked"]["difference"] = {"case": "slots 1\napply slot=0 size=0\n"}
    (build / RECORD).write_text(json.dumps(facts))
    assert bisected(f"tree:{build}", tmp_path, lambda _: 0, built_in) == 125
    assert "apply slot=0 size=0\n" in capsys.readouterr().err


def test_only_a_kernel_tree_has_commits(sameslots: Sameslots, tmp_path: Path) -> None:
    ran = sameslots("fuzz", "--engine", "rfc-v1", "--git-bisect", "--runs", "1", "--out", tmp_path / "out")
    assert ran.returncode == 128
    assert "expected --engine tree:DIR" in ran.stderr
