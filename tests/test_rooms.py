# SPDX-License-Identifier: GPL-2.0-only
"""The rooms: who may import whom, whose door a third party has, and that the rooms are ours."""

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
ROOMS: dict[str, set[str]] = {
    "memslots": set(),
    "engines": {"memslots"},
    "oracles": {"memslots"},
    "reducers": {"memslots"},
    "reports": {"memslots", "oracles"},
    "fuzz": {"memslots", "engines", "oracles", "reducers", "reports"},
}
DOORS: dict[str, tuple[str, ...]] = {
    "click": (
        "fuzz/cli.py",
        "fuzz/commands.py",
        "fuzz/search.py",
        "fuzz/calibrate.py",
        "fuzz/doctor_command.py",
        "fuzz/import_command.py",
        "fuzz/reproduce.py",
        "fuzz/explain.py",
        "fuzz/report_command.py",
        "fuzz/witness_command.py",
        "fuzz/guest_command.py",
        "fuzz/tree_command.py",
        "fuzz/where.py",
        "fuzz/enumerate_command.py",
        "fuzz/tree_check.py",
        "fuzz/tree_compare.py",
        "fuzz/tree_coverage.py",
        "fuzz/tree_watch.py",
        "fuzz/git_bisect.py",
        "fuzz/checked_aloud.py",
        "fuzz/doubts.py",
        "fuzz/compiled.py",
        "fuzz/verdicts.py",
    ),
    "rich": (
        "fuzz/commands.py",
        "fuzz/table_console.py",
        "fuzz/progress.py",
        "reports/terminal.py",
        "reports/bucket_table.py",
        "reports/campaign_table.py",
        "reports/enumeration_table.py",
    ),
    "structlog": ("fuzz/progress.py",),
    "sqlite3": ("fuzz/findings.py", "fuzz/ledger.py"),
    "hypothesis": ("fuzz/strategies.py",),
    "atheris": ("fuzz/worker.py",),
    "ctypes": ("engines/real/device.py", "engines/tree/library.py"),
    "fcntl": ("engines/real/device.py",),
    "mmap": ("engines/real/device.py", "engines/tree/library.py"),
    "jinja2": (),
    "kconfiglib": ("engines/tree/kconfig.py",),
}
"""Where each third party, and each dangerous part of the standard library, may be imported."""


def sources(room: str = "") -> list[Path]:
    rooms = [room] if room else list(ROOMS)
    return [path for each in rooms for path in sorted((HOUSE / each).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def top(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room: str) -> None:
    for path in sources(room):
        for module in imported(path):
            if top(module) in ROOMS:
                assert top(module) in {room} | ROOMS[room], f"{path.relative_to(HOUSE)} imports {module}"


@pytest.mark.parametrize(("reading", "allowed"), [("ideal", {"engines.protocol"}), ("simulated", None)])
def test_the_two_readings_of_the_serial_ioctl_share_no_code(reading: str, allowed: set[str] | None) -> None:
    """Their agreement would prove nothing. `ideal` has of engines/ the protocol alone."""
    paths = sources(f"engines/{reading}")
    assert len(paths) > 5
    other = "engines.simulated" if reading == "ideal" else "engines.ideal"
    for path in paths:
        for module in imported(path):
            assert not f"{module}.".startswith(f"{other}."), f"{path.relative_to(HOUSE)} imports {module}"
            if allowed is not None and top(module) == "engines":
                assert module in allowed or module.startswith(f"engines.{reading}."), f"{path} imports {module}"


def test_an_engine_reaches_no_other_engines_code_by_its_name() -> None:
    """What is imported at run time is no import that the tests above could see."""
    for path in (*sources("engines/ideal"), *sources("engines/simulated")):
        for module in imported(path):
            assert module not in ("importlib", "sys", "engines"), f"{path.relative_to(HOUSE)} imports {module}"
        assert "__import__" not in path.read_text()


@pytest.mark.parametrize("room", ["memslots", "oracles", "reducers", "engines"])
def test_the_lower_rooms_use_the_standard_library_only(room: str) -> None:
    for path in sources(room):
        name = path.relative_to(HOUSE).as_posix()
        for module in imported(path):
            if name in DOORS.get(top(module), ()):
                continue
            assert top(module) in ROOMS or top(module) in sys.stdlib_module_names, f"{path} imports {module}"


def test_third_parties_come_in_by_their_own_doors() -> None:
    for path in sources():
        name = path.relative_to(HOUSE).as_posix()
        for module in imported(path):
            if top(module) in ROOMS or (top(module) in sys.stdlib_module_names and top(module) not in DOORS):
                continue
            assert name in DOORS[top(module)], f"{name} imports {module}"


@pytest.mark.parametrize("path", [p for p in sources() if p.name == "__init__.py"], ids=str)
def test_an_init_holds_a_docstring_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_are_ours(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == HOUSE / room


def test_every_source_file_names_its_licence() -> None:
    files = [p for folder in (*ROOMS, "tests", "bench") for p in (HOUSE / folder).rglob("*.py")]
    assert len(files) > 40
    for path in [*files, HOUSE / "Makefile", HOUSE / ".ci" / "run"]:
        assert "# SPDX-License-Identifier: GPL-2.0-only" in path.read_text().splitlines()[:2], path
    in_c = [p for folder in (*ROOMS, "tests") for ending in ("*.c", "*.c.in") for p in (HOUSE / folder).rglob(ending)]
    assert in_c
    for path in in_c:
        assert path.read_text().startswith("// SPDX-License-Identifier: GPL-2.0-only\n"), path


def test_there_is_no_room_for_leftovers() -> None:
    forbidden = {"utils", "helpers", "common", "misc", "base", "manager"}
    assert not [path for path in sources() if path.stem in forbidden]
