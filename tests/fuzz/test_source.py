# SPDX-License-Identifier: GPL-2.0-only
"""What a statement about all lists names as its source is everything that decides what is tried, and what is found."""

import ast
from pathlib import Path

from fuzz.source import judging_files

HOUSE = Path(__file__).parent.parent.parent
JUDGING = ("trial", "sweep", "enumeration", "scope")
LISTENING = {"fuzz.ledger"}
"""Imported for what is written down, not for what is found."""


def imported(path: Path) -> set[str]:
    """The modules of the house that a file imports."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_whatever_a_verdict_is_made_of_is_part_of_it() -> None:
    seen = {path.relative_to(HOUSE).as_posix() for path in judging_files()}
    todo = [f"fuzz.{name}" for name in JUDGING]
    done: set[str] = set()
    while todo:
        module = todo.pop()
        if module in done or module in LISTENING:
            continue
        done.add(module)
        path = f"{module.replace('.', '/')}.py"
        assert path in seen, f"{path} decides, too"
        todo += [name for name in imported(HOUSE / path) if name.partition(".")[0] == "fuzz"]
    assert {"engines/catalogue.py", "oracles/judge.py", "memslots/case.py", "fuzz/own_order.py"} <= seen
