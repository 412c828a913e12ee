# SPDX-License-Identifier: GPL-2.0-only
"""A subject names the worst that was found, in one short line."""

import pytest

from memslots.outcome import Change, Event, Outcome
from oracles.mismatch import Mismatch
from reports.subject import subject_of

REFUSED = Event("refuse", "P2", 1, Change.CREATE)


def subject(*found: str, who: str = "rfc-v1", ended: str = "returned", kind: str | None = None) -> str:
    mismatches = [Mismatch(*each.partition(" ")[::2], facts={}) for each in found]
    outcome = Outcome(ended, (), (), kind, value=-1, errno=17)
    return subject_of(who, [(mismatch, REFUSED) for mismatch in mismatches], outcome)


def test_the_worst_comes_first_whatever_the_order() -> None:
    worst = "KVM: rfc-v1 leaves a slot INVALID (P2, CREATE)"
    assert subject("balance leaked", "invariants left-invalid", "final_slots") == worst
    assert subject("invariants left-invalid", "final_slots", "balance leaked") == worst
    assert subject("visibility invalid-windows") == "KVM: rfc-v1 publishes INVALID slots time and again (P2, CREATE)"


@pytest.mark.parametrize(
    ("ended", "kind", "words"),
    [
        ("hung", None, "hangs"),
        ("looped", None, "loops for ever"),
        ("crashed", None, "crashes"),
        ("crashed", "bug", "hits a BUG"),
        ("crashed", "null-dereference", "dereferences NULL"),
        ("crashed", "use-after-free", "dies of a use after free"),
        ("crashed", "unresolved-helper", "calls what the shim does not have"),
    ],
)
def test_a_call_that_does_not_return_says_how_it_ended(ended: str, kind: str | None, words: str) -> None:
    assert subject("survival", "invariants corrupt", ended=ended, kind=kind) == f"KVM: rfc-v1 {words} (P2, CREATE)"


def test_a_finding_that_nobody_has_words_for_is_named() -> None:
    assert subject("fairness odd") == "KVM: rfc-v1 fails fairness odd (P2, CREATE)"


def test_of_a_tree_the_name_says_enough() -> None:
    assert (
        subject("balance leaked", who="tree:/home/me/build/trees/linux")
        == "KVM: tree:linux leaks an object (P2, CREATE)"
    )


def test_it_fits_behind_the_word_subject() -> None:
    for who in ("x" * 20, "x" * 50, "x" * 200):
        assert len(f"Subject: {subject('balance leaked', 'error_codes', who=who)}") <= 72
