# SPDX-License-Identifier: GPL-2.0-only
"""A build of a kernel tree, as its build.json tells of it.

What an engine reads of it, beside what only people read:

* `abi`: the number of the interface, `machine`: address_spaces, page_size, user_slots, readonly of its VMs
* `release`: the kernel's version; `content`: a hash of all that it is made of; `options`: asan, coverage, x86
* `list`: null, or `ioctl` and perhaps a `layout` (struct memslot_layout: sizes, and offset and size of each field)
* `environment`: variables that a process needs which loads the library, as for ASan's runtime
* `returns_zero`: services of the kernel that do nothing here
* `checked`: what the model check has found (`fuzz/model_check.py`), null before it
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

from engines.tree.library import ABI
from memslots.errors import BadInput, Missing

LIBRARY, FACTS = "libmemslot.so", "build.json"
_SIZES = ("header_size", "entry_size")
_FIELDS = (
    *("nent", "header_flags", "entries"),
    *("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr", "invalidate_slot", "padding"),
)
_LAYOUT = Struct("<3I20H")


@dataclass(frozen=True, slots=True)
class Built:
    """A build, and the facts of it that an engine needs."""

    folder: Path
    release: str
    content: str
    """Changes when anything does that the library is made of."""
    machine: dict[str, int] = field(hash=False)
    list_ioctl: int
    """0 where the tree has no list ioctl."""
    layout: bytes
    """How its lists are laid out, as the library wants it; empty: as the RFC's."""
    options: tuple[str, ...]
    environment: dict[str, str] = field(hash=False)
    returns_zero: tuple[str, ...]
    strict: bool
    """Whether the model check has seen it refuse a header without meaning (contract I4)."""

    @property
    def library(self) -> Path:
        """The library."""
        return self.folder / LIBRARY


def facts_of(folder: Path) -> dict[str, object]:
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


def built_in(folder: Path) -> Built:
    """The build in a folder. Raises BadInput where there is none, Missing where it is of no use here any more."""
    facts = facts_of(folder)
    again = f"build it again: sameslots tree build {facts.get('tree', 'PATH')} --out {folder}"
    if facts.get("abi") != ABI:
        raise Missing(f"{folder}: made for another release of sameslots: {again}")
    if not (folder / LIBRARY).is_file():
        raise Missing(f"{folder / LIBRARY}: not there: {again}")
    try:
        return _built(folder, facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{folder / FACTS}: {error!r}: expected the facts of a build: {again}") from None


def _built(folder: Path, facts: dict[str, object]) -> Built:
    listed = facts["list"] or {}
    assert isinstance(listed, dict)
    machine, environment, checked = facts["machine"], facts.get("environment", {}), facts.get("checked") or {}
    returns_zero, options = facts["returns_zero"], facts["options"]
    if not (isinstance(machine, dict) and isinstance(environment, dict) and isinstance(checked, dict)):
        raise TypeError("machine, environment, checked")
    if not (isinstance(returns_zero, list) and isinstance(options, list)):
        raise TypeError("returns_zero, options")
    ioctl = int(listed.get("ioctl", 0))
    layout = listed.get("layout")
    return Built(
        folder,
        str(facts["release"]),
        str(facts["content"]),
        {name: int(machine[name]) for name in ("address_spaces", "page_size", "user_slots", "readonly")},
        ioctl,
        b"" if layout is None else packed_layout(ioctl, layout),
        tuple(map(str, options)),
        {str(name): str(value) for name, value in environment.items()},
        tuple(map(str, returns_zero)),
        bool(checked.get("strict", False)),
    )


def packed_layout(ioctl: int, layout: dict[str, object]) -> bytes:
    """struct memslot_layout: a field that a tree's list has not is left out, and of size 0."""
    unknown = [name for name in layout if name not in (*_SIZES, *_FIELDS)]
    if unknown:
        raise ValueError(f"layout: unknown {unknown[0]!r}, expected {', '.join((*_SIZES, *_FIELDS))}")
    numbers: list[int] = []
    for name in _FIELDS:
        offset_and_size = layout.get(name, (0, 0))
        if not isinstance(offset_and_size, (list, tuple)):
            raise TypeError(f"layout: {name}: expected [offset, size]")
        offset, size = offset_and_size
        numbers += [int(offset), int(size)]
    sizes = [layout[name] for name in _SIZES]
    return _LAYOUT.pack(ioctl, *sizes, *numbers)
