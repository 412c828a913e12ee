# SPDX-License-Identifier: GPL-2.0-only
"""Source text and names of functions in, mutants out: one small mistake each, enumerated by rule.

It lives here and not among the tests since `make mutants` prints its figures, as everything in bench/ does, and
here and not in a room since no release needs it.
"""

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from bench.planting.functions import Text, functions
from bench.planting.rules import RULES, Rule


class Mutant(NamedTuple):
    """A source text with one mistake in it."""

    name: str
    """Function and mistake in words, by the text that was spoilt: the same wherever that text moves."""
    where: str
    """The file and the line, for readers."""
    source: str
    proof: str
    """Why nobody can tell it from the original, where the rule that made it proves that; else empty."""


class NoSuchFunction(Exception):
    """A function is asked for that the source does not have."""


def mutants(
    source: str, path: str, names: Collection[str] | None = None, rules: Sequence[Rule] = RULES
) -> Iterator[Mutant]:
    """Every mutant of the functions of these names (`Kernel.classify`), or of all functions, in the order of the text.

    Raises NoSuchFunction. What a rule does twice over with the same words is told apart by a number behind them.
    """
    text = Text(source)
    found = list(functions(ast.parse(source)))
    missing = set(names or ()) - {function.name for function in found}
    if missing:
        raise NoSuchFunction(f"{path}: {', '.join(sorted(missing))}")
    made: set[str] = set()
    for function in found:
        if names is not None and function.name not in names:
            continue
        spoilt = [each for rule in rules for each in rule(function, text)]
        spoilt.sort(key=lambda each: text.span(each.node)[0])
        times: Counter[str] = Counter()
        for node, what, edits, proof in spoilt:
            times[what] += 1
            number = f" ({times[what]})" if times[what] > 1 else ""
            changed = text.edited(edits)
            if changed not in made:
                made.add(changed)
                yield Mutant(f"{function.name}: {what}{number}", f"{path}:{node.lineno}", changed, proof)
