# SPDX-License-Identifier: GPL-2.0-only
"""The rule that drops each statement, and the words that tell what a statement was.

A statement is an assignment, a call, a `return`, a `raise`, a `del`, a `break`, a `continue`, or a `for` as a whole
(an `if` or a `while` that is gone is one whose check is dropped, which is a rule of its own).
"""

import ast
from collections.abc import Iterator

from bench.planting.functions import Edit, Function, Text
from bench.planting.rules import Spoilt

_KINDS: dict[type[ast.stmt], str] = {
    ast.Assign: "assignment",
    ast.AugAssign: "assignment",
    ast.AnnAssign: "assignment",
    ast.Return: "return",
    ast.Raise: "raise",
    ast.Delete: "deletion",
    ast.Break: "break",
    ast.Continue: "continue",
    ast.For: "loop",
}
_CALLS = {"unlock": "unlock", "lock": "lock", "kfree": "free", "vfree": "free", "free": "free"}
_PUBLISH = {"swap", "publish"}
_LONGEST = 100


def statements(function: Function, text: Text) -> Iterator[Spoilt]:
    """Each statement gone, with `pass` in its place."""
    back = set(_steps_back(function))
    last = function.node.body[-1]
    for body in function.bodies:
        for statement in body:
            kind = _kind(statement)
            if kind is None:
                continue
            shown = ast.unparse(statement).splitlines()[0]
            if len(shown) > _LONGEST:
                shown = f"{shown[:_LONGEST]}..."
            step = "rollback step, " if statement in back else ""
            end = statement is last and isinstance(statement, ast.Return) and _nothing(statement.value)
            proof = "the function ends there and answers None as well" if end else ""
            edit = Edit(*text.span(statement), "pass")
            yield Spoilt(statement, f"{step}{kind} `{shown}` dropped", (edit,), proof)


def _nothing(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _kind(statement: ast.stmt) -> str | None:
    """What a statement is, in a word; None for what is no statement of this rule."""
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return None
    if not isinstance(statement, ast.Expr):
        return _KINDS.get(type(statement))
    if isinstance(statement.value, ast.Constant):
        return None  # a docstring
    if not isinstance(statement.value, ast.Call):
        return "expression"
    name = called(statement.value)
    if name in _PUBLISH:
        return "publication"
    return next((word for part in name.split("_") if (word := _CALLS.get(part))), "call")


def called(call: ast.Call) -> str:
    """The last name of what is called: `kfree` of `kernel.kfree(old)`."""
    return ast.unparse(call.func).rpartition(".")[2]


def _steps_back(function: Function) -> Iterator[ast.stmt]:
    """The statements of a guard that leaves because something has failed: a rollback, step by step.

    Something has failed where the guard asks for a bare answer (`r`), for the opposite of a call (`not f()`), or
    whether something is None; not where it asks what kind of change this is.
    """
    for node in function.nodes:
        if isinstance(node, ast.If) and _failed(node.test) and isinstance(node.body[-1], ast.Return | ast.Raise):
            for statement in node.body[:-1]:
                yield from (each for each in ast.walk(statement) if isinstance(each, ast.stmt))


def _failed(test: ast.expr) -> bool:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return isinstance(test.operand, ast.Call)
    if isinstance(test, ast.Compare):
        return isinstance(test.ops[0], ast.Is) and isinstance(test.comparators[0], ast.Constant)
    return isinstance(test, ast.Name)
