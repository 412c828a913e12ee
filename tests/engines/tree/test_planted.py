# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes in a kernel tree are found, each by its own mark, and a tree without one is silent."""

from pathlib import Path

import pytest

from engines.tree.build import built
from engines.tree.built import built_in
from engines.tree.flags import Options
from fuzz.model_check import Checked, checked
from tests.engines.tree.conftest import Copy
from tests.engines.tree.planted import ARCH_EARLY, ARCH_LEAK, NO_MISTAKES, PLANTED, READ_AFTER_FREE, Planted

REQUESTS = 20_000
PLAIN = Options()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All builds go here: only kvm_main.c is compiled again."""
    return tmp_path_factory.mktemp("build")


def check(copy: Copy, folder: Path, options: Options = PLAIN) -> Checked:
    built(copy.path, folder, options)
    return checked(built_in(folder), seconds=None, requests=REQUESTS, seed=1)


def test_an_unchanged_tree_agrees_with_the_model(copy: Copy, folder: Path) -> None:
    copy.change(str)
    found = check(copy, folder)
    assert found.difference is None
    assert found.requests >= REQUESTS


@pytest.mark.parametrize("planted", NO_MISTAKES, ids=lambda planted: planted.name)
def test_what_is_no_mistake_is_none(planted: Planted, copy: Copy, folder: Path) -> None:
    copy.change(planted.in_text)
    assert check(copy, folder).difference is None


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_mistake_is_found(planted: Planted, copy: Copy, folder: Path) -> None:
    copy.change(planted.in_text)
    found = check(copy, folder)
    assert found.difference is not None
    assert planted.shows in "\n".join(found.difference.words())


@pytest.mark.parametrize(
    ("planted", "options", "shows"),
    [
        (READ_AFTER_FREE, Options(asan=True), "use-after-free"),
        (ARCH_LEAK, Options(x86=True), "leaked"),
        (ARCH_EARLY, Options(x86=True), "early-free: freed while the active set holds it"),
    ],
    ids=["asan", "x86 leak", "x86 early"],
)
def test_what_only_a_build_with_an_option_finds(
    planted: Planted, options: Options, shows: str, copy: Copy, folder: Path, tmp_path: Path
) -> None:
    copy.change(planted.in_text)
    assert check(copy, folder).difference is None
    found = check(copy, tmp_path, options).difference
    assert found is not None
    assert shows in "\n".join(found.words())
