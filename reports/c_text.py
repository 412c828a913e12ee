# SPDX-License-Identifier: GPL-2.0-only
"""C source in the kernel's style: comments that cannot end early, and regions as the rows of a table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memslots.errors import on_one_line
from memslots.region import Region
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY

_COLUMNS = 80
_TAB = 8
_FLAGS = {"KVM_MEM_LOG_DIRTY_PAGES": KVM_MEM_LOG_DIRTY_PAGES, "KVM_MEM_READONLY": KVM_MEM_READONLY}
_HEADING = "slot, flags, guest_phys_addr, memory_size, userspace_addr"
_ENTRY_HEADING = f"{_HEADING}, invalidate_slot, padding"
# What ends a comment, begins another (-Wcomment), or may join two lines (-Wtrigraphs).
_BROKEN_UP = (("*/", "* /"), ("/*", "/ *"), ("??/", "?? /"))


class Row(NamedTuple):
    """A region, and what the case says about it."""

    region: Region
    comments: tuple[str, ...] = ()


def commented(text: str) -> str:
    """The text as it may stand inside a comment: on one line, with no character that a compiler would heed."""
    shown = on_one_line(text.expandtabs().strip(), len(text) * 10 + 1)
    for found, instead in _BROKEN_UP:
        # Twice, for "/*/" holds one inside the other.
        shown = shown.replace(found, instead).replace(found, instead)
    return shown


def folded(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, broken between words where that can be."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def head_of(command: str, paragraphs: Iterable[Iterable[str]]) -> str:
    """What stands inside the comment at the head of a file: a command on one line, and paragraphs of folded lines."""
    blocks = [
        [f" * {line}" for text in paragraph for line in folded(commented(text), _COLUMNS - 3)]
        for paragraph in paragraphs
    ]
    return "\n *\n".join([f" * {commented(command)}", *("\n".join(block) for block in blocks if block)])


def table_of(name: str, rows: Sequence[Row], rest: Iterable[str] = (), *, entries: bool = False) -> str:
    """NR_NAME and a static table of that many regions, or entries of a list, with `rest` commented on at its end.

    The columns stand one below the other where that leaves the lines short enough.
    """
    kind = "kvm_userspace_memory_region" + ("_entry" if entries else "")
    number = number_of(name, len(rows))
    comments = [text for text in map(commented, rest) if text]
    if not rows:
        # An array of no elements is no C, and has compilers warn of loops that end before they begin.
        return "\n".join([*(f"/* {text} */" for text in comments), number, f"static const struct {kind} {name}[1];"])
    cells = [_cells(row.region, entries=entries) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if _TAB + len("{ , },") + sum(widths) + 2 * len(widths) - 2 > _COLUMNS:
        widths = [0] * len(widths)
    lines = [number, f"static const struct {kind} {name}[NR_{name.upper()}] = {{"]
    lines += _comment_lines(_ENTRY_HEADING if entries else _HEADING)
    for row, texts in zip(rows, cells, strict=True):
        padded = [f"{text},".ljust(width + 1) for text, width in zip(texts[:-1], widths, strict=False)]
        lines += _row_lines("\t{ " + " ".join([*padded, texts[-1]]) + " },", row.comments)
    for comment in comments:
        lines += _comment_lines(comment)
    return "\n".join([*lines, "};"])


def number_of(name: str, length: int) -> str:
    """`#define NR_NAME length`."""
    return f"#define NR_{name.upper()}\t{length}"


def _cells(region: Region, *, entries: bool) -> tuple[str, ...]:
    cells = (
        _slot(region),
        _flags(region.flags),
        *(hex(n) if n else "0" for n in (region.guest_phys_addr, region.memory_size, region.userspace_addr)),
    )
    if not entries:
        return cells
    padding = ", ".join(hex(byte) for byte in region.padding.rstrip(b"\0")) or "0"
    return (*cells, str(region.invalidate_slot), f"{{ {padding} }}")


def _slot(region: Region) -> str:
    if region.as_id == 1:
        return f"1 << 16 | {region.id}"
    return hex(region.slot) if region.as_id else str(region.slot)


def _flags(flags: int) -> str:
    """The names of the flags, or the number where one has none that linux/kvm.h has always had."""
    names = [name for name, bit in _FLAGS.items() if flags & bit]
    return hex(flags) if flags & ~sum(_FLAGS.values()) else " | ".join(names) or "0"


def _row_lines(row: str, comments: Iterable[str]) -> list[str]:
    """The row with its comments: behind it where there is one and it fits, otherwise above it."""
    texts = [text for text in map(commented, comments) if text]
    if len(texts) == 1 and len(row.expandtabs(_TAB)) + len(f" /* {texts[0]} */") <= _COLUMNS:
        return [f"{row} /* {texts[0]} */"]
    return [line for text in texts for line in _comment_lines(text)] + [row]


def _comment_lines(text: str) -> list[str]:
    if _TAB + len(f"/* {text} */") <= _COLUMNS:
        return [f"\t/* {text} */"]
    return ["\t/*", *(f"\t * {line}" for line in folded(text, _COLUMNS - _TAB - 3)), "\t */"]
