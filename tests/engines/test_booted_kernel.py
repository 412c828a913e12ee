# SPDX-License-Identifier: GPL-2.0-only
"""The simulated engines against what really booted kernels did with 400 + 828 lists."""

import json
from pathlib import Path
from typing import Any

import pytest

from engines.simulated.engines import RfcV1, Serial
from memslots.jsonl import case_from_line, json_of_outcome

DATA = Path(__file__).parent.parent / "data"
RECORDED_ONLY = {"serial", "list"}

Record = dict[str, Any]


def records(name: str) -> list[Record]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


SERIAL = records("serial-booted.jsonl")
LISTS = records("rfc-v1-booted.jsonl")


def outcome(engine: Serial | RfcV1, record: Record) -> Record:
    case = {key: value for key, value in record.items() if key not in RECORDED_ONLY}
    return json_of_outcome(engine.apply(case_from_line(json.dumps(case))[1]))


def differences(recorded: Record, got: Record) -> dict[str, tuple[object, object]]:
    return {key: (value, got[key]) for key, value in recorded.items() if got[key] != value}


def disagreement(recorded: Record, got: Record) -> object:
    """What a simulated list call has wrong, by the rules that came with the recordings; {} or None if nothing."""
    weird = bool(got["damage"] or got["dangling"] or got["corrupt"] or got["ended"] in ("crashed", "looped"))
    damaged = bool(recorded.get("damage"))
    match recorded["ended"], recorded.get("kind"):
        case "returned", _ if not (damaged or recorded["dangling"] or recorded["corrupt"]):
            if got["corrupt"]:
                # The kernel happened to come out whole; its answer must still be right.
                return differences({key: recorded[key] for key in ("value", "errno")}, got)
            return differences(recorded, got)
        case "hung", _:
            return differences({"ended": "hung"}, got)
        case "crashed", ("null-dereference" | "bug") as kind if not damaged:
            return differences({"ended": "crashed", "kind": kind}, got)
    return None if weird else ("no sign of trouble", got)


def test_the_recordings_are_all_there() -> None:
    assert (len(SERIAL), len(LISTS)) == (400, 828)


@pytest.mark.parametrize("record", SERIAL + LISTS, ids=lambda record: record["id"])
def test_serial_agrees_with_the_booted_kernel(record: Record) -> None:
    assert not differences(record["serial"], outcome(Serial(keep_going=True), record))


@pytest.mark.parametrize("record", LISTS, ids=lambda record: record["id"])
def test_rfc_v1_agrees_with_the_booted_kernel(record: Record) -> None:
    assert not disagreement(record["list"], outcome(RfcV1(), record))


def test_few_lists_come_out_whole_that_the_simulation_calls_corrupt() -> None:
    whole = [record for record in LISTS if record["list"].get("corrupt") is False and not record["list"]["dangling"]]
    called_corrupt = [record for record in whole if outcome(RfcV1(), record)["corrupt"]]
    assert len(called_corrupt) < 0.04 * len(whole)


def test_what_corrupt_sets_hold_agrees_too() -> None:
    """More than the recordings demand: the trees are modelled to the colour, so the walks meet the same slots."""
    checked = 0
    for record in LISTS:
        recorded = record["list"]
        got = outcome(RfcV1(), record)
        if got["corrupt"] and recorded["ended"] == "returned":
            keys = ("value", "errno", "active", "inactive", "damage", "dangling", "warned")
            assert not differences({key: recorded[key] for key in keys}, got), record["id"]
            checked += 1
    assert checked > 30


@pytest.mark.parametrize("key", ["entry_errnos", "active", "generation"])
def test_a_recording_that_says_otherwise_is_noticed(key: str) -> None:
    """The comparison itself can fail."""
    record = SERIAL[0]
    wrong = {**record["serial"], key: "something else"}
    assert key in differences(wrong, outcome(Serial(keep_going=True), record))
