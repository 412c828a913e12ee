# SPDX-License-Identifier: GPL-2.0-only
"""Every finding that an oracle can make has words of its own, wherever people read of it."""

import re
from pathlib import Path

import pytest

from engines.tree.outcome import BREAKS, DAMAGE_KINDS, LEAKED
from memslots.outcome import Change, Event, Outcome
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


def logged(*details: str) -> Outcome:
    events = tuple(Event("log", "", 0, Change.UNKNOWN, detail) for detail in details)
    return Outcome("returned", (), (), value=0, errno=0, mishaps=events)


def test_what_is_left_behind_is_told_with_the_finding_that_it_belongs_to() -> None:
    outcome = logged(f"{LEAKED}0:0@0x0+0x1", "active set: freed at slot 0:1")
    said = [
        why_of_tree(Mismatch(*each, {}), None, outcome) for each in (("balance", "leaked"), ("balance", "dangling"))
    ]
    assert said == [
        "The call leaks memory (leaked: 0:0@0x0+0x1).",
        "The call leaves freed memory linked (active set: freed at slot 0:1).",
    ]
    alone = why_of_tree(Mismatch("invariants", "page-count", {}), None, logged(f"{LEAKED}0:0@0x0+0x1"))
    assert alone == "The call leaves nr_memslot_pages wrong."


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        (
            f"{BREAKS}kvmalloc under a spinlock (f, a.c:3)",
            "The code breaks a rule: kvmalloc under a spinlock (f, a.c:3).",
        ),
        ("kvm_swap (a.c:3)", "The code fires a WARN: kvm_swap (a.c:3)."),
    ],
)
def test_a_rule_that_is_broken_is_no_warn_that_fires(detail: str, said: str) -> None:
    event = Event("warn", "", 0, Change.UNKNOWN, detail)
    assert why_of_tree(Mismatch("invariants", "warned", {}), event, logged()) == said
