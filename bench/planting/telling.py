# SPDX-License-Identifier: GPL-2.0-only
"""What only tells: code whose sole effect is an event, a mishap or the words in one. No oracle reads those.

Buckets and reports do, and their tests hold them; a mistake there makes no update go wrong. It is left out by rule:
tellers themselves, a statement that does nothing but call one, one that assigns nothing but what they say, and
whatever stands in either. What oracles do read is not left out, though it is told on the way: a failure that was
injected, a WARN, damage, a stray edit.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

from bench.planting.functions import Function, Text
from bench.planting.rules import Rule, Spoilt
from bench.planting.statements import called


class Telling(NamedTuple):
    """The names by which an engine tells."""

    calls: frozenset[str]
    """Functions and methods that do nothing else."""
    fields: frozenset[str]
    """Attributes that only they read."""

    def only_tells(self, statement: ast.stmt) -> bool:
        """Whether a statement has no other effect."""
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            return called(statement.value) in self.calls
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            return all(isinstance(target, ast.Attribute) and target.attr in self.fields for target in targets)
        if isinstance(statement, ast.If):
            return all(map(self.only_tells, statement.body + statement.orelse))
        return False

    def told(self, function: Function) -> set[ast.AST]:
        """All that stands in a statement which only tells, and all arguments of a teller elsewhere."""
        found: set[ast.AST] = set()
        for node in function.nodes:
            if (isinstance(node, ast.stmt) and self.only_tells(node)) or (
                isinstance(node, ast.Call) and called(node) in self.calls
            ):
                found.update(ast.walk(node))
        return found

    def leaves_out(self, rule: Rule) -> Rule:
        """The rule, without what it would do to code that only tells."""

        def but_for_telling(function: Function, text: Text) -> Iterator[Spoilt]:
            if function.node.name in self.calls:
                return
            told = self.told(function)
            for spoilt in rule(function, text):
                if spoilt.node not in told:
                    yield spoilt

        return but_for_telling
