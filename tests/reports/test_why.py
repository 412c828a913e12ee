# SPDX-License-Identifier: GPL-2.0-only
"""The one sentence says what the events say: nothing of passes that did not run, nothing undone that was not done."""

import pytest

from engines.protocol import Engine
from engines.simulated.engines import RfcV1, Serial, SerialRfcV1
from fuzz.trial import Trial
from memslots.outcome import UNSEEN, Change, Event, Outcome
from memslots.textreader import parse_case
from oracles.bucket import parting_event
from oracles.mismatch import Mismatch
from oracles.policy import Policy
from reports.why import why

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x0\n"


def sentences(text: str, policy: Policy = Policy.ATOMIC, engine: Engine | None = None) -> dict[str, str]:
    """The sentence of each finding, by oracle and what it found."""
    case = parse_case(["slots 1", *text.splitlines()]).case
    verdict = Trial(Serial(), engine or RfcV1(), policy).verdict(case)
    return {
        f"{f.mismatch.oracle} {f.mismatch.what}".strip(): why(f.mismatch, f.parting, verdict.outcome)
        for f in verdict.findings
    }


@pytest.mark.parametrize(
    ("text", "finding", "words"),
    [
        (SLOT_0 + "apply slot=0 gpa=0x0 size=0x1000 hva=0x0", "survival", "P2 passes over a no-op"),
        (
            "apply slot=0 gpa=0x0 size=0x1000 hva=0x0 invalidate",
            "survival",
            "the call itself waits",
        ),
        ("apply slot=32764 size=0", "balance slots_lock-held", "does not release slots_lock"),
        ("list nent=131073", "survival", "kcalloc returns NULL"),
        ("list nent=33554432", "error_codes", "before it looks at any entry"),
        ("apply slot=2:0 size=0", "balance out-of-bounds", "as_to_swap"),
        (
            "machine linux-6.1 max_gfn=0xff\n" + SLOT_0 + "apply slot=0 gpa=0x100000 size=0x1000 hva=0x0 invalidate",
            "survival",
            "cannot prepare a flagged MOVE",
        ),
        (
            "machine linux-6.1 max_gfn=0xff\n" + SLOT_0 + "apply slot=0 gpa=0x100000 size=0x1000 hva=0x0",
            "balance dangling",
            "its rollback is of before patch 7",
        ),
        (
            SLOT_0
            + "apply slot=1 gpa=0x1000 size=0x1000 hva=0x0\napply slot=0 gpa=0x1000 size=0x1000 hva=0x0 invalidate",
            "survival",
            "tested for overlap in P1 alone",
        ),
        (
            SLOT_0
            + "given slot=1 gpa=0x1000 size=0x1000 hva=0x0\napply slot=0 size=0\n"
            + "apply slot=1 gpa=0x0 size=0x1000 hva=0x0",
            "survival",
            "not flagged publishes in the middle of P2: a MOVE passes the overlap test in the one set",
        ),
        ("apply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 size=0", "invariants warned", "which only P3 counts"),
        (
            SLOT_0 + "apply slot=0 size=0 invalidate\napply slot=9 size=0",
            "invariants left-invalid",
            "P2 refuses a DELETE, and undoes nothing; nobody takes back the INVALID copies",
        ),
        (
            "apply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 size=0 invalidate",
            "error_codes",
            "flagged entries are looked at first",
        ),
        (
            "apply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=1 size=0 invalidate\napply slot=1 size=0",
            "error_codes",
            "",
        ),
    ],
)
def test_the_sentence_names_the_mechanism(text: str, finding: str, words: str) -> None:
    if words:
        assert words in sentences(text)[finding]
    else:
        assert finding not in sentences(text)


def test_what_was_never_done_is_not_said_to_be_left_undone() -> None:
    prefix = sentences("apply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=1 size=0 invalidate", Policy.PREFIX)
    assert prefix["final_slots"] == "P1 refuses a DELETE, and what one at a time has done by then is not to be seen."
    accepted = sentences(
        "apply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 size=0 invalidate\n" + SLOT_0.replace("given", "apply")
    )
    assert accepted["final_slots"].endswith("nothing is done of a list that is accepted one at a time.")


def test_of_the_single_ioctl_no_pass_is_spoken() -> None:
    case = parse_case(["slots 1", "apply slot=0 gpa=0x0 size=0x1000 hva=0x0", "apply slot=1 size=0"]).case
    outcome = Serial().apply(case)
    [parting] = outcome.mishaps or ()
    assert why(Mismatch("final_slots", "", {}), parting, outcome) == (
        "A DELETE is refused one at a time, and what stood before it stays done."
    )


REFUSED_MOVE = "given slot=0 gpa=0x0 size=0x1000 hva=0x0\ngiven slot=1 gpa=0x1000 size=0x1000 hva=0x0\n" + (
    "apply slot=0 gpa=0x1000 size=0x1000 hva=0x0 invalidate"
)


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(
    ("mishaps", "words"),
    [
        (None, "shows no events"),
        (
            (Event("log", "", 0, Change.UNKNOWN, "lock held when returning to user space"),),
            "only the kernel's log tells",
        ),
    ],
)
def test_nothing_is_made_up_for_an_engine_that_sees_no_refusals(
    value: int, mishaps: tuple[Event, ...] | None, words: str
) -> None:
    reference = Serial().apply(parse_case(["slots 1", *REFUSED_MOVE.splitlines()]).case)
    outcome = Outcome("returned", UNSEEN, reference.before, value=value, errno=-value and 22, mishaps=mishaps)
    mismatch = Mismatch("error_codes", "", {})
    parting = parting_event(mismatch, reference, outcome)
    assert parting is not None
    assert words in why(mismatch, parting, outcome)


@pytest.mark.parametrize(
    ("text", "finding", "words"),
    [
        (
            SLOT_0 + "given slot=1 gpa=0x1000 size=0x1000 hva=0x0\n"
            "apply slot=0 size=0 invalidate\napply slot=1 size=0 invalidate",
            "visibility invalid-windows",
            "P1 publishes each flagged entry by itself",
        ),
        (
            SLOT_0 + "given slot=1 gpa=0x1000 size=0x1000 hva=0x0\napply slot=0 size=0\napply slot=1 size=0 invalidate",
            "visibility invalid-windows",
            "A DELETE that is not flagged is made INVALID in P2",
        ),
        (
            "machine linux-6.1 max_gfn=0xff\n" + SLOT_0 + "apply slot=0 gpa=0x100000 size=0x1000 hva=0x0",
            "visibility invalid-windows",
            "its rollback is of before patch 7 and publishes the INVALID copy once more",
        ),
        (
            "machine linux-6.1 max_gfn=0xff\n" + SLOT_0 + "apply slot=1 gpa=0x1000 size=0x1000 hva=0x0\n"
            "apply slot=0 gpa=0x100000 size=0x1000 hva=0x0 invalidate",
            "visibility outside",
            "its rollback publishes the inactive set",
        ),
        (
            SLOT_0 + "given slot=1 gpa=0x1000 size=0x1000 hva=0x0\n"
            "apply slot=1 size=0 invalidate\napply slot=0 gpa=0x1000 size=0x1000 hva=0x0",
            "visibility outside",
            "with half of the list in it",
        ),
    ],
)
def test_what_readers_see_has_its_own_sentence(text: str, finding: str, words: str) -> None:
    assert words in sentences(text)[finding]


def test_an_uncounted_page_is_no_matter_of_the_rollback_behind_it() -> None:
    told = sentences(
        "given slot=0 gpa=0x0 size=0x1000 hva=0x0\n"
        "given slot=1 gpa=0x1000 size=0x1000 hva=0x0\n"
        "given slot=2 gpa=0x2000 size=0x4000 hva=0x0\n"
        "apply slot=0 size=0\n"
        "apply slot=1 size=0\n"
        "apply slot=2 gpa=0xfffffffffd000 size=0x4000 hva=0x0"
    )
    assert "has published a set in the middle of it" in told["invariants page-count"]
    assert "its rollback is of before patch 7" in told["balance dangling"]


@pytest.mark.parametrize(
    ("lines", "finding", "words"),
    [
        ("apply slot=0 gpa=0x0 size=0x1000 hva=0x0\nfault prepare=0", "balance leaked", "since patch 5 nobody frees"),
        (SLOT_0 + "apply slot=0 size=0\nfault prepare=0", "balance dangling", "its rollback is of before patch 7"),
        (SLOT_0 + "apply slot=0 size=0\nfault prepare=0", "final_slots", "its rollback is of before patch 7"),
    ],
)
def test_what_the_refactoring_broke_is_told_of_the_single_ioctl(lines: str, finding: str, words: str) -> None:
    told = sentences(lines, engine=SerialRfcV1())[finding]
    assert told.startswith("The single ioctl cannot prepare a ")
    assert words in told
