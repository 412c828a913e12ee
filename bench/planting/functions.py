# SPDX-License-Identifier: GPL-2.0-only
"""The functions of a source text as the rules see them: what decides in each, and where it stands in the text."""

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_BRANCHES = (ast.If, ast.While, ast.IfExp)


class Edit(NamedTuple):
    """These bytes of the text give way to `text`."""

    start: int
    end: int
    text: str


class Text:
    """A source text of which nodes can be read and exchanged; comments and the numbers of lines stay."""

    def __init__(self, source: str) -> None:
        self.bytes = source.encode()
        self._lines = [0]
        for line in self.bytes.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def span(self, first: ast.stmt | ast.expr, last: ast.stmt | ast.expr | None = None) -> tuple[int, int]:
        """From where to where a node stands, or all from one to another; parentheses around it are not its own."""
        last = last or first
        assert last.end_lineno is not None
        assert last.end_col_offset is not None
        return self._lines[first.lineno - 1] + first.col_offset, self._lines[last.end_lineno - 1] + last.end_col_offset

    def of(self, first: ast.stmt | ast.expr, last: ast.stmt | ast.expr | None = None) -> str:
        """The text of a node, or of all from one to another."""
        start, end = self.span(first, last)
        return self.bytes[start:end].decode()

    def becomes(self, node: ast.expr, text: str) -> Edit:
        """`text` in parentheses in place of a node."""
        return Edit(*self.span(node), f"({text})")

    def edited(self, edits: Iterable[Edit]) -> str:
        """The whole text behind edits that do not overlap."""
        done = self.bytes
        for start, end, text in sorted(edits, reverse=True):
            done = done[:start] + text.encode() + done[end:]
        return done.decode()


class Condition(NamedTuple):
    """An expression of which only the truth counts."""

    node: ast.expr
    whole: bool
    """It is all that an `if`, a `while`, a conditional expression or a comprehension asks."""


class Function:
    """One function. Functions inside it are others; an `assert` decides nothing: it tells the reader and the types."""

    def __init__(self, name: str, node: FunctionNode) -> None:
        self.name = name
        """With its classes and outer functions: `Kernel.classify`."""
        self.node = node
        self.nodes = list(_inside(node))
        self.conditions = list(_conditions(self.nodes))
        self.bodies = list(_bodies(node))


def functions(tree: ast.AST, outer: str = "") -> Iterator[Function]:
    """Every function, in the order of the text."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode | ast.ClassDef):
            name = f"{outer}{node.name}"
            if isinstance(node, FunctionNode):
                yield Function(name, node)
            yield from functions(node, f"{name}.")
        else:
            yield from functions(node, outer)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node` in the order of the text, but no annotation, assertion or function inside."""
    for field, value in ast.iter_fields(node):
        if field in {"returns", "annotation", "decorator_list", "args"} and not isinstance(node, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Assert | FunctionNode | ast.ClassDef):
                yield child
                yield from _inside(child)


def _conditions(nodes: Iterable[ast.AST]) -> Iterator[Condition]:
    """What is asked, and within it each operand of `and`, `or` and `not`; comparisons elsewhere, too."""
    seen: set[ast.expr] = set()

    def asked(node: ast.expr, whole: bool) -> Iterator[Condition]:
        seen.add(node)
        yield Condition(node, whole)
        if isinstance(node, ast.BoolOp):
            for operand in node.values:
                yield from asked(operand, False)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield from asked(node.operand, False)

    for node in nodes:
        if isinstance(node, _BRANCHES):
            yield from asked(node.test, True)
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                yield from asked(test, True)
        elif (
            isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
        ) and node not in seen:
            yield from asked(node, False)


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every run of statements that follow one another."""
    for each in (node, *_inside(node)):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(each, field, None)
            if isinstance(body, list) and body:
                yield body
