# SPDX-License-Identifier: GPL-2.0-only
"""The C side: without a warning, and its interface as Python knows it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from engines.tree.flags import SHIM, Options, shim_flags
from engines.tree.objects import INSIDE

FILES = [path for path in sorted(SHIM.glob("*.c")) if path.stem not in INSIDE]


@pytest.mark.parametrize("options", [Options(), Options(asan=True, coverage=True, x86=True)], ids=["plain", "all"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_compiles_without_a_warning(path: Path, options: Options, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc: apt-get install gcc")
    command = ["gcc", *shim_flags(options), "-Werror", "-fsyntax-only", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_file_names_its_licence() -> None:
    for path in SHIM.rglob("*.[ch]"):
        assert path.read_text().startswith("// SPDX-License-Identifier: GPL-2.0-only\n"), path


def test_no_line_of_the_shim_is_too_long_for_the_kernels_style() -> None:
    for path in SHIM.rglob("*.[ch]"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line.expandtabs(8)) <= 120, f"{path.name}:{number}"
