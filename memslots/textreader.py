# SPDX-License-Identifier: GPL-2.0-only
"""The case text (.slots), read. docs/format.md is the grammar."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from memslots.casefile import CaseFile, Content, Fault, Header, Line
from memslots.errors import BadCase, BadInput, BadLine, NotYet
from memslots.textwords import Expected, content_of
from memslots.textwriter import FIRST_LINE

MAX_LINE_BYTES = 4096
MAX_LINES = 200_000
MAX_BYTES = 64 << 20

_ORDER = ("machine", "given", "list", "apply", "fault", "expect")
_LATER = ("then", "dirty", "schedule")
_ONCE = ("machine", "list")
_WORD = re.compile(r"[^ \t]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def read_case(path: Path) -> CaseFile:
    """The case file at `path`. Raises BadInput with path, line number, line and what was expected."""
    try:
        with path.open("rb") as stream:
            return parse_case(_lines_of(stream, str(path)), str(path))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a case file (.slots)") from None


def parse_case(lines: Iterable[str], path: str = "<text>") -> CaseFile:
    """The case file that `lines` make up; `path` is what errors name. Raises BadInput."""
    parsed: list[Line] = []
    reached = 0
    seen: set[str] = set()
    lineno = 0
    for lineno, line in enumerate(lines, 1):
        try:
            if lineno == 1:
                if _WORD.findall(line) != FIRST_LINE.split():
                    raise Expected(f"expected {FIRST_LINE!r} as the first line")
                continue
            keyword, rest, comment = _split(line)
            content: Content = None
            if keyword:
                step = _step_of(keyword)
                if step < reached:
                    raise Expected(f"{keyword!r} stands before the first {_ORDER[reached]!r}")
                if keyword in _ONCE and keyword in seen:
                    raise Expected(f"expected one {keyword!r} line")
                reached = step
                content = content_of(keyword, rest)
                if isinstance(content, Fault):
                    keyword_seen = f"fault {content.kind}"
                    if keyword_seen in seen:
                        raise Expected(f"expected one fault of the kind {content.kind!r}")
                    seen.add(keyword_seen)
                seen.add(keyword)
            parsed.append(Line(keyword, content, comment))
        except (Expected, BadCase, NotYet) as error:
            raise BadLine(path, lineno, line, str(error)) from None
    if lineno == 0:
        raise BadInput(f"{path}: empty: expected {FIRST_LINE!r} as the first line")
    if "apply" not in seen and not _says_nent(parsed):
        raise BadInput(f"{path}: no list: expected an 'apply' line, or 'list nent=N' for a list without entries")
    return CaseFile(tuple(parsed))


def _says_nent(lines: list[Line]) -> bool:
    return any(isinstance(line.content, Header) and line.content.nent is not None for line in lines)


def _lines_of(stream: BinaryIO, path: str) -> Iterator[str]:
    """The lines of a file, each at most MAX_LINE_BYTES long, in memory one at a time."""
    lineno = 0
    size = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        lineno += 1
        size += len(raw)
        if size > MAX_BYTES:
            raise BadLine(path, lineno, "", f"expected at most {MAX_BYTES} bytes a file")
        if len(raw) > MAX_LINE_BYTES:
            raise BadLine(path, lineno, raw[:60].decode("latin-1"), f"expected at most {MAX_LINE_BYTES} bytes a line")
        if lineno > MAX_LINES:
            raise BadLine(path, lineno, "", f"expected at most {MAX_LINES} lines")
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            raise BadLine(path, lineno, raw[:60].decode("latin-1"), "expected UTF-8") from None
        line = line.removesuffix("\n").removesuffix("\r")
        if _CONTROL.search(line):
            raise BadLine(path, lineno, line, "expected text, found a control character")
        yield line


def _split(line: str) -> tuple[str, list[str], str | None]:
    """The keyword, the words behind it, and the comment."""
    text, mark, comment = line.partition("#")
    words = _WORD.findall(text)
    return (words[0] if words else "", words[1:], comment.rstrip(" \t") if mark else None)


def _step_of(keyword: str) -> int:
    if keyword in _LATER:
        raise NotYet(repr(keyword))
    if keyword not in _ORDER:
        raise Expected(f"unknown keyword {keyword!r}, expected one of {', '.join(_ORDER)}")
    return _ORDER.index(keyword)
