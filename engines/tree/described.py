# SPDX-License-Identifier: GPL-2.0-only
"""A list ioctl as a file of JSON describes it (docs/tree.md), and what no description may say."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NoReturn, TypeGuard

from memslots.errors import BadInput

IN_HEADER = ("nent", "header_flags", "entries")
IN_ENTRY = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr", "invalidate_slot", "padding")
NEEDED = ("nent", "slot", "guest_phys_addr", "memory_size", "userspace_addr")
_SIZES = {"header_size": IN_HEADER, "entry_size": IN_ENTRY}
_MOST_BYTES = 4096
"""Of a header, or of an entry: what the shim takes."""
_NUMBER = (1, 2, 4, 8)
_SIZE_SHIFT, _SIZE_MASK = 16, (1 << 14) - 1
"""Where the number of an ioctl says how long its argument is (_IOC_SIZE)."""
Layout = dict[str, int | list[int]]


def described(path: Path) -> tuple[int, Layout]:
    """The number of a list ioctl, and struct memslot_layout by name. Raises BadInput: file, field, what is expected."""

    def wrong(what: str) -> NoReturn:
        raise BadInput(f"{path}: {what}")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        words = dict(pairs)
        for name in words:
            if [each for each, _ in pairs].count(name) > 1:
                wrong(f"{name}: is said twice: expected once")
        return words

    try:
        words = json.loads(path.read_bytes(), object_pairs_hook=once)
    except OSError as error:
        wrong(f"{error.strerror}: expected a description of a list ioctl (JSON, docs/tree.md)")
    except (ValueError, RecursionError) as error:
        wrong(f"no JSON ({error}): expected a description of a list ioctl (docs/tree.md)")
    if not isinstance(words, dict):
        wrong('expected an object: {"ioctl": number, "header_size": bytes, "nent": [offset, size], ...}')
    known = ("ioctl", *_SIZES, *IN_HEADER, *IN_ENTRY)
    for name in words:
        if name not in known:
            wrong(f"{name}: unknown: expected {', '.join(known)}")
    for name in ("ioctl", *_SIZES, *NEEDED):
        if name not in words:
            wrong(f"{name}: is missing: expected {_form(name)}")
    layout: Layout = {}
    for name in (*_SIZES, *IN_HEADER, *IN_ENTRY):
        if name in words:
            layout[name] = _value(words[name], name in _SIZES) or wrong(f"{name}: expected {_form(name)}")
    ioctl = _ioctl(words["ioctl"]) or wrong(f"ioctl: expected {_form('ioctl')}")
    for problem in problems(ioctl, layout):
        wrong(problem)
    return ioctl, layout


def problems(ioctl: int, layout: Layout) -> Iterator[str]:
    """What of it cannot be, field by field, with what was expected."""
    for name, fields in _SIZES.items():
        size = layout[name]
        assert isinstance(size, int)
        if not 0 < size <= _MOST_BYTES:
            yield f"{name}: {size}: expected 1 to {_MOST_BYTES} bytes"
        places = [(place[0], place[1], each) for each in fields if isinstance(place := layout.get(each), list)]
        for offset, length, each in places:
            yield from _field_problems(each, offset, length, name, size)
        for (offset, length, each), (after, _, other) in pairwise(sorted(place for place in places if place[1])):
            if after < offset + length:
                yield f"{other}: begins at byte {after}, within {each}: expected byte {offset + length} or behind it"
    says = ioctl >> _SIZE_SHIFT & _SIZE_MASK
    # _IO() says no size.
    if says not in (0, layout["header_size"]):
        yield f"ioctl: {ioctl:#x} is of an argument of {says} bytes: expected header_size, {layout['header_size']}"


def _field_problems(name: str, offset: int, length: int, part: str, size: int) -> Iterator[str]:
    if name == "entries":
        if length not in (0, 8):
            yield f"entries: {length} bytes: expected 8, a pointer to them, or 0: they follow the header"
        elif not length and offset != size:
            yield f"entries: follow the header at byte {offset}: expected at header_size, byte {size}"
    elif name != "padding" and length not in _NUMBER:
        yield f"{name}: {length} bytes: expected {', '.join(map(str, _NUMBER[:-1]))} or {_NUMBER[-1]}"
    if offset + length > size:
        yield f"{name}: ends at byte {offset + length}: expected within {part}, {size} bytes"


def _form(name: str) -> str:
    if name == "ioctl":
        return 'a number of 32 bits above 0, as 1074310729 or "0x4008ae49"'
    return f"a number of bytes, 1 to {_MOST_BYTES}" if name in _SIZES else "[offset, size], numbers of bytes, 0 or more"


def _value(said: object, of_size: bool) -> int | list[int] | None:
    """What a field says, None if it is not of its form."""
    if of_size:
        return said if _natural(said) else None
    return said if isinstance(said, list) and len(said) == 2 and all(map(_natural, said)) else None


def _natural(said: object) -> TypeGuard[int]:
    return isinstance(said, int) and not isinstance(said, bool) and said >= 0


def _ioctl(said: object) -> int | None:
    try:
        number = int(said, 0) if isinstance(said, str) else said
    except ValueError:
        return None
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 1 << 32 else None
