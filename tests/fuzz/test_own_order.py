# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's commit beside the reference: its allowances are used where they are meant, and excuse nothing else."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from engines.simulated import qemu_commit
from engines.simulated.engines import Serial
from engines.simulated.plain import PlainVm
from engines.simulated.qemu_commit import Listener, QemuCommit
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.own_order import deletions_first
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Unfit
from memslots.textreader import parse_case
from oracles.allowances import DELETIONS_FIRST, PREFIX_LEFT_BEHIND, SEEN_IN_BETWEEN
from oracles.bucket import how_ended

SLOT_0 = "given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x2000 size=0x2000 hva=0x100000002000"
DELETE_0, DELETE_1 = "apply slot=0 size=0", "apply slot=1 size=0"
BIG = "apply slot=5 gpa=0x0 size=0x4000 hva=0x100000000000"


def case_from(*lines: str) -> Case:
    return parse_case(["slots 1", *lines]).case


OWN = {DELETIONS_FIRST.name, PREFIX_LEFT_BEHIND.name, SEEN_IN_BETWEEN.name}
USED = {
    # list, how the reference ends in the list's order, how QEMU ends, allowances
    "a merge, as QEMU sends it": ([DELETE_0, DELETE_1, BIG], "ok", "ok", set()),
    "a creation before what is in its way": ([BIG, DELETE_0, DELETE_1], "EEXIST", "ok", {"deletions_first"}),
    "one that meets what stays": (
        [DELETE_0, BIG],
        "EEXIST",
        "EEXIST",
        {"prefix_left_behind"},
    ),
    "a refusal later than in the list": (
        [BIG, DELETE_0],
        "EEXIST",
        "EEXIST",
        {"deletions_first", "prefix_left_behind"},
    ),
    "two of them, nothing met": ([DELETE_0, DELETE_1], "ok", "ok", {"seen_in_between"}),
}


@pytest.mark.parametrize(("lines", "listed", "ended", "names"), USED.values(), ids=USED.keys())
def test_each_allowance_is_used_where_it_is_meant(lines: list[str], listed: str, ended: str, names: set[str]) -> None:
    case = case_from(SLOT_0, SLOT_1, *lines)
    verdict = Trial(Serial(), QemuCommit()).verdict(case)
    assert how_ended(Serial().apply(case)) == listed
    assert how_ended(verdict.outcome) == ended
    assert verdict.findings == ()
    assert {allowance.name for allowance in verdict.allowances} & OWN == names


def test_a_failure_is_met_where_qemu_is_by_then() -> None:
    """The second INVALID copy, the first prepare hook: of other entries in QEMU's order than in the list's."""
    for fault in ("invalid=1", "prepare=0", "slot=0", "copy=1"):
        case = case_from(
            SLOT_0, SLOT_1, "apply slot=7 gpa=0x9000 size=0x1000 hva=0x0", DELETE_0, DELETE_1, f"fault {fault}"
        )
        verdict = Trial(Serial(), QemuCommit()).verdict(case)
        assert verdict.findings == (), fault
        assert verdict.outcome.value == -1


def drawn(seed: int, runs: int, trial: Trial) -> tuple[int, set[str]]:
    """How many of the drawn lists QEMU could send, and the buckets that they show."""
    rng = Random(seed)
    fit = 0
    buckets: set[str] = set()
    for _ in range(runs):
        try:
            verdict = trial.verdict(case_of(drawn_choices(rng)))
        except Unfit:
            continue
        fit += 1
        buckets |= {finding.bucket for finding in verdict.findings}
    return fit, buckets


def test_drawn_lists_show_nothing_but_allowances() -> None:
    fit, buckets = drawn(12, 2_500, Trial(Serial(), QemuCommit()))
    assert fit > 250
    assert buckets == set()


Queues = Callable[[Case, PlainVm], list[Listener]]


def forgets_a_creation(listeners: list[Listener]) -> None:
    for listener in listeners:
        del listener.transaction_add[1:]


def forgets_a_deletion(listeners: list[Listener]) -> None:
    for listener in listeners:
        del listener.transaction_del[1:]


def creates_backwards(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.transaction_add.reverse()


def creates_first(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.transaction_del, listener.transaction_add = listener.transaction_add, listener.transaction_del


def begins_with_smm(listeners: list[Listener]) -> None:
    listeners.reverse()


@pytest.mark.parametrize(
    "bug", [forgets_a_creation, forgets_a_deletion, creates_backwards, creates_first, begins_with_smm]
)
def test_no_allowance_covers_a_commit_that_does_otherwise(
    bug: Callable[[list[Listener]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound: Queues = qemu_commit.queued

    def planted(case: Case, rest: PlainVm) -> list[Listener]:
        listeners = sound(case, rest)
        bug(listeners)
        return listeners

    monkeypatch.setattr(qemu_commit, "queued", planted)
    assert drawn(13, 2_500, Trial(Serial(), QemuCommit()))[1] != set()


def test_readers_who_are_not_kept_out_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "need_inhibit", property(lambda _: False))
    _, buckets = drawn(13, 2_500, Trial(Serial(), QemuCommit()))
    assert buckets
    assert {bucket.split()[:2] == ["visibility", "unbacked"] for bucket in buckets} == {True}


def test_the_order_is_written_twice_and_comes_to_the_same() -> None:
    """By a sort here, by queues in the engine."""
    rng = Random(14)
    seen = 0
    while seen < 200:
        case = replace(case_of(drawn_choices(rng)), faults=())
        try:
            outcome = QemuCommit().apply(case, record=True)
        except Unfit:
            continue
        seen += 1
        tried = [event.entry for event in outcome.events or () if event.kind == "lock" and event.detail == "slots_lock"]
        entries = list(case.named())
        assert [entries[i] for i in tried] == list(deletions_first(case).apply)[: len(tried)]
