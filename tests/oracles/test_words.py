# SPDX-License-Identifier: GPL-2.0-only
"""Every finding that an oracle can make has words of its own, wherever people read of it."""

import re
from pathlib import Path

import pytest

from engines.tree.outcome import DAMAGE_KINDS
from memslots.outcome import Outcome
from oracles.mismatch import Mismatch
from reports.subject import subject_of
from reports.why_tree import why_of_tree

HOUSE = Path(__file__).parent.parent.parent
_MADE = re.compile(r'Mismatch\(\s*"([a-z_]+)",\s*"([a-z_-]+)"')
_OF_GENERATIONS = re.compile(r'_of_generations\("([a-z-]+)"')


def findings() -> list[tuple[str, str]]:
    """The oracle and what it finds, as the oracles' sources say it, and each kind of damage."""
    text = "".join(path.read_text() for path in sorted((HOUSE / "oracles").glob("*.py")))
    found = set(_MADE.findall(text))
    found |= {("invariants", what) for what in _OF_GENERATIONS.findall(text)}
    found |= {("balance", f"{lock}-held") for lock in ("slots_lock", "slots_arch_lock")}
    found |= {("balance", kind) for kind in DAMAGE_KINDS}
    return sorted(found)


FINDINGS = findings()


def test_they_are_found() -> None:
    assert len(FINDINGS) > 30
    assert {oracle for oracle, _ in FINDINGS} >= {"invariants", "balance", "visibility"}


@pytest.mark.parametrize(("oracle", "what"), FINDINGS)
def test_the_words_of_buckets_are_explained(oracle: str, what: str) -> None:
    text = (HOUSE / "docs" / "buckets.md").read_text()
    [row] = [line for line in text.splitlines() if line.startswith(f"| `{oracle}` |")]
    assert f"`{what}`" in row or f"`{what}` " in row


@pytest.mark.parametrize(("oracle", "what"), FINDINGS)
def test_why_says_what_was_found_though_no_event_tells(oracle: str, what: str) -> None:
    outcome = Outcome("returned", (), (), value=0, errno=0, mishaps=())
    said = why_of_tree(Mismatch(oracle, what, {}), None, outcome)
    assert said != "The call leaves other slots than the reference."


@pytest.mark.parametrize(("oracle", "what"), FINDINGS)
def test_a_subject_says_what_was_found(oracle: str, what: str) -> None:
    subject = subject_of("tree:x", [(Mismatch(oracle, what, {}), None)], Outcome("returned", (), (), value=0, errno=0))
    assert "fails" not in subject
    assert not subject.endswith("…")
