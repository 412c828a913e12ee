# SPDX-License-Identifier: GPL-2.0-only
"""A build of a kernel tree, as its build.json tells of it (`build.py` writes it), and its library of itself."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any

from engines.tree.tools import run, tools
from engines.tree.worker import Worker
from memslots.errors import BadInput, Missing
from memslots.machine import Machine, machine_of

LIBRARY, FACTS = "libmemslot.so", "build.json"
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
    version: str
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

    @property
    def vm(self) -> Machine:
        """What its VMs are like, as cases say it."""
        return machine_of(_PROFILES.get(self.machine["address_spaces"], "linux-6.1"), self.machine)

    @property
    def library(self) -> Path:
        """The library."""
        return self.folder / LIBRARY


def facts_of(folder: Path) -> dict[str, Any]:
    """All that build.json says. Raises BadInput where there is none."""
    path = folder / FACTS
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else "no JSON"
        raise BadInput(
            f"{path}: {why}: expected a build of a kernel tree (sameslots tree build PATH --out {folder})"
        ) from None
    if not isinstance(facts, dict):
        raise BadInput(f"{path}: expected an object: a build of a kernel tree (sameslots tree build PATH)")
    return facts


def note(folder: Path, **facts: object) -> None:
    """Put further facts into a build.json. Raises BadInput."""
    path = folder / FACTS
    text = json.dumps(facts_of(folder) | facts, indent=1)
    new = path.with_suffix(f".{os.getpid()}")
    try:
        new.write_text(text + "\n")
        new.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file to write to") from None


def built_in(folder: Path) -> Built:
    """The build in a folder. Raises BadInput where there is none, Missing where it is of no use here any more."""
    facts = facts_of(folder)
    again = f"build it again: sameslots tree build {facts.get('tree', 'PATH')} --out {folder}"
    if not (folder / LIBRARY).is_file():
        raise Missing(f"{folder / LIBRARY}: not there: {again}")
    try:
        return _built(folder, facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{folder / FACTS}: {error!r}: expected the facts of a build: {again}") from None


def _built(folder: Path, facts: dict[str, Any]) -> Built:
    options = tuple(name for name, there in facts["options"].items() if there)
    environment = _with_asan() if "asan" in options else {}
    told = facts.get("library")
    if told is None or told["content"] != facts["content"]:
        told = {"content": facts["content"], **_asked(folder, environment)}
        note(folder, library=told)
    layout = facts.get("layout")
    return Built(
        folder,
        str(facts["tree"]),
        str(facts["version"]),
        str(facts["content"]),
        options,
        tuple(facts["silent"]),
        {name: int(told[name]) for name in ("address_spaces", "page_size", "user_slots", "readonly")},
        int(told["list_ioctl"] if layout is None else layout["ioctl"]),
        b"" if layout is None else packed_layout(layout),
        environment,
        bool((facts.get("checked") or {}).get("strict", False)),
    )


def _asked(folder: Path, environment: dict[str, str]) -> dict[str, int]:
    """What the library says of itself. Raises Missing if it cannot be used."""
    worker = Worker(folder / LIBRARY, environment=environment)
    try:
        return worker.facts()
    finally:
        worker.close()


def _with_asan() -> dict[str, str]:
    """What a process needs that loads a library with ASan: the runtime before all else, and silence."""
    runtime = run([tools().cc, "-print-file-name=libasan.so"], "where ASan's runtime is").strip()
    words = ("detect_leaks=0", "halt_on_error=0", "handle_segv=0", "log_path=/dev/null", "detect_odr_violation=0")
    return {"LD_PRELOAD": runtime, "ASAN_OPTIONS": ":".join(words)}


def packed_layout(layout: dict[str, Any]) -> bytes:
    """struct memslot_layout: a field that a tree's list has not is left out, and of size 0."""
    known = ("ioctl", *_SIZES, *_FIELDS)
    unknown = [name for name in layout if name not in known]
    if unknown:
        raise ValueError(f"layout: unknown {unknown[0]!r}, expected {', '.join(known)}")
    places = [int(number) for name in _FIELDS for number in layout.get(name, (0, 0))]
    return _LAYOUT.pack(layout["ioctl"], *[layout[name] for name in _SIZES], *places)
