# SPDX-License-Identifier: GPL-2.0-only
"""The rule that makes a call and ignores its answer: what it does is done, and what it guards never happens.

A check that is dropped never asks. Where asking does something (take a lock, allocate, meet a failure), that is another
mistake than not to listen.
"""

import ast
from collections.abc import Iterator

from bench.planting.functions import Function, Text
from bench.planting.rules import Spoilt, brief


def ignored(function: Function, text: Text) -> Iterator[Spoilt]:
    """Each whole test that calls something is made, and taken for False."""
    for test, whole in function.conditions:
        if whole and any(isinstance(node, ast.Call) for node in ast.walk(test)):
            yield Spoilt(
                test,
                f"answer of check `{brief(test)}` ignored",
                (text.becomes(test, f"({text.of(test)}) and False"),),
            )
