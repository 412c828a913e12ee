# SPDX-License-Identifier: GPL-2.0-only
"""A library that another release of the builder has made is not taken for what this one would make."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.tree import builder
from engines.tree.builder import MODULES, builder_digest

ROOM = Path(builder.__file__).parent


def imported(name: str) -> Iterator[str]:
    """The modules of this room that one of them imports."""
    for node in ast.walk(ast.parse((ROOM / f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("engines.tree"):
            module = node.module.removeprefix("engines.tree").removeprefix(".")
            yield from [module] if module else [alias.name for alias in node.names]


def test_all_that_builds_is_named() -> None:
    found, todo = set[str](), ["build"]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += imported(name)
    assert found == set(MODULES)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOM, tmp_path / "room"))


def test_a_copy_is_the_same_builder(room: Path) -> None:
    assert builder_digest(room) == builder_digest()


@pytest.mark.parametrize("name", ["link.py", "shim/inside.c", "shim/shim.h", "shim/include/asm/bug.h"])
def test_a_changed_file_makes_another(name: str, room: Path) -> None:
    with (room / name).open("a") as file:
        file.write("\n")
    assert builder_digest(room) != builder_digest()


def test_a_file_of_the_shim_that_is_gone_or_new_makes_another(room: Path) -> None:
    (room / "shim/absent.c").rename(room / "shim/present.c")
    assert builder_digest(room) != builder_digest()


def test_a_module_that_only_runs_a_library_does_not(room: Path) -> None:
    (room / "worker.py").write_text("")
    assert builder_digest(room) == builder_digest()
