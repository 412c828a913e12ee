# SPDX-License-Identifier: GPL-2.0-only
"""The words of one line of case text, made into what they say."""

import re
from errno import errorcode

from memslots.case import FAULT_KINDS
from memslots.casefile import Content, Fault, Header
from memslots.errors import BadCase
from memslots.expectation import ActiveSlot, Agreement, Ending, Expectation, MismatchExpected
from memslots.machine import machine_of
from memslots.region import FIELD_MAXIMA, NO_PADDING, Region
from memslots.slot import Gfn, Slot
from memslots.uapi import FLAG_NAMES, PADDING_BYTES, U16, U32, U64

_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,32}|[0-9]{1,32}")
_REGION_KEYS = {
    "slot": "slot",
    "flags": "flags",
    "gpa": "guest_phys_addr",
    "size": "memory_size",
    "hva": "userspace_addr",
    "invalidate_slot": "invalidate_slot",
    "padding": "padding",
}
_ACTIVE_KEYS = ("slot", "base_gfn", "npages", "hva", "flags")
ORACLES = ("final_slots", "error_codes", "invariants", "balance", "survival", "visibility")
_KINDS = ("null-dereference", "bug", "use-after-free", "unresolved-helper")
_ERRNOS = frozenset(errorcode.values())


class Expected(Exception):
    """What a line should have held; becomes a BadLine, which knows where."""


def content_of(keyword: str, words: list[str]) -> Content:
    """What the words behind `keyword` say. Raises Expected or BadCase."""
    match keyword:
        case "machine":
            return _machine(words)
        case "list":
            pairs = _pairs(words, ("nent", "header_flags"))
            if not pairs:
                raise Expected("expected nent=N or header_flags=N")
            nent = _number("nent", pairs["nent"], U32) if "nent" in pairs else None
            return Header(nent, _number("header_flags", pairs.get("header_flags", "0"), U32))
        case "fault":
            pairs = _pairs(words, tuple(FAULT_KINDS))
            if len(pairs) != 1:
                raise Expected(f"expected one KIND=N, KIND one of {', '.join(FAULT_KINDS)}")
            [(kind, text)] = pairs.items()
            return Fault(kind, _number(kind, text, U32))
        case "expect":
            return _expectation(words)
        case _:
            return _region(words)


def _machine(words: list[str]) -> Content:
    if not words:
        raise Expected("expected a profile")
    overrides = {key: _number(key, text, U64) for key, text in _any_pairs(words[1:]).items()}
    return machine_of(words[0], overrides)


def _any_pairs(words: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, mark, text = word.partition("=")
        if not mark:
            raise Expected(f"{word!r}: expected key=value")
        if key in pairs:
            raise Expected(f"expected {key!r} once")
        pairs[key] = text
    return pairs


def _pairs(words: list[str], known: tuple[str, ...]) -> dict[str, str]:
    pairs = _any_pairs(words)
    for key in pairs:
        if key not in known:
            raise Expected(f"unknown key {key!r}, expected one of {', '.join(known)}")
    return pairs


def _number(key: str, text: str, most: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise Expected(f"{key}: expected a number, decimal or 0x")
    value = int(text, 0) if text.startswith("0x") else int(text)
    if value > most:
        raise Expected(f"{key}: expected 0 to {most:#x}")
    return value


def _flags(text: str) -> int:
    flags = 0
    for name in text.split("|"):
        if name not in FLAG_NAMES and not name[:1].isdigit():
            names = ", ".join(FLAG_NAMES)
            raise Expected(f"flags: no such name, expected a number, or names of {names} with | between them")
        flags |= FLAG_NAMES[name] if name in FLAG_NAMES else _number("flags", name, U32)
    return flags


def _slot_number(text: str) -> int:
    as_id, mark, slot_id = text.partition(":")
    if not mark:
        return _number("slot", text, U32)
    return _number("slot's address space", as_id, U16) << 16 | _number("slot's id", slot_id, U16)


def _region(words: list[str]) -> Region:
    words = ["invalidate_slot=1" if word == "invalidate" else word for word in words]
    values: dict[str, int] = {}
    padding = NO_PADDING
    for key, text in _pairs(words, tuple(_REGION_KEYS)).items():
        field = _REGION_KEYS[key]
        if key == "slot":
            values[field] = _slot_number(text)
        elif key == "flags":
            values[field] = _flags(text)
        elif key == "padding":
            padding = padding_of(text)
        else:
            values[field] = _number(key, text, FIELD_MAXIMA[field])
    if "slot" not in values:
        raise Expected("expected slot=N")
    return Region(**values, padding=padding)


def padding_of(text: str, where: str = "padding") -> bytes:
    """31 bytes from hexadecimal digits, zeros behind what is given. Raises BadCase."""
    if not re.fullmatch(r"([0-9a-fA-F]{2}){1,31}", text):
        raise BadCase(f"{where}: expected 2 to 62 hexadecimal digits, two a byte")
    return bytes.fromhex(text).ljust(PADDING_BYTES, b"\0")


def _expectation(words: list[str]) -> Expectation:
    match words:
        case [engine, "ok"]:
            return Ending(engine, "ok")
        case [engine, "refused", errno] if errno in _ERRNOS:
            return Ending(engine, "refused", errno)
        case [engine, "refused", errno, "at", index] if errno in _ERRNOS:
            return Ending(engine, "refused", errno, _number("at", index, U32))
        case [engine, "returned", "1"]:
            return Ending(engine, "returned-1")
        case [engine, "hung" | "looped" as how]:
            return Ending(engine, how)
        case [engine, "crashed"]:
            return Ending(engine, "crashed")
        case [engine, "crashed", kind] if kind in _KINDS:
            return Ending(engine, "crashed", kind=kind)
        case [engine, "agrees"]:
            return Agreement(engine)
        case [engine, "active", "none"]:
            return ActiveSlot(engine, None)
        case [engine, "active", *rest]:
            return ActiveSlot(engine, _active_slot(rest))
        case [engine, oracle, *rest] if oracle in ORACLES and rest:
            return MismatchExpected(engine, " ".join([oracle, *rest]))
    raise Expected(
        "expected ENGINE and one of: ok; refused ERRNO [at K]; returned 1; hung; looped;"
        f" crashed [{'|'.join(_KINDS)}]; agrees; active ...; {'|'.join(ORACLES)} ..."
    )


def _active_slot(words: list[str]) -> Slot:
    pairs = _pairs(words, _ACTIVE_KEYS)
    missing = [key for key in _ACTIVE_KEYS[:-1] if key not in pairs]
    if missing:
        raise Expected(f"expected {missing[0]}=N")
    slot = _slot_number(pairs["slot"])
    return Slot(
        slot >> 16,
        slot & U16,
        Gfn(_number("base_gfn", pairs["base_gfn"], U64)),
        _number("npages", pairs["npages"], U64),
        _number("hva", pairs["hva"], U64),
        _flags(pairs.get("flags", "0")),
    )
