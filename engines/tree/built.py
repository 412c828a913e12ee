# SPDX-License-Identifier: GPL-2.0-only
"""A build of a kernel tree, as its build.json tells of it (`build.py` writes it), and its library of itself."""

import json
import os
import shlex
from array import array
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import Struct, error
from typing import Any

from engines.tree.build import RECORD, default_folder
from engines.tree.flags import Options
from engines.tree.library import ABI
from engines.tree.link import LIBRARY
from engines.tree.sites import FILE as SITES
from engines.tree.source import KVM_MAIN
from memslots.errors import BadInput, Missing
from memslots.machine import MOST_GFN, Machine, machine_of

_PROFILES = {1: "linux-6.18", 2: "linux-6.1"}
"""By the number of address spaces."""
_SIZES = ("header_size", "entry_size")
_FIELDS = (
    *("nent", "header_flags", "entries"),
    *("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr", "invalidate_slot", "padding"),
)
_LAYOUT = Struct("<3I20H")


@dataclass(frozen=True, slots=True)
class Built:
    """A build, and what an engine needs to know of it."""

    folder: Path
    tree: str
    release: str
    content: str
    """Changes when anything does that the library is made of."""
    options: tuple[str, ...]
    """Of asan, coverage, x86."""
    returns_zero: tuple[str, ...]
    """Services of the kernel that do nothing."""
    machine: dict[str, int] = field(hash=False)
    list_ioctl: int
    """0 where the tree has no list ioctl."""
    layout: bytes
    """How its lists are laid out, as the library wants it; empty: as the library has it."""
    environment: dict[str, str] = field(hash=False)
    strict: bool
    """Whether the model check has seen it refuse a header without meaning (contract I4)."""
    checked: bool
    """Whether the model check has come to its end."""
    difference: str
    """The case file of what it has found; empty where it has found nothing."""
    again: str
    """The command that makes it again, of its tree as that is by then."""

    @property
    def vm(self) -> Machine:
        """What its VMs are like, as cases say it."""
        return machine_of(_PROFILES.get(self.machine["address_spaces"], "linux-6.1"), self.machine)

    @property
    def most_gfn(self) -> int:
        """Where a case can have memory end at most: x86's own hook refuses what lies above (kvm_mmu_max_gfn)."""
        return self.vm.max_gfn if "x86" in self.options else MOST_GFN

    def vm_to(self, max_gfn: int) -> Machine:
        """What its VMs are like where memory ends at this gfn, as far as that can be."""
        return replace(self.vm, max_gfn=min(max_gfn, self.most_gfn))

    @property
    def site_offsets(self) -> "array[int]":
        """Where in the library each basic block reports itself, in the order of their counters."""
        numbers = array("I")
        with suppress(FileNotFoundError):
            numbers.frombytes((self.folder / SITES).read_bytes())
        return numbers

    @property
    def sites(self) -> int:
        """How many basic blocks are counted: none but with --coverage."""
        return len(self.site_offsets) if "coverage" in self.options else 0

    @property
    def library(self) -> Path:
        """The library."""
        return self.folder / LIBRARY


def _no_build(folder: Path, error: Exception) -> str:
    """Why nothing is known of a build, and the command that makes one."""
    expected = "expected a build of a kernel tree"
    if (folder / KVM_MAIN).is_file():
        goes_to = default_folder(folder, Options())
        return f"{folder}: the source of a kernel: {expected}: sameslots tree build {folder}, and then tree:{goes_to}"
    if not folder.is_dir():
        why = "a file" if folder.is_file() else "no such folder"
        return f"{folder}: {why}: {expected} (sameslots tree build PATH --out DIR)"
    why = (error.strerror or str(error)) if isinstance(error, OSError) else "no JSON"
    return f"{folder / RECORD}: {why}: {expected} (sameslots tree build PATH --out {folder})"


def facts_of(folder: Path) -> dict[str, Any]:
    """All that build.json says. Raises BadInput where there is none."""
    path = folder / RECORD
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(_no_build(folder, error)) from None
    if not isinstance(facts, dict):
        raise BadInput(f"{path}: expected an object: a build of a kernel tree (sameslots tree build PATH)")
    return facts


def note(built: Built, **facts: object) -> None:
    """Put further facts into the build.json of this very build. Raises BadInput where that cannot be."""
    path = built.folder / RECORD
    known = facts_of(built.folder)
    if known.get("content") != built.content:
        raise BadInput(f"{path}: another build has been made here meanwhile")
    new = path.with_suffix(f".{os.getpid()}")
    try:
        new.write_text(json.dumps(known | facts, indent=1) + "\n")
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise BadInput(f"{path}: {error.strerror}: expected a file to write to") from None


def built_in(folder: Path) -> Built:
    """The build in a folder. Raises BadInput where there is none, Missing where it is of no use here any more."""
    facts = facts_of(folder)
    again = f"build it again: {_command(folder, facts)}"
    if facts.get("abi") != ABI:
        raise Missing(f"{folder}: made for another release of sameslots: {again}")
    if not (folder / LIBRARY).is_file():
        raise Missing(f"{folder / LIBRARY}: not there: {again}")
    try:
        return _built(folder, facts)
    except (KeyError, TypeError, ValueError, AttributeError, error) as wrong:
        raise BadInput(f"{folder / RECORD}: {wrong!r}: expected the facts of a build: {again}") from None


def _command(folder: Path, facts: dict[str, Any]) -> str:
    """`sameslots tree build` with all that this build was made with, as far as its facts say that."""
    words = ["sameslots", "tree", "build", str(facts.get("tree", "PATH")), "--out", str(folder)]
    options = facts.get("options")
    words += [f"--{name}" for name in options] if isinstance(options, list) else []
    words += ["--layout", str(facts["layout"])] if facts.get("layout") else []
    return shlex.join(words)


def _built(folder: Path, facts: dict[str, Any]) -> Built:
    listed, checked = facts["list"], facts["checked"] or {}
    return Built(
        folder,
        str(facts["tree"]),
        str(facts["release"]),
        str(facts["content"]),
        tuple(facts["options"]),
        tuple(facts["returns_zero"]),
        {name: int(facts["machine"][name]) for name in ("address_spaces", "page_size", "user_slots", "readonly")},
        0 if listed is None else int(listed["ioctl"]),
        b"" if listed is None else packed_layout(listed["ioctl"], listed["layout"]),
        {str(name): str(value) for name, value in facts["environment"].items()},
        bool(checked.get("strict", False)),
        bool(checked),
        str(checked["difference"]["case"]) if checked.get("difference") else "",
        _command(folder, facts),
    )


def packed_layout(ioctl: int, layout: dict[str, Any]) -> bytes:
    """struct memslot_layout: a field that a tree's list has not is of size 0."""
    places = [int(number) for name in _FIELDS for number in layout.get(name, (0, 0))]
    return _LAYOUT.pack(ioctl, *[layout[name] for name in _SIZES], *places)
