# SPDX-License-Identifier: GPL-2.0-only
"""Which structs a tree's uapi header says its list ioctl takes, read off its text: the compiler says where it lies."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engines.tree.described import IN_ENTRY, IN_HEADER, NEEDED
from engines.tree.tools import Unbuildable

UAPI = "include/uapi/linux/kvm.h"
IOCTL = "KVM_SET_USER_MEMORY_REGION_LIST"
HINT = "--layout FILE can describe it (docs/tree.md)"
_THEIRS = {
    "nent": ("nent", "nr", "count", "nr_entries", "num_entries"),
    "header_flags": ("flags",),
    "entries": ("entries", "regions"),
    "padding": ("padding", "pad"),
}
"""What a field of struct memslot_layout may be called in a tree, where that is not its own name."""
_ENTRIES = ("kvm_userspace_memory_region_entry", "kvm_userspace_memory_region")
"""What an entry is where the header does not say so."""
_BYTES = re.compile(r"(?:__u8|char)\b")


@dataclass(frozen=True, slots=True)
class ListStructs:
    """The struct that the ioctl takes and the one of its entries, with our name for each member that we know."""

    header: str
    entry: str
    in_header: Mapping[str, str]
    in_entry: Mapping[str, str]
    follow: bool
    """The entries follow the header, and are not pointed at."""
    unknown: tuple[str, ...]
    assumed: str
    """What the header does not say; empty where it says all."""

    def says(self, sizes: Mapping[str, int | list[int]]) -> Iterator[str]:
        """What was read, assumed, and is not known, for people."""
        where = "behind it" if self.follow else f"where {self.in_header['entries']} points"
        own = {ours: member for ours, member in self.in_header.items() if ours != "entries"}
        yield (
            f"{IOCTL}, as {UAPI} has it: struct {self.header} ({sizes['header_size']} bytes: {_named(own)});"
            f" {where}, struct {self.entry} ({sizes['entry_size']} bytes each: {_named(self.in_entry)})"
        )
        if self.assumed:
            yield f"Assumed, for the header does not say it: {self.assumed}"
        if self.unknown:
            yield f"Sent as zeros, for nobody here knows what they mean: {', '.join(self.unknown)}"
        lacking = [name for name in (*IN_HEADER, *IN_ENTRY) if name != "entries" and name not in sizes]
        if lacking:
            yield f"Has no place in these, whatever a case says of it: {', '.join(lacking)}"


def list_structs(header: str) -> ListStructs | None:
    """Those of the list ioctl; None where there is none. Raises Unbuildable where they cannot be known."""
    header = _without_comments(header)
    found = re.search(rf"#define\s+{IOCTL}\s+_IOW\w*\(\s*KVMIO\s*,[^,]*,\s*struct\s+(\w+)\s*\)", header)
    if found is None:
        if re.search(rf"#define\s+{IOCTL}\b", header):
            raise Unbuildable(f"{UAPI}: {IOCTL}: expected _IOW(KVMIO, number, struct ...); {HINT}")
        return None
    name = found[1]
    members = _members(header, name)
    in_header = _ours(members, IN_HEADER)
    declared = members.get(in_header.get("entries", ""), "")
    follow = not declared or "[" in declared
    entry, assumed = _entry(header, name, declared, in_header, follow=follow)
    inner = _members(header, entry)
    in_entry = _ours(inner, IN_ENTRY)
    for each in NEEDED:
        if each not in in_header and each not in in_entry:
            raise Unbuildable(f"{UAPI}: the list of {IOCTL} has no {each} by any name known; {HINT}")
    unknown = [f"{name}.{member}" for member in members if member not in in_header.values()]
    unknown += [f"{entry}.{member}" for member in inner if member not in in_entry.values()]
    return ListStructs(name, entry, in_header, in_entry, follow, tuple(unknown), assumed)


def constants_of(header: str, number: int) -> list[str]:
    """The names of ioctls with this number (_IOC_NR)."""
    found = re.findall(r"#define\s+(\w+)\s+_IO\w*\(\s*KVMIO\s*,\s*(0[xX][0-9a-fA-F]+|\d+)", _without_comments(header))
    return [name for name, nr in found if int(nr, 0) == number & 0xFF]


def _entry(header: str, name: str, declared: str, ours: Mapping[str, str], *, follow: bool) -> tuple[str, str]:
    """The struct of an entry, and what was assumed for it."""
    kind = re.search(r"struct\s+(\w+)", declared)
    if kind:
        if not _body(header, kind[1]):
            raise Unbuildable(f"{UAPI}: {IOCTL}: its entries are of struct {kind[1]}, which is not there; {HINT}")
        return kind[1], ""
    if declared and follow and not _BYTES.match(declared):
        raise Unbuildable(f"{UAPI}: {IOCTL}: what its entries are is not said by `{declared}`; {HINT}")
    known = next((each for each in _ENTRIES if _body(header, each)), None)
    if known is None:
        none = f"there is no struct {' nor '.join(_ENTRIES)}"
        raise Unbuildable(f"{UAPI}: {IOCTL}: what its entries are is not said, and {none}; {HINT}")
    lead = f"{name}.{ours['entries']} leads to" if declared else f"struct {name} is followed by"
    return known, f"{lead} entries of struct {known}; {HINT} if it is otherwise"


def _without_comments(header: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", header.replace("\\\n", " "), flags=re.DOTALL)


def _body(header: str, name: str) -> str:
    found = re.search(rf"struct\s+{name}\s*\{{(.*?)\n\}}", header, re.DOTALL)
    return re.sub(r"(?m)^\s*#.*$", "", found[1]) if found else ""


def _members(header: str, name: str) -> dict[str, str]:
    """The members of a struct and their declarations, those of a region within it by a path."""
    found: dict[str, str] = {}
    for declaration in map(str.strip, _body(header, name).split(";")):
        inner = re.match(r"struct\s+(kvm_userspace_memory_region\d?)\s+(\w+)$", declaration)
        flexible = re.search(r"FLEX_ARRAY\s*\(\s*(.+?)\s*,\s*(\w+)\s*\)$", declaration)
        if inner:
            found |= {f"{inner[2]}.{path}": text for path, text in _members(header, inner[1]).items()}
        elif flexible:
            found[flexible[2]] = f"{flexible[1]} {flexible[2]}[]"
        else:
            for part in declaration.split(","):
                member = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?::\s*\w+\s*)?$", part)
                if member:
                    found[member[1]] = declaration
    return found


def _ours(members: Mapping[str, str], fields: tuple[str, ...]) -> dict[str, str]:
    """Our name for a member, and the member."""
    return {
        ours: member for ours in fields for member in members if member.rpartition(".")[2] in _THEIRS.get(ours, (ours,))
    }


def _named(members: Mapping[str, str]) -> str:
    """The members, each with what it is to us where its name does not say that."""
    return ", ".join(
        member if member.rpartition(".")[2] in (ours, *_THEIRS["header_flags"]) else f"{member} as {ours}"
        for ours, member in members.items()
    )
