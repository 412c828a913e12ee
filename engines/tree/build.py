# SPDX-License-Identifier: GPL-2.0-only
"""A tree becomes a folder with a library in it, and with all that is to be known of it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from engines.tree.builder import builder_digest
from engines.tree.digests import Steps, digest_of
from engines.tree.flags import Options, environment, kernel_flags
from engines.tree.generated import autoconf, bounds, headers, write
from engines.tree.handlers import SINGLE, called_for
from engines.tree.library import ABI
from engines.tree.link import LIBRARY, linked
from engines.tree.objects import compiled, tree_sources, units
from engines.tree.sites import write_sites
from engines.tree.source import KVM_MAIN, source_at
from engines.tree.sources import write_sources
from engines.tree.tools import tools
from engines.tree.uapi import read_uapi
from memslots.errors import BadInput

RECORD, WORK = "build.json", "work"


@dataclass(frozen=True, slots=True)
class Build:
    """One library: where it is, and what its build.json says."""

    folder: Path
    record: dict[str, object]
    fresh: bool
    """Nothing had changed: it was there."""

    @property
    def list_ioctl(self) -> int:
        """Its number; 0 where the tree has none."""
        listed = self.record["list"]
        return int(listed["ioctl"]) if isinstance(listed, dict) else 0

    @property
    def list_says(self) -> list[str]:
        """What its list ioctl was read off, what was assumed, and which functions are called for it, in lines."""
        listed = self.record["list"]
        if not isinstance(listed, dict):
            return []
        handlers = self._names("list_handlers")
        called = f"Called for it: {', '.join(handlers)}" if handlers else f"No function of {KVM_MAIN} is called for it"
        return [*listed["says"], called]

    @property
    def unmet(self) -> list[str]:
        """Wishes that the tree's Kconfig does not grant."""
        return self._names("kconfig_unmet")

    @property
    def functions(self) -> list[str]:
        """What the memslot code can reach."""
        return self._names("functions")

    @property
    def blank(self) -> list[str]:
        """Data that the memslot code reads, and that is zeros."""
        return self._names("blank")

    @property
    def unresolved(self) -> dict[str, list[str]]:
        """What the memslot code can call and nobody supplies, with where it is called."""
        return self._places("unresolved")

    @property
    def returns_zero(self) -> dict[str, list[str]]:
        """What the memslot code can call and does nothing here, with where it is called."""
        return self._places("returns_zero_called_by")

    def _names(self, key: str) -> list[str]:
        found = self.record[key]
        assert isinstance(found, list)
        return found

    def _places(self, key: str) -> dict[str, list[str]]:
        found = self.record[key]
        assert isinstance(found, dict)
        return found


def default_folder(tree: Path, options: Options) -> Path:
    """Where the library of a tree goes if nobody says where."""
    return Path("build/trees") / (tree.resolve().name + options.suffix)


def built(tree: Path, folder: Path, options: Options, layout: Path | None = None) -> Build:
    """The library of the tree at `tree`, as far as it is not there. Raises BadInput, Unbuildable, Missing.

    `layout`: a file that describes the list ioctl, for a tree whose uapi header cannot be read.
    """
    source = source_at(tree)
    if folder.resolve().is_relative_to(source.path):
        raise BadInput(f"{folder}: inside the tree, which is only read: expected --out DIR with a folder elsewhere")
    if _is_anothers(folder / RECORD):
        raise BadInput(f"{folder / RECORD}: is of no build of a tree: expected --out DIR with a folder of its own")
    programs = tools()
    work = folder.resolve() / WORK
    generated = work / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    steps = Steps(work)
    headers(source, generated)
    unmet = autoconf(source, generated, programs, steps)
    flags = kernel_flags(source, generated, options, programs)
    bounds(source, generated, flags, programs, steps)
    uapi = read_uapi(source, work, flags, programs, steps, layout)
    parts = units(source, generated, work, options, programs)
    made = compiled(source, parts, programs, steps)
    path = folder / RECORD
    content = digest_of(steps.all(), programs.version, programs.binutils, builder_digest())
    if not made and (folder / LIBRARY).exists() and _content_of(path) == content:
        return Build(folder, json.loads(path.read_text()), True)
    text = "\n".join(path.read_text(errors="replace") for path in tree_sources(source, parts))
    listed = called_for(text, uapi.list.names if uapi.list else ())
    # Where this fails, the library that is there stays, with what is to be known of it.
    link = linked(parts, work, options, programs, called_for(text, SINGLE), listed)
    path.unlink(missing_ok=True)  # what it says is not so any more, whatever happens now
    (work / LIBRARY).replace(folder / LIBRARY)
    if options.coverage:
        write_sites(folder / LIBRARY, folder, programs)
    described = layout.resolve() if layout else None
    write_sources(folder, content, steps.read(), source.path, described)
    record: dict[str, object] = {
        "abi": ABI,
        "tree": str(tree.resolve()),
        "release": source.version,
        "content": content,
        "compiler": programs.version,
        "options": options.names(),
        "machine": uapi.machine,
        "list": asdict(uapi.list) if uapi.list else None,
        "layout": str(described) if described else None,
        "environment": environment(options, programs),
        "kconfig_unmet": unmet,
        "unresolved": link.unresolved,
        "returns_zero": sorted(link.silent),
        "returns_zero_called_by": link.silent,
        "blank": link.blank,
        "functions": link.functions,
        "list_handlers": link.list_handlers,
        "checked": None,
    }
    write(path, json.dumps(record, indent=1) + "\n")
    return Build(folder, record, False)


def _is_anothers(path: Path) -> bool:
    """Whether somebody else keeps a file of this name: it is not to be lost."""
    try:
        facts = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return not (path.parent / WORK).is_dir()  # ours may have been damaged
    return not isinstance(facts, dict) or not {"abi", "content", "tree"} <= facts.keys()


def _content_of(path: Path) -> object:
    try:
        return json.loads(path.read_text())["content"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
