# SPDX-License-Identifier: GPL-2.0-only
"""The rule that takes the other of two memslot sets: active for inactive, one index for the other."""

import ast
from collections.abc import Iterator

from bench.planting.functions import Edit, Function, Text
from bench.planting.rules import Spoilt

_OTHER = {"active": "inactive", "inactive": "active"}
_INDEX = "idx"


def other_set(function: Function, text: Text) -> Iterator[Spoilt]:
    """Each `active` that is asked for is `inactive`, and each `inactive` `active`; each index the other one.

    `active` is any name of which it is a word (`walk_active`), but for the index itself (`active_idx`). An index is
    whatever stands in brackets, or behind `1 -`, and speaks of one.
    """
    for node in function.nodes:
        if isinstance(node, ast.Attribute):
            other = _other(node.attr)
            if other is not None:
                whole = text.of(node.value)
                edit = Edit(*text.span(node), f"{whole}.{other}")
                yield Spoilt(node, f"`{ast.unparse(node)}` is {other}", (edit,))
        elif isinstance(node, ast.Subscript) and _speaks_of_an_index(node.slice) and not _from_one(node.slice):
            index = text.of(node.slice)
            edit = text.becomes(node.slice, f"1 - ({index})")
            yield Spoilt(node, f"`{ast.unparse(node)}` with the other index", (edit,))
        elif isinstance(node, ast.BinOp) and _from_one(node) and _speaks_of_an_index(node.right):
            edit = text.becomes(node, text.of(node.right))
            yield Spoilt(node, f"`{ast.unparse(node)}` with the other index", (edit,))


def _other(name: str) -> str | None:
    words = name.split("_")
    if _INDEX in words or not _OTHER.keys() & set(words):
        return None
    return "_".join(_OTHER.get(word, word) for word in words)


def _from_one(node: ast.expr) -> bool:
    """Whether this is `1 - something`."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and isinstance(node.left, ast.Constant)
        and node.left.value == 1
    )


def _speaks_of_an_index(node: ast.expr) -> bool:
    """Whether a name in it has the word idx."""
    names = (each.id if isinstance(each, ast.Name) else getattr(each, "attr", "") for each in ast.walk(node))
    return any(_INDEX in name.split("_") for name in names)
