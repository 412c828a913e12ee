# SPDX-License-Identifier: GPL-2.0-only
"""Compiled workers: taken where they are of these very sources, and kept where they judge as the sources do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import compiled as made
from fuzz.verdicts import verdicts
from memslots.errors import BadInput

HOUSE = Path(__file__).parent.parent.parent
FEW = ("memslots/region.py", "engines/simulated/plain_memslots.py")
SLOT_SETS = "engines/simulated/plain_memslots.py"

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def house_at(folder: Path) -> Path:
    """The rooms, to be edited."""
    for room in ("memslots", "engines", "oracles", "reducers", "reports", "fuzz"):
        shutil.copytree(HOUSE / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def imported_from(environment: dict[str, str], folder: Path) -> str:
    """The file that a worker with this environment has a module from."""
    program = "import engines.simulated.plain_memslots as module; print(module.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


@needs_compiler
def test_what_is_compiled_is_what_workers_import_until_an_edit(tmp_path: Path) -> None:
    house, compiled = house_at(tmp_path / "house"), tmp_path / "compiled"
    made.make(compiled, house, FEW)
    assert made.is_fresh(compiled, house)
    file = imported_from(made.environment(compiled, house), tmp_path)
    assert Path(file).parent == compiled / "engines" / "simulated"
    assert file.endswith(".so")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compiled", "house"]
    edited = house / "oracles" / "policy.py"
    edited.write_text(f"{edited.read_text()}# edited\n")
    assert not made.is_fresh(compiled, house)
    assert (
        "PYTHONPATH" not in made.environment(compiled, house)
        or str(compiled) not in (made.environment(compiled, house)["PYTHONPATH"])
    )


@needs_compiler
def test_what_judges_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house, compiled = house_at(tmp_path / "house"), tmp_path / "compiled"

    def miscompiled(folder: Path, _: object) -> None:
        path = folder / SLOT_SETS
        text = path.read_text()
        assert "below_base + below_npages > base" in text
        path.write_text(text.replace("below_base + below_npages > base", "below_base + below_npages >= base"))

    monkeypatch.setattr(made, "_compile", miscompiled)
    with pytest.raises(BadInput, match=r"judge otherwise than their sources do: rfc-v1, serial-rfc-v1, qemu-commit"):
        made.make(compiled, house, FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["house"]


@needs_compiler
def test_what_does_not_compile_is_told_with_its_line(tmp_path: Path) -> None:
    house, compiled = house_at(tmp_path / "house"), tmp_path / "compiled"
    path = house / SLOT_SETS
    path.write_text(f"{path.read_text()}\nWRONG: int = 'text'\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(BadInput, match=rf"(?s)mypyc ended with 1:.*{SLOT_SETS}:{line}: error: Incompatible types"):
        made.make(compiled, house, FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["house"]


def test_nothing_compiled_changes_nothing(tmp_path: Path) -> None:
    assert made.environment(tmp_path / "nowhere") == dict(os.environ)


def test_what_was_compiled_for_another_python_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.sha256").write_text(made._digest(HOUSE))
    assert made.is_fresh(tmp_path)
    monkeypatch.setattr(sys, "version", "3.99")
    assert not made.is_fresh(tmp_path)


def test_an_unfinished_one_is_left_alone(tmp_path: Path) -> None:
    assert not made.is_fresh(tmp_path)
    (tmp_path / "sources.sha256").write_bytes(b"\xff")
    assert not made.is_fresh(tmp_path)


def test_without_a_compiler_a_line_says_what_to_do(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "fuzz.compiled"],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(HOUSE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == "error: no C compiler: apt-get install gcc libc6-dev\n"


def test_verdicts_tell_engines_and_cases_apart() -> None:
    assert verdicts("ideal", 20) == verdicts("ideal", 20)
    assert verdicts("ideal", 20) != verdicts("ideal", 21)
    assert verdicts("ideal", 20) != verdicts("rfc-v1", 20)
