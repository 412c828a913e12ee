# SPDX-License-Identifier: GPL-2.0-only
"""Every object of the library, compiled as far as it is not there already."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.tree.digests import Steps, made_of
from engines.tree.flags import SHIM, Options, as_written, instrumented, kernel_flags, shim_flags
from engines.tree.source import KVM_MAIN, Source
from engines.tree.tools import Tools, Unbuildable, finished, start

INSIDE = ("inside", "sets")
"""The shim's files that see the tree's headers. All others see libc's."""
_TREE_FILES = (
    "lib/rbtree.c",
    "lib/interval_tree.c",
    "lib/find_bit.c",
    "lib/bitmap.c",
    "lib/hweight.c",
    "virt/kvm/dirty_ring.c",
)
_UNDER_TEST = ("lib/rbtree.c", "lib/interval_tree.c")
_OPEN = " (is a bracket open where kvm_main.c ends? Else the shim does not know this kernel's structures)"
_X86_FILES = ("arch/x86/kvm/x86.c", "arch/x86/kvm/mmu/page_track.c")


@dataclass(frozen=True, slots=True)
class Unit:
    """One file to compile. `kernel`: it goes into the object that holds the tree's code."""

    source: Path
    object: Path
    flags: list[str]
    kernel: bool


def units(source: Source, generated: Path, folder: Path, options: Options, tools: Tools) -> list[Unit]:
    """All files of the library, the slowest first."""
    flags = kernel_flags(source, generated, options, tools)
    kernel = flags + as_written(tools)
    tested = instrumented(options)
    found = [
        Unit(SHIM / "inside.c", folder / "inside.o", kernel + tested, True),
        Unit(SHIM / "sets.c", folder / "sets.o", flags, True),
    ]
    if options.x86:
        found[:0] = list(_of_tree(source, folder, _X86_FILES, kernel, tested))
    found += _of_tree(source, folder, _TREE_FILES, kernel, tested)
    own = shim_flags(options)
    for path in sorted(SHIM.glob("*.c")):
        if path.stem not in INSIDE:
            found.append(Unit(path, folder / f"shim-{path.stem}.o", own, False))
    return found


def tree_sources(source: Source, units: list[Unit]) -> list[Path]:
    """The tree's own files that are compiled, kvm_main.c first, which the shim includes."""
    return [source.path / KVM_MAIN, *(unit.source for unit in units if unit.source.is_relative_to(source.path))]


def _of_tree(
    source: Source, folder: Path, names: tuple[str, ...], kernel: list[str], tested: list[str]
) -> Iterator[Unit]:
    for name in names:
        path = source.path / name
        if path.is_file():
            flags = kernel + tested if name in _UNDER_TEST or name in _X86_FILES else kernel
            yield Unit(path, folder / f"tree-{path.stem}.o", flags, True)


def compiled(source: Source, units: list[Unit], tools: Tools, steps: Steps) -> bool:
    """Compile what is stale, on all CPUs; whether there was anything. Raises Unbuildable: the first file's errors."""
    stale = [unit for unit in units if not _fresh(unit, tools, steps)]
    for unit in stale:
        steps.forget(unit.object.name)
    waiting = list(stale)
    running: list[tuple[Unit, subprocess.Popen[str]]] = []
    failures: list[Unbuildable] = []
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            unit = waiting.pop(0)
            running.append((unit, start(_command(unit, tools), cwd=source.path)))
        unit, process = running.pop(0)
        try:
            finished(process, unit.source.name)
        except Unbuildable as failure:
            ours = unit.source.stem in INSIDE and not any(str(source.path) in line for line in failure.lines)
            failures.append(Unbuildable(f"{failure}{_OPEN}", failure.lines) if ours else failure)
            waiting.clear()
            continue
        steps.taken(unit.object.name, [tools.version, *_command(unit, tools)], made_of(_rule(unit)))
    if failures:
        raise failures[0]
    return bool(stale)


def _rule(unit: Unit) -> Path:
    return unit.object.with_suffix(".d")


def _command(unit: Unit, tools: Tools) -> list[str]:
    return [*tools.cc, *unit.flags, "-MD", "-MF", str(_rule(unit)), "-c", str(unit.source), "-o", str(unit.object)]


def _fresh(unit: Unit, tools: Tools, steps: Steps) -> bool:
    return steps.fresh(unit.object.name, [tools.version, *_command(unit, tools)], (unit.object, _rule(unit)))
