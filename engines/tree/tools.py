# SPDX-License-Identifier: GPL-2.0-only
"""The compiler and binutils: where they are, and what they say."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memslots.errors import BadInput, Missing

MOST_LINES = 25


class Unbuildable(BadInput):
    """A tree that no library can be made of. `lines` say where it fails, for people; the text says it in one."""

    def __init__(self, text: str, lines: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.lines = tuple(lines[:MOST_LINES])


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of programs, and which versions they are."""

    cc: tuple[str, ...]
    """With what goes before and behind its name: `ccache gcc`, `clang -m64`."""
    ld: str
    nm: str
    objcopy: str
    objdump: str
    addr2line: str
    version: str
    """The compiler's."""
    binutils: str = ""
    """Those of all the others."""

    @property
    def clang(self) -> bool:
        """Whether the compiler is LLVM's."""
        return "clang" in self.version


def tools() -> Tools:
    """Those of the PATH; CC names another compiler. Raises Missing, naming the first that is not there."""
    cc = compiler("gcc" if shutil.which("gcc") else "clang")
    found = {}
    for name in ("ld", "nm", "objcopy", "objdump", "addr2line"):
        path = shutil.which(name)
        if path is None:
            raise Missing(f"{name} is not here: apt-get install binutils")
        found[name] = path
    return Tools(cc, **found, version=_version(*cc), binutils="; ".join(map(_version, found.values())))


def compiler(plain: str) -> tuple[str, ...]:
    """The words of CC, which may have flags; `plain` where it says nothing. Raises BadInput, Missing."""
    said = os.environ.get("CC", "")
    try:
        words = shlex.split(said) or [plain]
    except ValueError as error:
        raise BadInput(f"CC={said}: {error}: expected a compiler and its flags") from None
    if shutil.which(words[0]) is None:
        raise Missing(f"{words[0]} is not here: apt-get install gcc libc6-dev")
    return tuple(words)


def _version(*program: str) -> str:
    said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0]


def run(command: Sequence[str], what: str, *, cwd: Path | None = None) -> str:
    """What it prints. Raises Unbuildable with the lines that say why not."""
    done = start(command, cwd=cwd)
    return finished(done, what)


def start(command: Sequence[str], *, cwd: Path | None = None) -> "subprocess.Popen[str]":
    """The program, running; `finished` waits for it."""
    return subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: "subprocess.Popen[str]", what: str) -> str:
    """What it has printed. Raises Unbuildable."""
    out, err = process.communicate()
    if process.returncode == 0:
        return out
    said = err.splitlines()
    errors = [line for line in said if "error:" in line or "undefined reference" in line or "rror" in line] or said
    raise Unbuildable(f"{what}: {errors[0] if errors else f'exit code {process.returncode}'}", errors)
