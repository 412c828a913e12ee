# SPDX-License-Identifier: GPL-2.0-only
"""Which line of the tree's source an offset in the library belongs to, as addr2line says it."""

import subprocess
from functools import lru_cache
from pathlib import Path

_REMEMBERED = 4096


class SourceLines:
    """The lines of one library; each offset is looked up once."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self.of = lru_cache(_REMEMBERED)(self._looked_up)

    def _looked_up(self, offset: int) -> str:
        """`kvm_replace_memslot, virt/kvm/kvm_main.c:1523`; empty where it is not known."""
        command = ["addr2line", "-f", "-e", str(self._library), hex(offset)]
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        except FileNotFoundError:
            return ""
        if len(said) < 2 or said[1].startswith("??"):
            return ""
        function, line = said[0].removeprefix("k_"), said[1].partition(" ")[0]
        for below in ("/virt/", "/include/", "/arch/", "/lib/", "/mm/", "/kernel/"):
            if below in line:
                line = line[line.rindex(below) + 1 :]
                break
        return f"{function}, {line}"
