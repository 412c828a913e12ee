# SPDX-License-Identifier: GPL-2.0-only
"""One call as strace prints it: who made it, when, and what it asked of KVM."""

import errno
import re
from typing import NamedTuple

from fuzz.traces.happening import KVM_MEM_GUEST_MEMFD
from fuzz.traces.recording import Unreadable
from memslots.errors import NotYet
from memslots.region import FIELD_MAXIMA, Region
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY

_HEAD = re.compile(
    r" *(?:\[pid +(\d+)(?:<[^>]*>)?\] +|(\d+)(?:<[^>]*>)? +)?(?:(\d+):(\d\d):(\d\d(?:\.\d+)?) +|(\d+\.\d+) +)?(.*)"
)
_ONE = r"KVM_SET_USER_MEMORY_REGION2?|0x4020ae46|0x40a0ae49|_IOC\(_IOC_WRITE, 0xae, 0x4(?:6, 0x20|9, 0xa0)\)"
_LIST = r"KVM_SET_USER_MEMORY_REGION_LIST|0x4008ae49|_IOC\(_IOC_WRITE, 0xae, 0x49, 0x8\)"
_ASKS = re.compile(rf"ioctl\([^,]*, (?:{_ONE}|{_LIST})(?: or \w+)?(?: /\*.*?\*/)?(?:,|$)")
_REQUEST = re.compile(rf"ioctl\((0x[0-9a-f]+|\d+)(?:<[^,]*>)?, (?:{_ONE}|({_LIST}))(?: or \w+)?, (.*)\) += (.*)")
_CREATE = re.compile(r"ioctl\([^,]*, (?:KVM_CREATE_VM|0xae01|_IOC\(_IOC_NONE, 0xae, 0x1, 0\))\b.*\) += (\d+)")
_CLONE = re.compile(r"(?:clone3?|v?fork)\((.*)\) += (\d+)")
_COMMENT = re.compile(r" ?/\*.*?\*/")
_ANSWER = re.compile(r"(?:(0)|-1 (E[A-Z0-9]+)|(\?))(?: |$)")
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}|\d{1,20}")
_ERRNOS: dict[str | None, int] = {name: number for number, name in errno.errorcode.items()}
_FIELDS = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
_FLAGS = {
    "KVM_MEM_LOG_DIRTY_PAGES": KVM_MEM_LOG_DIRTY_PAGES,
    "KVM_MEM_READONLY": KVM_MEM_READONLY,
    "KVM_MEM_GUEST_MEMFD": KVM_MEM_GUEST_MEMFD,
}
_EXPECTED = f"expected ioctl(FD, KVM_SET_USER_MEMORY_REGION, {{{'=N, '.join(_FIELDS)}=N}}) = 0, or = -1 ERRNO"
_LEAST_CLOCK = 1e8
"""In seconds of the epoch. What says less is strace -r."""


class Call(NamedTuple):
    """A line without its head. `pid` is 0 where strace names none: there is one thread then."""

    pid: int
    seconds: float | None
    text: str
    relative: bool = False
    """Whether its time counts from the line before (strace -r), of which a trimmed recording knows nothing."""


class Request(NamedTuple):
    """What a call asked of the VM behind `fd`. No region: it was refused, and strace could not read it either."""

    fd: int
    region: Region | None
    errno: int | None


def call_of(text: str) -> Call:
    """The line's thread, time and call. Any line has one, if an odd one."""
    found = _HEAD.match(text)
    assert found is not None  # all of it is optional
    bracketed, pid, hours, minutes, seconds, clock, rest = found.groups()
    if hours:
        return Call(int(bracketed or pid or 0), int(hours) * 3600 + int(minutes) * 60 + float(seconds), rest)
    when = float(clock) if clock else None
    return Call(int(bracketed or pid or 0), when, rest, relative=when is not None and when < _LEAST_CLOCK)


def asks(call: str) -> bool:
    """Whether the call is about memory regions, well-formed or not."""
    return _ASKS.match(call) is not None


def request_of(call: Call) -> Request:
    """What a call that `asks` did ask, and the answer. Raises Unreadable, NotYet."""
    if call.relative:
        raise Unreadable("expected a time of day or of the epoch (strace -tt or -ttt, not -r)")
    found = _REQUEST.match(_COMMENT.sub("", call.text))
    answer = _ANSWER.match(found[4]) if found else None
    if not found or not answer:
        raise Unreadable(_EXPECTED)
    fd, in_a_list, argument, _ = found.groups()
    taken, refused, _ = answer.groups()
    errno_seen = 0 if taken else _ERRNOS.get(refused)
    if refused and errno_seen is None:
        raise Unreadable(_EXPECTED)
    if in_a_list and errno_seen == 0:
        raise NotYet("KVM_SET_USER_MEMORY_REGION_LIST, which strace does not decode")
    if not argument.startswith("{"):
        if errno_seen == 0:
            raise Unreadable("expected what the region holds, not its address: strace did not decode it")
        return Request(int(fd, 0), None, errno_seen)
    region = _region(argument)
    if region.flags & KVM_MEM_GUEST_MEMFD and errno_seen == 0:
        raise NotYet("KVM_MEM_GUEST_MEMFD")
    return Request(int(fd, 0), region, errno_seen)


def created_fd(call: str) -> int | None:
    """The descriptor of the VM that the call made, if it made one."""
    found = _CREATE.match(call)
    return int(found[1]) if found else None


def cloned(call: str) -> tuple[int, bool] | None:
    """The thread or process that the call made, if it made one, and whether the two share descriptors."""
    found = _CLONE.match(call)
    return (int(found[2]), "CLONE_FILES" in found[1]) if found else None


def _region(argument: str) -> Region:
    """The region between braces: the five fields, and what REGION2 has behind them, which counts for nothing here."""
    inside, brace, behind = argument[1:].partition("}")
    if not brace or behind:
        raise Unreadable(_EXPECTED)
    words = dict(word.partition("=")[::2] for word in inside.split(", "))
    values: list[int] = []
    for field in _FIELDS:
        text = words.get(field)
        if text is None:
            raise Unreadable(f"{_EXPECTED}: there is no {field}")
        value = _flags(text) if field == "flags" else _number(text)
        if value > FIELD_MAXIMA[field]:
            raise Unreadable(f"{field}: expected 0 to {FIELD_MAXIMA[field]:#x}")
        values.append(value)
    slot, flags, guest_phys_addr, memory_size, userspace_addr = values
    return Region(slot, flags, guest_phys_addr, memory_size, userspace_addr)


def _flags(text: str) -> int:
    value = 0
    for word in text.split("|"):
        value |= _FLAGS[word] if word in _FLAGS else _number(word)
    return value


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Unreadable(_EXPECTED)
    return int(text, 0)
