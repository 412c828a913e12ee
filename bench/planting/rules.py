# SPDX-License-Identifier: GPL-2.0-only
"""The rules by which a function's checks are spoilt, one at a time. Each finds every place there is for it.

negated: each comparison asks the opposite; each other condition gets a `not`, and each `not` goes.
off by one: the right side of each comparison of numbers is one more, and one less (`x > y - 1` is `x >= y`); so is
each whole number in arithmetic, and in anything that is asked.
dropped: each thing that is asked is False, so what it guards never happens; each operand of an `and` or `or` goes.
swapped: each two neighbouring guards change places (`if`s in one run of statements that leave it; what stands
between stays), each two neighbouring tests of an if/elif chain with what they lead to, and each two neighbouring
operands.
"""

import ast
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from bench.planting.equivalent import pure, same_answer
from bench.planting.functions import Edit, Function, Text

_OPPOSITE: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=",
    ast.LtE: ">",
    ast.Gt: "<=",
    ast.GtE: "<",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_OF_NUMBERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


class Spoilt(NamedTuple):
    """One place spoilt by one rule: what was done there, in words, and how the text changes."""

    node: ast.stmt | ast.expr
    what: str
    edits: tuple[Edit, ...]
    proof: str = ""
    """Why nobody can tell, where the rule itself proves it."""


Rule = Callable[[Function, Text], Iterator[Spoilt]]


def brief(node: ast.AST) -> str:
    """A node on one line; of a chain of operands the first."""
    if isinstance(node, ast.BoolOp):
        word = "and" if isinstance(node.op, ast.And) else "or"
        return f"{brief(node.values[0])} {word} ..."
    return ast.unparse(node)


def negated(function: Function, text: Text) -> Iterator[Spoilt]:
    """Each comparison the other way, each `not` removed, a `not` before each other condition."""
    for node, _ in function.conditions:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield Spoilt(node, f"`{brief(node)}` without its not", (text.becomes(node, text.of(node.operand)),))
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = text.of(node.left), text.of(node.comparators[0])
            opposite = f"({left}) {_OPPOSITE[type(node.ops[0])]} ({right})"
            yield Spoilt(node, f"`{brief(node)}` negated", (text.becomes(node, opposite),))
        else:
            yield Spoilt(node, f"`{brief(node)}` negated", (text.becomes(node, f"not ({text.of(node)})"),))


def off_by_one(function: Function, text: Text) -> Iterator[Spoilt]:
    """Each bound one more and one less; each whole number of arithmetic or of a condition likewise."""
    asked = {below for node, _ in function.conditions for below in ast.walk(node)}
    bounds: set[ast.expr] = set()
    for node in function.nodes:
        if not isinstance(node, ast.Compare):
            continue
        for op, left, right in zip(node.ops, [node.left, *node.comparators], node.comparators, strict=False):
            if isinstance(op, _OF_NUMBERS) and not any(map(_no_number, (left, right))):
                bounds |= {left, right}
                for sign, word in (("+", "more"), ("-", "less")):
                    edit = text.becomes(right, f"({text.of(right)}) {sign} 1")
                    yield Spoilt(right, f"`{brief(node)}` with its bound `{brief(right)}` one {word}", (edit,))
    sliced: dict[ast.AST, ast.Subscript] = {
        node.slice: node for node in function.nodes if isinstance(node, ast.Subscript)
    }
    for outer in function.nodes:
        within = brief(sliced.get(outer, outer))
        for number in ast.iter_child_nodes(outer):
            if not isinstance(number, ast.Constant) or type(number.value) is not int or number in bounds:
                continue
            if isinstance(outer, ast.BinOp) or number in asked:
                for change, word in ((1, "more"), (-1, "less")):
                    edit = text.becomes(number, str(number.value + change))
                    yield Spoilt(number, f"`{within}` with {number.value} one {word}", (edit,))


def _no_number(node: ast.expr) -> bool:
    return (
        (isinstance(node, ast.Constant) and type(node.value) is not int)
        or isinstance(node, ast.Tuple | ast.List | ast.Dict | ast.Set | ast.JoinedStr)
        or (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice))
    )


def dropped(function: Function, text: Text) -> Iterator[Spoilt]:
    """Each whole test never true; each operand away."""
    for test, whole in function.conditions:
        if whole:
            yield Spoilt(test, f"check `{brief(test)}` dropped", (text.becomes(test, "False"),))
    for node in function.nodes:
        if isinstance(node, ast.BoolOp):
            word = _word(node)
            for gone in node.values:
                rest = f" {word} ".join(f"({text.of(value)})" for value in node.values if value is not gone)
                yield Spoilt(gone, f"operand `{brief(gone)}` of {word} dropped", (text.becomes(node, rest),))


def swapped(function: Function, text: Text) -> Iterator[Spoilt]:
    """Each two neighbours: guards, tests of a chain of if and elif, operands."""
    for body in function.bodies:
        guards = [each for each in body if isinstance(each, ast.If) and not each.orelse and _leaves(each.body)]
        for one, other in pairwise(guards):
            neutral = (
                other is body[body.index(one) + 1]
                and pure(function, one.test)
                and pure(function, other.test)
                and same_answer(one, other)
            )
            yield Spoilt(
                one,
                f"checks `{brief(one.test)}` and `{brief(other.test)}` swapped",
                _exchanged(text, (text.span(one), text.span(other))),
                "both change nothing, cannot fail, and lead to one answer" if neutral else "",
            )
    for node in function.nodes:
        if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            other = node.orelse[0]
            what = f"checks `{brief(node.test)}` and elif `{brief(other.test)}` swapped"
            tests = text.span(node.test), text.span(other.test)
            bodies = text.span(node.body[0], node.body[-1]), text.span(other.body[0], other.body[-1])
            # The bodies of an `if` inside an `else` are further in than its own: they cannot change places as text.
            if node.body[0].col_offset == other.body[0].col_offset:
                yield Spoilt(node, what, _exchanged(text, tests) + _exchanged(text, bodies))
        elif isinstance(node, ast.BoolOp):
            truth = any(condition.node is node for condition in function.conditions)
            for first, second in pairwise(node.values):
                neutral = truth and pure(function, first) and pure(function, second)
                yield Spoilt(
                    first,
                    f"operands `{brief(first)}` and `{brief(second)}` of {_word(node)} swapped",
                    (text.becomes(first, text.of(second)), text.becomes(second, text.of(first))),
                    "both change nothing, cannot fail, and only the truth of the whole counts" if neutral else "",
                )


def _word(node: ast.BoolOp) -> str:
    return "and" if isinstance(node.op, ast.And) else "or"


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether whatever follows is reached only past this."""
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and _leaves(last.body) and _leaves(last.orelse)
    return isinstance(last, _LEAVES)


def _exchanged(text: Text, spans: tuple[tuple[int, int], tuple[int, int]]) -> tuple[Edit, Edit]:
    (a, b), (c, d) = spans
    return Edit(a, b, text.bytes[c:d].decode()), Edit(c, d, text.bytes[a:b].decode())


RULES: tuple[Rule, ...] = (negated, off_by_one, dropped, swapped)
