# SPDX-License-Identifier: GPL-2.0-only
"""What README.md and docs/ show is what the tool prints."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.replay import surprises
from memslots.textreader import parse_case
from oracles.policy import Policy

HOUSE = Path(__file__).parent.parent
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w[\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[tuple[str, str]]:
    return [
        (path.relative_to(HOUSE).as_posix(), text)
        for path in PAGES
        for found, text in _BLOCK.findall(path.read_text())
        if found == kind
    ]


@pytest.mark.parametrize(("page", "text"), blocks("console"))
def test_a_command_prints_what_the_page_shows(page: str, text: str) -> None:
    command, _, expected = text.partition("\n")
    assert command.startswith("$ sameslots ")
    program = Path(sys.executable).parent / "sameslots"
    result = subprocess.run(
        [program, *shlex.split(command)[2:]],
        cwd=HOUSE,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == expected
    assert result.stderr == ""


def test_the_readme_shows_a_command() -> None:
    assert [page for page, _ in blocks("console")].count("README.md") >= 2


def test_the_list_in_the_readme_comes_out_as_it_says() -> None:
    [text] = [text for page, text in blocks("slots") if page == "README.md"]
    file = parse_case(text.splitlines())
    assert list(surprises(Path("README.md"), file, "serial", Policy.ATOMIC)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_points_at_is_there(page: Path) -> None:
    for name in re.findall(
        r"`((?:docs|corpus|tests|bench|engines|oracles|memslots|fuzz|reports)/[\w./-]*)`", page.read_text()
    ):
        assert (HOUSE / name).exists(), name
