# SPDX-License-Identifier: GPL-2.0-only
"""Whether two neighbouring checks may change places and nobody can tell, as far as their own text proves it."""

import ast

from bench.planting.functions import Function

_TOTAL = (
    *(ast.BoolOp, ast.UnaryOp, ast.Compare, ast.BinOp, ast.Name, ast.Constant, ast.Attribute),
    *(ast.expr_context, ast.boolop, ast.unaryop, ast.cmpop, ast.operator),
)
_CAN_RAISE = (ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.In, ast.NotIn)


def pure(function: Function, test: ast.expr) -> bool:
    """Whether a test changes nothing and cannot fail: arithmetic and comparisons of names and their attributes.

    An attribute of something that may be None, as far as the function asks whether it is, could fail. A shift by
    a negative number would, too: shifts are by attributes and constants here, which count pages.
    """
    doubtful = _may_be_none(function)
    for node in ast.walk(test):
        if not isinstance(node, _TOTAL) or isinstance(node, _CAN_RAISE):
            return False
        if isinstance(node, ast.Attribute):
            if not isinstance(node.value, ast.Name | ast.Attribute):
                return False
            if ast.unparse(node.value) in doubtful:
                return False
    return True


def _may_be_none(function: Function) -> set[str]:
    """What the function compares with None, or takes for true or false."""
    found: set[str] = set()
    for node, _ in function.conditions:
        if isinstance(node, ast.Compare) and isinstance(node.comparators[0], ast.Constant):
            found.add(ast.unparse(node.left))
        elif isinstance(node, ast.Name | ast.Attribute):
            found.add(ast.unparse(node))
    return found


def same_answer(one: ast.If, other: ast.If) -> bool:
    """Whether both guards do nothing but give one answer: the reasons in it, which are strings, are for readers."""
    bodies = one.body, other.body
    if any(len(body) != 1 or not isinstance(body[0], ast.Return) for body in bodies):
        return False
    first, second = (ast.dump(_Nameless().visit(ast.parse(ast.unparse(body[0])))) for body in bodies)
    return first == second


class _Nameless(ast.NodeTransformer):
    """Strings without what they say."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node
