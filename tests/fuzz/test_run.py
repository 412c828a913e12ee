# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots run`: a result for each line, in order, with exactly the keys of the contract."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pytest

from memslots.jsonl import line_from_case
from memslots.textreader import parse_case

Sameslots = Callable[..., subprocess.CompletedProcess[str]]
Started = Callable[..., subprocess.Popen[str]]


class Mismatch(TypedDict):
    engine: str
    reference: str
    oracle: str
    bucket: str
    facts: dict[str, dict[str, object]]


class Result(TypedDict):
    id: str | None
    outcomes: dict[str, dict[str, object]]
    mismatches: list[Mismatch]


PAGE = "gpa=0x0 size=0x1000 hva=0x100000000000"


def line_of(case_id: str | None, *lines: str) -> str:
    return line_from_case(parse_case(["slots 1", *lines]).case, case_id) + "\n"


AGREE = line_of("agree", f"given slot=1:7 {PAGE} flags=READONLY", f"apply slot=0 {PAGE}")
NO_OP = line_of("no-op", f"given slot=0 {PAGE}", f"apply slot=0 {PAGE} invalidate")
"""Serial answers 0, rfc-v1 answers 1: one mismatch."""
REFUSED = line_of(
    "refused", f"apply slot=0 {PAGE}", f"apply slot=1 {PAGE}", "apply slot=0 size=0", "apply slot=7 size=0"
)
"""Serial refuses entry 1, and would refuse entry 3."""
BAD = '{"id": "bad", "apply": 1}\n'


def results_of(ran: subprocess.CompletedProcess[str]) -> list[Result]:
    assert ran.stderr == ""
    return [json.loads(line) for line in ran.stdout.splitlines()]


OUTCOME_KEYS = [
    *("ended", "kind", "value", "errno", "entry_errnos", "at_first_refusal", "active", "inactive", "generation"),
    *("slots_lock", "slots_arch_lock", "nr_memslot_pages", "damage", "dangling", "corrupt", "leaked", "warned"),
    "publications",
]


def test_results_have_the_keys_of_the_contract_in_the_order_of_the_lines(sameslots: Sameslots) -> None:
    ran = sameslots("run", "--engine", "rfc-v1", "--jsonl", "-", stdin=AGREE + NO_OP + line_of(None, "list nent=0"))
    agree, no_op, empty = results_of(ran)
    assert [agree["id"], no_op["id"], empty["id"]] == ["agree", "no-op", None]
    for result in (agree, no_op, empty):
        assert list(result) == ["id", "outcomes", "mismatches"]
        assert list(result["outcomes"]) == ["serial", "rfc-v1"]
        for outcome in result["outcomes"].values():
            assert list(outcome) == OUTCOME_KEYS
    assert agree["mismatches"] == empty["mismatches"] == []
    serial, rfc_v1 = agree["outcomes"].values()
    assert serial["active"] == {"0": [[0, 0, 1, 0x100000000000, 0]], "1": [[7, 0, 1, 0x100000000000, 2]]}
    assert serial["entry_errnos"] == [0]
    assert serial["at_first_refusal"] is None
    assert rfc_v1 == serial | {"entry_errnos": None}
    [mismatch] = no_op["mismatches"]
    assert mismatch == {
        "engine": "rfc-v1",
        "reference": "serial",
        "oracle": "error_codes",
        "bucket": mismatch["bucket"],
        "facts": {"expected": {"value": 0, "errno": 0}, "got": {"value": 1, "errno": 0}},
    }
    assert mismatch["bucket"].startswith("error_codes ok returned-1 ")
    assert ran.returncode == 1


def test_a_refusal_shows_where_and_what_was_active_then(sameslots: Sameslots) -> None:
    [result] = results_of(sameslots("run", "--engine", "serial", stdin=REFUSED))
    assert list(result["outcomes"]) == ["serial"]
    serial = result["outcomes"]["serial"]
    assert (serial["value"], serial["errno"], serial["entry_errnos"]) == (-1, 17, [0, 17])
    assert serial["at_first_refusal"] == serial["active"] == {"0": [[0, 0, 1, 0x100000000000, 0]], "1": []}


def test_serial_that_keeps_going_answers_every_entry_given(sameslots: Sameslots) -> None:
    short = line_of("short", "list nent=1", f"apply slot=0 {PAGE}", f"apply slot=1 {PAGE}")
    ran = sameslots("run", "--engine", "serial", "--keep-going", stdin=REFUSED + short)
    refused, cut = (result["outcomes"]["serial"] for result in results_of(ran))
    assert (refused["value"], refused["errno"], refused["entry_errnos"]) == (-1, 17, [0, 17, 0, 22])
    assert refused["at_first_refusal"] == {"0": [[0, 0, 1, 0x100000000000, 0]], "1": []}
    assert refused["active"] == {"0": [], "1": []}
    assert cut["entry_errnos"] == [0, 17]
    assert ran.returncode == 0


def test_several_engines_answer_side_by_side(sameslots: Sameslots) -> None:
    both = sameslots("run", "--engine", "serial", "--engine", "rfc-v1", stdin=NO_OP)
    [result] = results_of(both)
    assert set(result["outcomes"]) == {"serial", "rfc-v1"}
    assert [mismatch["engine"] for mismatch in result["mismatches"]] == ["rfc-v1"]
    assert sameslots("run", "--engine", "rfc-v1", stdin=NO_OP).stdout == both.stdout
    [mismatch] = result["mismatches"]
    assert (mismatch["engine"], mismatch["reference"]) == ("rfc-v1", "serial")
    assert mismatch["facts"]["expected"]["value"] == 0


def test_an_engine_that_is_named_twice_is_judged_once(sameslots: Sameslots) -> None:
    [result] = results_of(sameslots("run", "--engine", "rfc-v1", "--engine", "rfc-v1", stdin=NO_OP))
    assert len(result["mismatches"]) == 1


def test_what_a_refused_list_must_leave_is_up_to_the_policy(sameslots: Sameslots) -> None:
    oracles: dict[str, set[str]] = {}
    for policy in ("atomic", "prefix"):
        [result] = results_of(sameslots("run", "--policy", policy, stdin=REFUSED))
        oracles[policy] = {mismatch["oracle"] for mismatch in result["mismatches"]}
    # The CREATE of entry 0 was never published.
    assert "final_slots" not in oracles["atomic"]
    assert "final_slots" in oracles["prefix"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [(AGREE, 0), (AGREE + NO_OP + AGREE, 1), (AGREE + BAD + AGREE, 2), (NO_OP + BAD, 2), (BAD + NO_OP, 2)],
    ids=["agree", "mismatch", "bad", "mismatch, bad", "bad, mismatch"],
)
def test_the_exit_code_tells_the_worst_of_all_lines(lines: str, code: int, sameslots: Sameslots) -> None:
    ran = sameslots("run", stdin=lines)
    assert ran.returncode == code
    assert [result["id"] for result in results_of(ran)] == [json.loads(line)["id"] for line in lines.splitlines()]


def test_a_file_reads_like_stdin_and_may_lack_its_last_newline(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text((AGREE + BAD + NO_OP).removesuffix("\n"))
    from_file = sameslots("run", "--jsonl", path)
    from_stdin = sameslots("run", stdin=AGREE + BAD + NO_OP)
    assert len(results_of(from_file)) == 3
    assert (from_file.stdout, from_file.returncode) == (from_stdin.stdout, from_stdin.returncode)


def test_an_engine_that_does_not_exist_is_bad_usage(sameslots: Sameslots) -> None:
    ran = sameslots("run", "--engine", "no-such", stdin=AGREE)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "'no-such' is not one of 'serial', 'serial-rfc-v1'" in ran.stderr


def test_each_line_is_answered_before_the_next_is_asked(started: Started) -> None:
    with started("run") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (AGREE, BAD, NO_OP):
            process.stdin.write(line)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == json.loads(line)["id"]
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 2


def stop_reading(process: subprocess.Popen[str]) -> str:
    """What is on stderr of a `run` whose reader goes after the first result."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(AGREE)
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write(AGREE)
    process.stdin.close()
    return process.stderr.read()


def test_a_reader_that_goes_away_is_no_traceback(started: Started) -> None:
    with started("run") as process:
        assert stop_reading(process) == ""
    assert process.returncode != 0


def test_a_reader_that_goes_away_is_no_mismatch(started: Started) -> None:
    with started("run") as process:
        stop_reading(process)
    assert process.returncode == 141


def test_an_interrupt_ends_it_quietly_with_130(started: Started) -> None:
    with started("run") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(AGREE)
        process.stdin.flush()
        process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read().strip() == ""


def test_what_readers_saw_is_added_when_it_is_asked_for_and_changes_nothing_else(sameslots: Sameslots) -> None:
    twice = "apply slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"
    grow = line_of("grow", f"given slot=0 {PAGE}", "apply slot=0 size=0", twice)
    command = ("run", "--engine", "rfc-v1", "--engine", "qemu-commit", "--engine", "serial-rfc-v1", "--jsonl", "-")
    [plain] = results_of(sameslots(*command, stdin=grow))
    [asked] = results_of(sameslots(*command, "--published", stdin=grow))
    published = {name: outcome.pop("published") for name, outcome in asked["outcomes"].items()}
    readers = {name: outcome.pop("readers") for name, outcome in asked["outcomes"].items()}
    assert asked == plain
    unbacked = {"invalid_windows": 1, "inhibited": 0, "unbacked": [[0, 0, 1, 1]], "retried": [[0, 0, 1, 1]]}
    assert readers == {
        "serial": unbacked,
        "serial-rfc-v1": unbacked,
        "qemu-commit": {"invalid_windows": 1, "inhibited": 3, "unbacked": [], "retried": []},
        "rfc-v1": {"invalid_windows": 1, "inhibited": 0, "unbacked": [], "retried": [[0, 0, 1, 1]]},
    }
    invalid, grown = [[0, 0, 1, 0x100000000000, 0x10000]], [[0, 0, 2, 0x100000000000, 0]]
    one_by_one = [[0, invalid, False], [0, [], False], [0, grown, False]]
    assert published == {
        "serial": one_by_one,
        "serial-rfc-v1": one_by_one,
        "qemu-commit": [[0, invalid, True], [0, [], True], [0, grown, True]],
        "rfc-v1": [[0, invalid, False], [0, grown, False]],
    }


def test_a_list_that_an_engine_cannot_be_given_is_said_to_be_so(sameslots: Sameslots) -> None:
    move = line_of("move", f"given slot=0 {PAGE}", "apply slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000")
    ran = sameslots("run", "--engine", "qemu-commit", "--jsonl", "-", stdin=move)
    assert json.loads(ran.stdout)["error"].startswith("entry 0: qemu-commit neither moves a slot nor")
    assert ran.returncode == 2
