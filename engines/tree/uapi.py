# SPDX-License-Identifier: GPL-2.0-only
"""What a tree's own headers say of its VMs and of its list ioctl: numbers, and how a list lies in user memory."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from engines.tree.digests import Steps
from engines.tree.generated import constants, write
from engines.tree.source import Source
from engines.tree.tools import Tools, Unbuildable
from memslots.errors import BadInput

IOCTL = "KVM_SET_USER_MEMORY_REGION_LIST"
HEADER_FIELDS = {
    "nent": ("nent", "nr", "count", "nr_entries", "num_entries"),
    "header_flags": ("flags",),
    "entries": ("entries", "regions"),
}
ENTRY_FIELDS = {
    "slot": ("slot",),
    "flags": ("flags",),
    "guest_phys_addr": ("guest_phys_addr",),
    "memory_size": ("memory_size",),
    "userspace_addr": ("userspace_addr",),
    "invalidate_slot": ("invalidate_slot",),
    "padding": ("padding", "pad"),
}
"""What each field of struct memslot_layout may be called in a tree."""
_ENTRIES = ("kvm_userspace_memory_region_entry", "kvm_userspace_memory_region")
"""What an entry is where the header does not say so, but has a pointer."""
_DESCRIPTION = "list layout"
"""The step that reads a description of it."""
_NEEDED = ("nent", "slot", "guest_phys_addr", "memory_size", "userspace_addr")
_NUMBERS = {
    "address_spaces": "NUMBER_OF_SPACES",
    "page_size": "PAGE_SIZE",
    "user_slots": "KVM_USER_MEM_SLOTS",
    "readonly": "HAS_READONLY",
}
_SOURCE = """\
#include <linux/kvm_host.h>
#ifdef KVM_MAX_NR_ADDRESS_SPACES
#define NUMBER_OF_SPACES KVM_MAX_NR_ADDRESS_SPACES
#else
#define NUMBER_OF_SPACES KVM_ADDRESS_SPACE_NUM
#endif
#ifdef __KVM_HAVE_READONLY_MEM
#define HAS_READONLY 1
#else
#define HAS_READONLY IS_ENABLED(CONFIG_HAVE_KVM_READONLY_MEM)
#endif
#define SAY(name, value) asm volatile("\\n.ascii \\"->" #name " %0\\"" : : "i" ((unsigned long)(value)))
void numbers(void);
void numbers(void)
{
"""


@dataclass(frozen=True, slots=True)
class ListIoctl:
    """Its number, and struct memslot_layout by name: sizes, and [offset, size] of each field that there is."""

    ioctl: int
    layout: dict[str, int | list[int]]


@dataclass(frozen=True, slots=True)
class Uapi:
    """What one tree's VMs are like, and its list ioctl if it has one."""

    machine: dict[str, int]
    list: ListIoctl | None


def read_uapi(source: Source, work: Path, flags: list[str], tools: Tools, steps: Steps, described: Path | None) -> Uapi:
    """As the compiler sees it. `described`: a file that says what the list ioctl is like instead."""
    lines = [f"\tSAY({name}, {value});" for name, value in _NUMBERS.items()]
    structs = None if described else _list_structs((source.path / "include/uapi/linux/kvm.h").read_text())
    lines += structs or ()
    path = work / "numbers.c"
    write(path, _SOURCE + "\n".join(lines) + "\n}\n")
    numbers = constants(source, path, work / "numbers.s", flags, tools, steps, "include/uapi/linux/kvm.h")
    said = {name: int(value) for name, value in numbers.items()}
    machine = {name: said[name] for name in _NUMBERS}
    if described is not None:
        listed = _described(described)
        steps.taken(_DESCRIPTION, (), [described.resolve()])
        return Uapi(machine, listed)
    steps.forget(_DESCRIPTION)
    return Uapi(machine, None if structs is None else _answered(said))


def _list_structs(header: str) -> list[str] | None:
    """Lines of C that make the compiler say where everything in a list lies. None: there is no list ioctl."""
    header = re.sub(r"/\*.*?\*/|//[^\n]*", "", header.replace("\\\n", " "), flags=re.DOTALL)
    found = re.search(rf"#define\s+{IOCTL}\s+_IOW\w*\(\s*KVMIO\s*,[^,]*,\s*struct\s+(\w+)\s*\)", header)
    if found is None:
        if re.search(rf"#define\s+{IOCTL}\b", header):
            raise Unbuildable(f"{IOCTL}: expected _IOW(KVMIO, number, struct ...); --layout FILE can describe it")
        return None
    members = _members(header, found[1])
    ours = _ours(members, HEADER_FIELDS)
    entries = members.get(ours.get("entries", ""), "")
    kind = re.search(r"struct\s+(\w+)", entries)
    known = (name for name in _ENTRIES if re.search(rf"struct\s+{name}\s*\{{", header))
    entry = kind[1] if kind else next(known, None)
    if entry is None:
        raise Unbuildable(
            f"{IOCTL}: what its entries are is not said, and there is no struct {' nor '.join(_ENTRIES)};"
            " --layout FILE can describe it (docs/tree.md)"
        )
    lines = [f"\tSAY(ioctl, {IOCTL});", *_places(found[1], "header", ours)]
    lines += _places(entry, "entry", _ours(_members(header, entry), ENTRY_FIELDS))
    if "entries" in ours:
        follow = "[" in entries or "FLEX" in entries
        lines = [line for line in lines if not line.startswith("\tSAY(size_entries")]
        lines.append(f"\tSAY(size_entries, {0 if follow else 8});")
    return lines


def _places(struct: str, part: str, members: dict[str, str]) -> list[str]:
    lines = [f"\tSAY({part}_size, sizeof(struct {struct}));"]
    for ours, member in members.items():
        lines += [
            f"\tSAY(offset_{ours}, offsetof(struct {struct}, {member}));",
            f"\tSAY(size_{ours}, sizeof(((struct {struct} *)0)->{member}));",
        ]
    return lines


def _members(header: str, name: str) -> dict[str, str]:
    """The members of a struct and their declarations, those of structs within it by a path."""
    body = re.search(rf"struct\s+{name}\s*\{{(.*?)\n\}}", header, re.DOTALL)
    found: dict[str, str] = {}
    for declaration in (body[1] if body else "").split(";"):
        member = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)?$", declaration.strip())
        inner = re.match(r"\s*struct\s+(kvm_userspace_memory_region\d?)\s+(\w+)\s*$", declaration)
        if inner:
            found |= {f"{inner[2]}.{path}": text for path, text in _members(header, inner[1]).items()}
        elif member:
            found[member[1]] = declaration.strip()
    return found


def _ours(members: dict[str, str], names: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Our name for a member, and the member."""
    return {ours: member for ours, theirs in names.items() for member in members if member.rpartition(".")[2] in theirs}


def _answered(said: dict[str, int]) -> ListIoctl:
    layout: dict[str, int | list[int]] = {name: said[name] for name in ("header_size", "entry_size")}
    for name in (*HEADER_FIELDS, *ENTRY_FIELDS):
        if f"offset_{name}" in said:
            layout[name] = [said[f"offset_{name}"], said[f"size_{name}"]]
    lacking = [name for name in _NEEDED if name not in layout]
    if lacking:
        raise Unbuildable(
            f"include/uapi/linux/kvm.h: the list of {IOCTL} has no {lacking[0]} by any name known; "
            "--layout FILE can describe it (docs/tree.md)"
        )
    return ListIoctl(said["ioctl"], layout)


def _described(path: Path) -> ListIoctl:
    """A list ioctl as a file of JSON says. Raises BadInput."""
    try:
        words = json.loads(path.read_text())
        ioctl = int(str(words.pop("ioctl")), 0)
        layout = {name: int(words.pop(name)) for name in ("header_size", "entry_size")}
        fields: dict[str, int | list[int]] = {}
        for name in (*HEADER_FIELDS, *ENTRY_FIELDS):
            if name in words:
                offset, size = words.pop(name)
                fields[name] = [int(offset), int(size)]
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a description of a list ioctl") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f'{path}: {error!r}: expected {{"ioctl": n, "header_size": n, "entry_size": n, "nent": [offset, size]...}}'
        ) from None
    if words:
        expected = ", ".join((*HEADER_FIELDS, *ENTRY_FIELDS))
        raise BadInput(f"{path}: unknown {next(iter(words))!r}, expected ioctl, header_size, entry_size, {expected}")
    return ListIoctl(ioctl, {**layout, **fields})
