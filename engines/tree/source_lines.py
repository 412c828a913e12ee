# SPDX-License-Identifier: GPL-2.0-only
"""Which line of the tree's source an offset in the library belongs to, as addr2line says it."""

import subprocess
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from memslots.errors import Missing

_REMEMBERED = 4096


class SourceLines:
    """The lines of one library; each offset is looked up once."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self.of = lru_cache(_REMEMBERED)(self._looked_up)

    def of_all(self, offsets: Iterable[int]) -> list[tuple[str, str, int]]:
        """Function, file below the tree, and line of each offset; line 0 where it is not known. Raises Missing."""
        asked = "\n".join(map(hex, offsets))
        command = ["addr2line", "-f", "-e", str(self._library)]
        try:
            said = subprocess.run(command, input=asked, capture_output=True, text=True, check=False).stdout.splitlines()
        except FileNotFoundError:
            raise Missing("addr2line is not here: apt-get install binutils") from None
        return [_named(function, place) for function, place in zip(said[::2], said[1::2], strict=True)]

    def _looked_up(self, offset: int) -> str:
        """`kvm_replace_memslot, virt/kvm/kvm_main.c:1523`; empty where it is not known.

        Of what a header has inlined it is the line that uses it.
        """
        command = ["addr2line", "-i", "-f", "-e", str(self._library), hex(offset)]
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        except FileNotFoundError:
            return ""
        frames = [_named(function, place) for function, place in zip(said[::2], said[1::2], strict=False)]
        if not frames:
            return ""
        function, file, line = next((frame for frame in frames if frame[1].endswith(".c")), frames[0])
        return f"{function}, {file}:{line}" if line else ""


def _named(function: str, place: str) -> tuple[str, str, int]:
    """The symbol as the tree has it, and where it is."""
    file, _, line = place.partition(" ")[0].rpartition(":")
    for below in ("/virt/", "/include/", "/arch/", "/lib/", "/mm/", "/kernel/"):
        if below in file:
            file = file[file.rindex(below) + 1 :]
            break
    return function.removeprefix("k_"), file, int(line) if line.isdigit() else 0
