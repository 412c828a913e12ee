# SPDX-License-Identifier: GPL-2.0-only
"""Statements dropped and sets swapped: every one, named for what it was, and nothing of what only tells."""

import pytest

from bench.planting.ignored import ignored
from bench.planting.mutants import Mutant, mutants
from bench.planting.rules import Rule
from bench.planting.sets import other_set
from bench.planting.statements import statements
from bench.planting.telling import Telling

CALL = """
def call(vm, old):
    entry = vm.entry()
    vm.lock_slots()
    r = vm.prepare(old)
    if r:
        vm.swap(old)
        for each in vm.gone:
            vm.kfree(each)
        return r
    if old is None:
        vm.unlock_slots()
        raise Oops
    if vm.kind == 3:
        vm.pages += 1
        return 0
    assert vm.pages
    del vm.gone[0]
    for each in vm.gone:
        if each:
            continue
        break
    x: int
    y: int = 4
    vm.unlock_slots()
    return None
"""


def made(source: str, *rules: Rule) -> list[Mutant]:
    return list(mutants(source, "x.py", None, rules))


def whats(source: str, *rules: Rule) -> list[str]:
    return [mutant.name.partition(": ")[2] for mutant in made(source, *rules)]


def changed(source: str, mutant: Mutant) -> str:
    """The lines that a mutant has and the source has not; it may have fewer lines."""
    return " / ".join(line.strip() for line in mutant.source.splitlines() if line not in source.splitlines())


def test_every_statement_is_dropped_and_named_for_what_it_was() -> None:
    assert whats(CALL, statements) == [
        "assignment `entry = vm.entry()` dropped",
        "lock `vm.lock_slots()` dropped",
        "assignment `r = vm.prepare(old)` dropped",
        "rollback step, publication `vm.swap(old)` dropped",
        "rollback step, loop `for each in vm.gone:` dropped",
        "rollback step, free `vm.kfree(each)` dropped",
        "return `return r` dropped",
        "rollback step, unlock `vm.unlock_slots()` dropped",
        "raise `raise Oops` dropped",
        "assignment `vm.pages += 1` dropped",
        "return `return 0` dropped",
        "deletion `del vm.gone[0]` dropped",
        "loop `for each in vm.gone:` dropped",
        "continue `continue` dropped",
        "break `break` dropped",
        "assignment `y: int = 4` dropped",
        "unlock `vm.unlock_slots()` dropped",
        "return `return None` dropped",
    ]


def test_a_dropped_statement_leaves_a_function_that_can_be_run() -> None:
    for mutant in made(CALL, statements):
        compile(mutant.source, "x.py", "exec")
        assert mutant.source.count("pass") == 1
        assert len(mutant.source) < len(CALL)


def test_docstrings_assertions_and_declarations_are_no_statements() -> None:
    assert whats('def f(a):\n    """What."""\n    assert a\n    x: int\n    pass\n', statements) == []


def test_a_return_that_ends_a_function_with_none_is_proved_and_no_other() -> None:
    source = "def f(a):\n    if a:\n        return\n    a.b()\n    return\n"
    assert [mutant.proof != "" for mutant in made(source, statements)] == [False, False, True]
    assert not any(mutant.proof for mutant in made("def f(a):\n    return a\n", statements))


@pytest.mark.parametrize(
    ("expression", "spoilt"),
    [
        ("vm.active(0)", "vm.inactive(0)"),
        ("vm.inactive(0)", "vm.active(0)"),
        ("vm.walk_inactive()", "vm.walk_active()"),
        ("vm.sets[vm.active_idx[0]]", "vm.sets[(1 - (vm.active_idx[0]))]"),
        ("vm.sets[0][1 - vm.active_idx[0]]", "vm.sets[0][(vm.active_idx[0])]"),
        ("sets[idx ^ which]", "sets[(1 - (idx ^ which))]"),
        ("1 - idx", "(idx)"),
    ],
)
def test_the_other_set_is_taken(expression: str, spoilt: str) -> None:
    source = f"def f(vm, sets, idx, which):\n    return {expression}\n"
    [mutant] = made(source, other_set)
    assert changed(source, mutant) == f"return {spoilt}"


@pytest.mark.parametrize("expression", ["vm.active_idx[0]", "vm.sets[0]", "1 - x", "vm.reactive", "active(0)"])
def test_what_is_no_set_is_left_alone(expression: str) -> None:
    """A bare name is a function's own: the other one is none of its names, or another value altogether."""
    assert made(f"def f(vm, x, active):\n    return {expression}\n", other_set) == []


def test_what_a_check_calls_is_called_and_its_answer_ignored() -> None:
    source = (
        "def f(vm, a):\n    if a or vm.fails('slot'):\n        return 1\n    while vm.more() > 2:\n        a -= 1\n"
    )
    assert [changed(source, mutant) for mutant in made(source, ignored)] == [
        "if ((a or vm.fails('slot')) and False):",
        "while ((vm.more() > 2) and False):",
    ]
    assert whats(source, ignored)[0] == "answer of check `a or ...` ignored"


TELLING = Telling(frozenset(("note", "named")), frozenset(("phase",)))


@pytest.mark.parametrize(
    "line",
    [
        "vm.note('x', a > 1)",
        "vm.phase = 'x' if a > 1 else 'y'",
        "vm.phase += 1",
        "if a > 1:\n        vm.note('x')\n    else:\n        vm.phase = 'y'",
    ],
)
def test_what_only_tells_is_left_out(line: str) -> None:
    source = f"def f(vm, a):\n    {line}\n"
    rules = (statements, other_set)
    assert whats(source, *(TELLING.leaves_out(rule) for rule in rules)) == []
    assert whats(source, statements) != []


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("vm.free(vm.note('x'))", 1),  # a call that does more
        ("vm.phase = vm.x = 1", 1),  # an assignment that others read
        ("if a:\n        vm.note('x')\n        vm.free()", 1),
        ("vm.warn('x')", 1),
    ],
)
def test_what_does_more_than_tell_is_not(line: str, left: int) -> None:
    assert len(whats(f"def f(vm, a):\n    {line}\n", TELLING.leaves_out(statements))) == left


def test_a_teller_itself_is_left_out() -> None:
    source = "class Vm:\n    def note(self, x):\n        self.free(x)\n    def free(self, x):\n        x.freed = True\n"
    assert whats(source, TELLING.leaves_out(statements)) == ["assignment `x.freed = True` dropped"]
