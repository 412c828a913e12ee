# SPDX-License-Identifier: GPL-2.0-only
"""How many recorded cases the simulated engines agree with, and how many of them take each error exit (X1 to X11).

Run as a module: python -m bench.agreement. The test of the same claim is tests/engines/test_booted_kernel.py.
"""

from collections import Counter

from bench.recorded import recorded
from engines.simulated.engines import RfcV1, Serial
from memslots.case import Case
from memslots.jsonl import Json, json_of_outcome
from memslots.outcome import Change, Event, Outcome

ROWS = (
    "X1 or X2 copy",
    "X3 bad id",
    "X4 check in P1",
    "X5 flagged no-op",
    "X6 prepare in P1",
    "X7 flagged by mistake",
    "X8 check in P2",
    "X9 prepare in P2, CREATE or FLAGS_ONLY",
    "X10 prepare in P2, unflagged MOVE",
    "X11 prepare in P2, flagged MOVE",
)
PREPARE = ("prepare hook", "beyond the maximum gfn", "no dirty bitmap", "no INVALID copy")


def error_exit(case: Case, outcome: Outcome) -> str:
    """The row of the description's table of error exits (c.7) that a recorded call took."""
    events = outcome.events or ()
    if any(event.kind == "warn" and event.phase == "P1" for event in events):
        return "X7 flagged by mistake"
    refusal = next((event for event in events if event.kind == "refuse"), None)
    if refusal is None:
        return {"crashed": "no exit: crashed", "hung": "no exit: hung"}.get(outcome.ended, "no exit: returned 0")
    return _refused(case, refusal)


def _refused(case: Case, refusal: Event) -> str:
    prepare = refusal.detail.endswith(PREPARE)
    match refusal.phase:
        case "":
            return "X1 or X2 copy"
        case "P1" if refusal.change is Change.NO_OP:
            return "X5 flagged no-op"
        case "P1" if refusal.detail.endswith("id out of range"):
            return "X3 bad id"
        case "P1":
            return "X6 prepare in P1" if prepare else "X4 check in P1"
        case _ if not prepare:
            return "X8 check in P2"
    if refusal.change not in (Change.MOVE, Change.DELETE):
        return "X9 prepare in P2, CREATE or FLAGS_ONLY"
    flagged = case.apply[refusal.entry].flagged
    return "X11 prepare in P2, flagged MOVE" if flagged else "X10 prepare in P2, unflagged MOVE"


def _rule(recorded_list: object, got: dict[str, Json]) -> str:
    """By which of the recordings' rules a simulated list call agrees, or `disagrees`."""
    assert isinstance(recorded_list, dict)
    differs = {key for key, value in recorded_list.items() if got[key] != value}
    weird = bool(got["damage"] or got["dangling"] or got["corrupt"] or got["ended"] in ("crashed", "looped"))
    damaged = bool(recorded_list.get("damage"))
    if recorded_list["ended"] == "hung":
        return "disagrees" if "ended" in differs else "hung"
    if recorded_list.get("kind") in ("null-dereference", "bug") and not damaged:
        return "disagrees" if differs & {"ended", "kind"} else "crashed the same way"
    if recorded_list["ended"] == "returned" and not (damaged or recorded_list["dangling"] or recorded_list["corrupt"]):
        if not differs:
            return "every field"
        return "came out whole, answer right" if got["corrupt"] and not differs & {"value", "errno"} else "disagrees"
    return "in trouble, both" if weird else "disagrees"


def main() -> None:
    """Print the agreement of both recordings."""
    alike = total = 0
    for name in ("serial-booted.jsonl", "rfc-v1-booted.jsonl"):
        for case, did in recorded(name):
            got = json_of_outcome(Serial(keep_going=True).apply(case))
            expected = did["serial"]
            assert isinstance(expected, dict)
            total += 1
            alike += all(got[key] == value for key, value in expected.items())
    print(f"serial: {alike} of {total} cases agree in every recorded field")
    exits: Counter[str] = Counter(dict.fromkeys(ROWS, 0))
    rules: Counter[str] = Counter()
    lists = recorded("rfc-v1-booted.jsonl")
    for case, did in lists:
        outcome = RfcV1().apply(case, record=True)
        exits[error_exit(case, outcome)] += 1
        rules[_rule(did["list"], json_of_outcome(outcome))] += 1
    print(f"rfc-v1: {len(lists) - rules['disagrees']} of {len(lists)} agree; {dict(rules)}")
    for row, count in sorted(exits.items()):
        print(f"{count:5}  {row}")


if __name__ == "__main__":
    main()
