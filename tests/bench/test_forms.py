# SPDX-License-Identifier: GPL-2.0-only
"""Engines with a mistake: whatever it leads to is an outcome, and others go on as before."""

import os
import time
from collections.abc import Callable

import pytest

from bench.planting.forms import SIMULATED, faithful, indexed, plain
from bench.planting.limit import Endless, Limit
from bench.planting.side_by_side import Died, side_by_side
from bench.planting.trials import Shared, drawn, finding, searched
from bench.planting.world import World, source_of
from engines.protocol import Engine
from engines.simulated.engines import Serial
from fuzz.trial import Trial

CASES = Shared(drawn(1), 300).cases


def planted(module: str, old: str, new: str, form: Callable[[World], Engine] = faithful) -> Trial:
    name = f"{SIMULATED}.{module}"
    source, _ = source_of(name)
    assert source.count(old) == 1
    return Trial(Serial(), form(World(SIMULATED, {name: source.replace(old, new)})))


@pytest.mark.parametrize("form", [plain, faithful, indexed])
def test_an_engine_without_a_mistake_is_found_nothing_of(form: Callable[[World], Engine]) -> None:
    trial = Trial(Serial(), form(World(SIMULATED, {})))
    assert searched(trial, CASES, lambda _: 0.0)[:2] == ("", len(CASES))


@pytest.mark.parametrize(
    ("module", "old", "new", "oracle"),
    [
        ("kernel", "MOVE:\n                self._free_arch(old)", "MOVE:\n                pass", "balance leaked"),
        ("kernel", "new.arch = arrays", "pass", "invariants incomplete"),
        ("kernel", "new.dirty_bitmap = old.dirty_bitmap", "pass", "invariants incomplete"),
        ("linked", "self._hva_root.erase(nodes.hva)", "pass", "invariants incomplete"),
        ("serial", "kernel.lock_slots()", "pass", "invariants warned"),
        ("kernel", "        self.lock_arch()\n        old.arch", "        old.arch", "invariants warned"),
        (
            "vm",
            "1 - self.active_idx[as_id]]\n\n    def as_id_of",
            "self.active_idx[as_id]]\n\n    def as_id_of",
            "invariants edited-in-place",
        ),
        ("checks", "if gpa + size > U64:", "if False:", "invariants more-publications"),
    ],
)
def test_what_no_oracle_noticed_before_mistakes_were_planted_is_noticed(
    module: str, old: str, new: str, oracle: str
) -> None:
    cases = Shared(drawn(2), 3000).cases
    assert searched(planted(module, old, new), cases, lambda _: 0.0).oracle == oracle


def test_an_exception_is_a_crash_and_a_loop_without_end_ends() -> None:
    raises = planted("serial", "entry = BatchEntry()", "entry = None")
    assert searched(raises, CASES, lambda _: 0.0).oracle == "survival"
    loops = planted(
        "objects", "                return True\n            i += 1", "                return True", indexed
    )
    begin = time.process_time()
    assert searched(loops, CASES, lambda _: 0.0).oracle == "survival"
    assert time.process_time() - begin > 0.1
    hangs = planted("vm", "        self.slots_lock = False\n\n    def lock_arch", "\n    def lock_arch")
    assert {finding(hangs, case)[0] for case in CASES} >= {"survival", "balance slots_lock-held"}


def _loop() -> None:
    while True:
        pass


def test_a_limit_ends_what_takes_too_long_and_nothing_else() -> None:
    limit = Limit(0.05)
    with limit:
        pass
    with pytest.raises(Endless), limit:
        _loop()
    begin = time.process_time()
    while time.process_time() - begin < 0.1:
        pass  # nothing is armed any more


def test_a_case_whose_given_a_mistake_refuses_is_not_judged() -> None:
    refuses = planted("serial", "    kernel.entry = None\n", "    kernel.entry = None\n    return -22\n")
    given = [case for case in CASES if case.given]
    assert {finding(refuses, case) for case in given} == {("", None)}
    assert searched(refuses, CASES, lambda _: 0.0).oracle == "error_codes"


def squared(task: int, tell: Callable[[int], None]) -> None:
    if task == 13:
        os._exit(3)
    tell(task * task)
    if task == 7:
        os._exit(0)  # as libFuzzer's processes end


def test_processes_side_by_side_answer_each_task_once() -> None:
    assert dict(side_by_side(range(10), squared, 2)) == {n: n * n for n in range(10)}


def test_a_process_that_dies_without_an_answer_is_told() -> None:
    with pytest.raises(Died, match="13: exit code 3"):
        list(side_by_side([1, 13], squared, 2))
