# SPDX-License-Identifier: GPL-2.0-only
"""What a tree's code calls where it deals with an ioctl, whatever its handler is called: read off its text."""

import re
from collections.abc import Iterable

SINGLE = ("KVM_SET_USER_MEMORY_REGION", "KVM_SET_USER_MEMORY_REGION2")
"""The ioctls that set one region."""
_NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
_DEFINES = re.compile(r"(?m)^[ \t]*#[^\n]*$")
_STOP = re.compile(r"[{};]|\bcase\b|\bdefault\s*:")
_CALL = re.compile(r"\b([a-zA-Z_]\w*)\s*\(")


def called_for(text: str, ioctls: Iterable[str]) -> set[str]:
    """The names in front of brackets wherever one of these constants is dealt with, within inline functions, too.

    Not all are functions: `sizeof` is one of them.
    """
    code = _DEFINES.sub("", _NOISE.sub(" ", text.replace("\\\n", " ")))
    found: set[str] = set()
    for ioctl in ioctls:
        for mention in re.finditer(rf"(\bcase\s+)?\b{ioctl}\b", code):
            found |= _called_in(code[mention.end() : _end(code, mention.end(), labelled=bool(mention[1]))])
    todo = list(found)
    while todo:
        inner = _inlined(code, todo.pop()) - found
        found |= inner
        todo += inner
    return found


def _end(code: str, begin: int, *, labelled: bool) -> int:
    """Where it has been dealt with: behind a case label, at the next one; else, at the end of the statement."""
    depth, statements, last = 0, False, ""
    for stop in _STOP.finditer(code, begin):
        what = stop[0]
        if what == "{":
            depth += 1
        elif what == "}":
            depth -= 1
            if depth < 0 or not (labelled or depth):
                return stop.end()
        elif what == ";":
            statements = True
            last = code[max(begin, code.rfind(";", begin, stop.start())) : stop.start()]
            if not (labelled or depth):
                return stop.end()
        elif labelled and not depth and statements and "fallthrough" not in last:
            return stop.start()
    return len(code)


def _called_in(code: str) -> set[str]:
    return set(_CALL.findall(code))


def _inlined(code: str, name: str) -> set[str]:
    """What an inline function calls: it may be no function of its own when it is compiled."""
    head = re.search(rf"\b\w*inline\b[^;{{}}]*\b{name}\s*\([^;{{}}]*\)\s*\{{", code)
    return _called_in(code[head.end() : code.find("\n}", head.end())]) if head else set()
