# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes are planted in all that an engine runs: no module, function, statement or comparison is passed over."""

import ast
from collections.abc import Iterator

import pytest

from bench.detection import PAGE
from bench.planting.functions import FunctionNode, Text, functions
from bench.planting.rules import negated
from bench.planting.statements import statements
from bench.planting.subjects import EVERY_RULE, SUBJECTS, Subject
from bench.planting.world import World, source_of
from memslots.textreader import parse_case

CASE = parse_case(
    [
        "slots 1",
        "given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
        "apply slot=0 size=0 invalidate",
        "apply slot=1 gpa=0x1000 size=0x1000 hva=0x100000010000",
    ]
).case
MEASURING = {
    "serial": {"boot", "completeness", "ended", "engines", "published", "readout", "recorder", "rbtree"},
    "ideal": {"engine", "rest"},
}
"""What runs with an engine and is not the update: it builds the case, tells the outcome, or is lib/rbtree.c."""
OTHER_ENGINES = {"serial": {"plain_kernel", "plain_list", "plain_memory", "rfc_v1", "series"}, "ideal": set[str]()}
"""Modules of the list ioctl as posted, which the module with all engines imports."""


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_module_that_an_engine_runs_is_planted_in_or_named_on_the_page(name: str) -> None:
    subject = SUBJECTS[name]
    ran = set()
    for form in set(subject.modules.values()):
        world = World(subject.package, {})
        form.engine(world).apply(CASE)
        folder = source_of(f"{subject.package}.__init__")[1].parent
        ran |= {path.stem for path in folder.glob("*.py") if world.runs(f"{subject.package}.{path.stem}")}
    assert ran == subject.modules.keys() | MEASURING[name] | OTHER_ENGINES[name]
    assert all(f"`{module}`" in PAGE.read_text() for module in MEASURING[name])


def spoilt_and_all(subject: Subject) -> Iterator[tuple[str, set[ast.AST], set[ast.AST], FunctionNode]]:
    """Each function that is planted in: its name, the nodes that some rule spoils, those that only tell, its node."""
    for module in subject.modules:
        source, _ = source_of(f"{subject.package}.{module}")
        text, tree = Text(source), ast.parse(source)
        found = list(functions(tree))
        assert [each.node for each in found] == [node for node in in_order(tree) if isinstance(node, FunctionNode)]
        for function in found:
            if f"{module}.{function.name}" in subject.left_out or function.node.name in subject.telling.calls:
                continue
            rules = [subject.telling.leaves_out(rule) for rule in EVERY_RULE]
            nodes: set[ast.AST] = {each.node for rule in rules for each in rule(function, text)}
            yield f"{module}.{function.name}", nodes, subject.telling.told(function), function.node


def in_order(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        yield from in_order(child)


def own(node: FunctionNode) -> Iterator[ast.AST]:
    """All nodes of a function's body, but not of functions inside it."""
    left: list[ast.AST] = list(node.body)
    while left:
        each = left.pop()
        if not isinstance(each, FunctionNode):
            yield each
            left += ast.iter_child_nodes(each)


def does_nothing(statement: ast.stmt) -> bool:
    """A docstring, an assertion, a declaration; and `try`, which is but what stands in it."""
    return (
        isinstance(statement, ast.Pass | ast.Assert | ast.Try)
        or (isinstance(statement, ast.AnnAssign) and statement.value is None)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    )


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_statement_of_an_engine_is_dropped_or_only_tells(name: str) -> None:
    seen = 0
    for function, spoilt, told, whole in spoilt_and_all(SUBJECTS[name]):
        for statement in own(whole):
            if not isinstance(statement, ast.stmt) or does_nothing(statement) or statement in told:
                continue
            seen += 1
            node: ast.AST = statement.test if isinstance(statement, ast.If | ast.While) else statement
            assert node in spoilt, f"{function}: {ast.unparse(statement)}"
    assert seen > 300


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_comparison_of_an_engine_is_negated_or_only_told(name: str) -> None:
    seen = 0
    for function, spoilt, told, node in spoilt_and_all(SUBJECTS[name]):
        asserted = {below for each in own(node) if isinstance(each, ast.Assert) for below in ast.walk(each)}
        for comparison in own(node):
            if isinstance(comparison, ast.Compare) and comparison not in told | asserted:
                seen += 1
                assert comparison in spoilt, f"{function}: {ast.unparse(comparison)}"
    assert seen > 50


def test_a_rule_that_passes_a_statement_over_would_be_noticed() -> None:
    [function] = functions(ast.parse("def f(a):\n    a.b()\n    return a.c > 1\n"))
    text = Text("def f(a):\n    a.b()\n    return a.c > 1\n")
    assert {each.node for each in statements(function, text)} == set(function.node.body)
    assert [ast.unparse(each.node) for each in negated(function, text)] == ["a.c > 1"]
