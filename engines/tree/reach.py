# SPDX-License-Identifier: GPL-2.0-only
"""Who calls whom in the kernel's object, read off its relocations; and what the memslot code can get to."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engines.tree.tools import Tools, run

PREFIX = "k_"
_ENTRY = re.compile(r"(?:kvm|__kvm)\w*(?:memslot|memory_region)\w*")
_LOOKUP = re.compile(r"\w*(?:gfn_to_memslot|read_|write_)\w*")
_NO_FUNCTION = re.compile(r"\.(?:text|rodata|data|bss|LC)?$")


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a function's code that names a symbol."""

    function: str
    section: str
    offset: int
    symbol: str
    call: bool


class Graph:
    """The references of the object at `path`."""

    def __init__(self, path: Path, tools: Tools) -> None:
        self._path = path
        self._tools = tools
        self._by_function: dict[str, list[Reference]] = {}
        self.called: set[str] = set()
        function = section = ""
        for line in run([tools.objdump, "-r", str(path)], "objdump").splitlines():
            if line.startswith("RELOCATION RECORDS FOR ["):
                section = line[24:].partition("]")[0]
                function = function_of(section)
                continue
            words = line.split()
            if not function or len(words) != 3 or not words[1].startswith("R_"):
                continue
            symbol = re.split(r"[+-]0x", words[2])[0]
            symbol = function_of(symbol) or symbol.removeprefix(PREFIX)
            call = words[1] == "R_X86_64_PLT32"
            if call:
                self.called.add(symbol)
            found = Reference(function, section, int(words[0], 16), symbol, call)
            self._by_function.setdefault(function, []).append(found)

    def defines(self, names: Iterable[str]) -> list[str]:
        """Those of these names that are functions here."""
        return sorted(self._by_function.keys() & names)

    def reachable(self, entered: Iterable[str] = ()) -> set[str]:
        """The functions of memslot updates, by their names and those `entered` by their ioctls, and what they call."""
        seen: set[str] = set()
        todo = self.defines(entered)
        todo += [name for name in self._by_function if _ENTRY.fullmatch(name) and not _LOOKUP.fullmatch(name)]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += [reference.symbol for reference in self._by_function.get(name, ())]
        return seen & self._by_function.keys()

    def named_by(self, functions: Iterable[str]) -> dict[str, list[Reference]]:
        """Which symbols these functions name, and where."""
        named: dict[str, list[Reference]] = {}
        for function in functions:
            for reference in self._by_function.get(function, ()):
                named.setdefault(reference.symbol, []).append(reference)
        return named

    def place(self, reference: Reference) -> str:
        """Function and line: kvm_set_memslot (virt/kvm/kvm_main.c:1234)."""
        command = [self._tools.addr2line, "-e", str(self._path), "-j", reference.section, hex(reference.offset)]
        line = run(command, "addr2line").strip().partition(" ")[0]
        return f"{reference.function} ({posixpath.normpath(line)})"  # what lies in the tree begins with ./


def function_of(section: str) -> str:
    """The function that a section of code holds; nothing for others."""
    if section == "bitmap_text":
        return "kvm_alloc_dirty_bitmap"
    return section.removeprefix(".text.") if section.startswith(".text.") else ""
