# SPDX-License-Identifier: GPL-2.0-only
"""The objects become a library: what the shim reaches, under names of its own, with a stub for whatever is missing."""

import re
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

from engines.tree.flags import Options
from engines.tree.generated import write
from engines.tree.objects import Unit
from engines.tree.reach import PREFIX, Graph
from engines.tree.services import may_be_silent
from engines.tree.tools import Tools, run

LIBRARY = "libmemslot.so"
_LAYOUT = """
SECTIONS
{
	kdata : { *(.data .data.* .data..* .bss .bss.* COMMON) }
	bitmap_text : { *(.text.kvm_alloc_dirty_bitmap .text.kvm_alloc_dirty_bitmap.*) }
	.rodata : { *(.rodata .rodata.*) }
	/DISCARD/ : { *(.export_symbol .modinfo .discard* .init.data* .altinstructions .altinstr_replacement .smp_locks
			.comment .note.*) }
}
"""
"""All data in one section, so that a reset is one copy; each function keeps its own."""
_FOREIGN = re.compile(r"__(?:asan|ubsan|sanitizer)_|_GLOBAL_OFFSET_TABLE_$|\.")
"""Symbols that are not the kernel's."""
_DATA_ROOM = 16384


@dataclass(slots=True)
class Linked:
    """What a developer has to know of a library."""

    functions: list[str] = field(default_factory=list)
    """What the memslot code can reach."""
    unresolved: dict[str, list[str]] = field(default_factory=dict)
    """What it can call and nobody supplies, with where it is called."""
    silent: dict[str, list[str]] = field(default_factory=dict)
    """What it can call and returns 0."""
    blank: list[str] = field(default_factory=list)
    """What it reads and is zeros."""
    list_handlers: list[str] = field(default_factory=list)
    """What is called for the list ioctl."""


def linked(
    units: list[Unit],
    folder: Path,
    options: Options,
    tools: Tools,
    single: Set[str] = frozenset(),
    listed: Set[str] = frozenset(),
) -> Linked:
    """Make the library. `single`, `listed`: names that the tree's code calls for these two ioctls (`handlers.py`)."""
    kernel = _one_object([unit.object for unit in units if unit.kernel], folder, options, tools)
    shims = [unit.object for unit in units if not unit.kernel]
    graph = Graph(kernel, tools)
    wanted = {name.removeprefix(PREFIX) for name in _undefined(kernel, tools) if name.startswith(PREFIX)}
    have = {name.removeprefix(PREFIX) for path in shims for name in _defined(path, tools) if name.startswith(PREFIX)}
    missing = sorted(wanted - have)
    functions = [name for name in missing if name in graph.called]
    data = [name for name in missing if name not in graph.called]
    write(folder / "stubs.S", _stubs(functions, data))
    command = [
        *tools.cc,
        "-shared",
        "-o",
        str(folder / LIBRARY),
        *map(str, shims),
        str(kernel),
        str(folder / "stubs.S"),
    ]
    command += ["-Wl,-z,noexecstack", "-Wl,-z,notext", "-lrt", "-ldl"]
    if options.asan:
        command.append("-fsanitize=address")
    run(command, LIBRARY)
    reachable = graph.reachable(single | listed)
    named = graph.named_by(reachable)
    called = {name: [graph.place(each) for each in named[name][:5]] for name in functions if name in named}
    return Linked(
        sorted(reachable),
        {name: places for name, places in called.items() if not may_be_silent(name)},
        {name: places for name, places in called.items() if may_be_silent(name)},
        [name for name in data if name in named],
        graph.defines(listed),
    )


def _one_object(objects: list[Path], folder: Path, options: Options, tools: Tools) -> Path:
    """What can be reached from the shim's functions, in one object, each symbol with its prefix."""
    write(folder / "layout.lds", _LAYOUT)
    inside = folder / "inside.o"
    if options.x86:
        _yield(folder / "tree-x86.o", _defined(inside, tools), tools)
    roots = [name for path in (inside, folder / "sets.o") for name in _defined(path, tools) if name.startswith("ms_")]
    whole, named = folder / "whole.o", folder / "kernel.o"
    wanted = [word for root in roots for word in ("-u", root)]
    # Made again each time: objcopy below must not find its own work.
    command = [tools.ld, "-r", "--gc-sections", "-T", str(folder / "layout.lds"), *wanted, "-e", "ms_create"]
    run([*command, "-o", str(whole), *map(str, objects)], "ld -r")
    symbols = {line.split()[-1] for line in run([tools.nm, str(whole)], "nm").splitlines()}
    renamed = "".join(f"{name} {PREFIX}{name}\n" for name in sorted(symbols) if not _FOREIGN.match(name))
    write(folder / "symbols", renamed)
    run([tools.objcopy, f"--redefine-syms={folder / 'symbols'}", str(whole), str(named)], "objcopy")
    return named


def _yield(x86: Path, ours: set[str], tools: Tools) -> None:
    """x86's own hooks step back behind the shim's, as x86_NAME."""
    both = sorted(ours & _defined(x86, tools))
    if both:
        run([tools.objcopy, *(f"--redefine-sym={name}=x86_{name}" for name in both), str(x86)], "objcopy")


def _defined(path: Path, tools: Tools) -> set[str]:
    text = run([tools.nm, "-g", "--defined-only", str(path)], "nm")
    return {line.split()[-1] for line in text.splitlines() if line}


def _undefined(path: Path, tools: Tools) -> set[str]:
    return {line.split()[-1] for line in run([tools.nm, "-u", str(path)], "nm").splitlines() if line}


def _stubs(functions: list[str], data: list[str]) -> str:
    """Assembly: functions that return 0, functions that say their name, and zeros."""
    lines = [".text"]
    for name in functions:
        symbol = PREFIX + name
        lines += [f".globl {symbol}", f".hidden {symbol}", f".type {symbol},@function", f"{symbol}:"]
        if may_be_silent(name):
            lines += ["xor %eax,%eax", "ret"]
        else:
            lines += ["lea 1f(%rip),%rdi", "and $-16,%rsp", "call ms_unresolved"]
            lines += [".section .rodata", f'1: .asciz "{name}"', ".text"]
    lines += [".bss", ".balign 64"]
    for name in data:
        lines += [f".globl {PREFIX}{name}", f".hidden {PREFIX}{name}", f"{PREFIX}{name}: .zero {_DATA_ROOM}"]
    return "\n".join([*lines, '.section .note.GNU-stack,"",@progbits', ""])
