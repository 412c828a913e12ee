# SPDX-License-Identifier: GPL-2.0-only
"""A tree becomes a folder with a library in it, and with all that is to be known of it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from engines.tree.digests import Steps
from engines.tree.flags import Options, kernel_flags
from engines.tree.generated import autoconf, bounds, headers
from engines.tree.link import LIBRARY, linked
from engines.tree.objects import compiled, units
from engines.tree.source import source_at
from engines.tree.tools import tools

RECORD = "build.json"


@dataclass(frozen=True, slots=True)
class Build:
    """One library: where it is, and what its build.json says."""

    folder: Path
    record: dict[str, object]
    fresh: bool
    """Nothing had changed: it was there."""


def default_folder(tree: Path, options: Options) -> Path:
    """Where the library of a tree goes if nobody says where."""
    return Path("build/trees") / (tree.resolve().name + options.suffix)


def built(tree: Path, folder: Path, options: Options) -> Build:
    """The library of the tree at `tree`, as far as it is not there. Raises BadInput, Unbuildable, Missing."""
    source = source_at(tree)
    programs = tools()
    work = folder.resolve() / "work"
    generated = work / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    steps = Steps(work)
    headers(source, generated)
    unmet = autoconf(source, generated, programs, steps)
    flags = kernel_flags(source, generated, options, programs)
    bounds(source, generated, flags, programs)
    parts = units(source, generated, work, options, programs)
    made = compiled(source, parts, programs, steps)
    path = folder / RECORD
    if not made and path.exists() and (folder / LIBRARY).exists():
        return Build(folder, json.loads(path.read_text()), True)
    link = linked(parts, work, options, programs)
    (work / LIBRARY).replace(folder / LIBRARY)
    record: dict[str, object] = {
        "tree": str(tree),
        "version": source.version,
        "content": steps.all(),
        "compiler": programs.version,
        "options": asdict(options),
        "kconfig_unmet": unmet,
        **asdict(link),
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return Build(folder, record, False)
