# SPDX-License-Identifier: GPL-2.0-only
"""The commit that a report names is the one whose code has run, or none is named."""

import subprocess
from pathlib import Path
from shutil import which

import pytest

from fuzz.commit import commit

needs_git = pytest.mark.skipif(which("git") is None, reason="needs git")


def git(house: Path, *arguments: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(house), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout with a room and something beside it."""
    house = tmp_path / "house"
    (house / "fuzz").mkdir(parents=True)
    (house / "fuzz" / "case.py").write_text("1\n")
    (house / "notes").write_text("1\n")
    git(house, "init", "-q")
    git(house, "add", ".")
    git(house, "commit", "-qm", "x")
    return house


@needs_git
def test_the_commit_is_named_and_whether_the_code_has_changed_since(house: Path) -> None:
    head = git(house, "rev-parse", "HEAD")[:12]
    assert commit(house) == head
    (house / "notes").write_text("2\n")
    assert commit(house) == head, "notes are no code"
    (house / "fuzz" / "more.py").write_text("1\n")
    assert commit(house) == f"{head} with changes"


@needs_git
def test_what_lies_in_a_checkout_of_something_else_is_of_no_commit(house: Path) -> None:
    installed = house / "lib"
    (installed / "fuzz").mkdir(parents=True)
    assert commit(installed) is None


@needs_git
def test_another_repository_that_the_environment_names_is_not_asked(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(house / ".git"))
    (tmp_path / "installed").mkdir()
    assert commit(tmp_path / "installed") is None


def test_without_git_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() is None
