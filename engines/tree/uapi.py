# SPDX-License-Identifier: GPL-2.0-only
"""What a tree's own headers say of its VMs and of its list ioctl: numbers, and how a list lies in user memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.tree.described import IN_ENTRY, IN_HEADER, Layout, described, problems
from engines.tree.digests import Steps
from engines.tree.generated import constants, write
from engines.tree.list_header import HINT, IOCTL, UAPI, ListStructs, constants_of, list_structs
from engines.tree.source import Source
from engines.tree.tools import Tools, Unbuildable

_DESCRIPTION = "list layout"
"""The step that reads a description of it."""
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
    layout: Layout
    names: tuple[str, ...] = (IOCTL,)
    """The constants that the tree's code may know it by."""
    says: tuple[str, ...] = ()
    """What it was read off, what was assumed and what is not known, for people."""


@dataclass(frozen=True, slots=True)
class Uapi:
    """What one tree's VMs are like, and its list ioctl if it has one."""

    machine: dict[str, int]
    list: ListIoctl | None


def read_uapi(source: Source, work: Path, flags: list[str], tools: Tools, steps: Steps, layout: Path | None) -> Uapi:
    """As the compiler sees it. `layout`: a file that says what the list ioctl is like instead."""
    header = (source.path / UAPI).read_text()
    listed = None if layout is None else _described(layout, header)  # what is wrong with it is said before all else
    structs = list_structs(header) if layout is None else None
    lines = [f"\tSAY({name}, {value});" for name, value in _NUMBERS.items()]
    lines += _questions(structs) if structs else ()
    path = work / "numbers.c"
    write(path, _SOURCE + "\n".join(lines) + "\n}\n")
    numbers = constants(source, path, work / "numbers.s", flags, tools, steps, UAPI)
    said = {name: int(value) for name, value in numbers.items()}
    machine = {name: said[name] for name in _NUMBERS}
    if layout is not None:
        steps.taken(_DESCRIPTION, (), [layout.resolve()])
        return Uapi(machine, listed)
    steps.forget(_DESCRIPTION)
    return Uapi(machine, _answered(structs, said) if structs else None)


def _questions(structs: ListStructs) -> Iterator[str]:
    """Lines of C that make the compiler say where everything in a list lies."""
    yield f"\tSAY(ioctl, {IOCTL});"
    for part, struct, members in (
        ("header", structs.header, structs.in_header),
        ("entry", structs.entry, structs.in_entry),
    ):
        yield f"\tSAY({part}_size, sizeof(struct {struct}));"
        for ours, member in members.items():
            yield f"\tSAY(offset_{ours}, offsetof(struct {struct}, {member}));"
            follows = ours == "entries" and structs.follow
            size = "0" if follows else f"sizeof(((struct {struct} *)0)->{member})"
            yield f"\tSAY(size_{ours}, {size});"


def _answered(structs: ListStructs, said: Mapping[str, int]) -> ListIoctl:
    layout: Layout = {name: said[name] for name in ("header_size", "entry_size")}
    for name in (*IN_HEADER, *IN_ENTRY):
        if f"offset_{name}" in said:
            layout[name] = [said[f"offset_{name}"], said[f"size_{name}"]]
    for problem in problems(said["ioctl"], layout):
        raise Unbuildable(f"{UAPI}: the list of {IOCTL}: {problem}; {HINT}")
    return ListIoctl(said["ioctl"], layout, says=tuple(structs.says(layout)))


def _described(path: Path, header: str) -> ListIoctl:
    ioctl, layout = described(path)
    fields = [[name for name in names if name in layout and name != "entries"] for names in (IN_HEADER, IN_ENTRY)]
    entries = layout.get("entries")
    where = "where entries points" if isinstance(entries, list) and entries[1] else "behind it"
    says = (
        f"List ioctl {ioctl:#x}, as {path} has it: a header ({layout['header_size']} bytes: {', '.join(fields[0])});"
        f" {where}, entries ({layout['entry_size']} bytes each: {', '.join(fields[1])}); all else is zeros"
    )
    return ListIoctl(ioctl, layout, tuple(constants_of(header, ioctl)), (says,))
