# SPDX-License-Identifier: GPL-2.0-only
"""A case with what its file says about it: comments and expectations, line by line."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from memslots.case import Case
from memslots.expectation import Expectation
from memslots.machine import DEFAULT_MACHINE, Machine
from memslots.region import Region


class Header(NamedTuple):
    """A `list` line: what the list ioctl's header says where that is not the plain truth."""

    nent: int | None
    header_flags: int


class Fault(NamedTuple):
    """A `fault` line: the n-th of its kind fails, counted from 0."""

    kind: str
    n: int


Content = Machine | Region | Header | Fault | Expectation | None


class Line(NamedTuple):
    """One line: its keyword ("" for none), what it says, and the text behind `#`."""

    keyword: str
    content: Content = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case file. `lines` holds all of it but the first line, `slots 1`."""

    lines: tuple[Line, ...]

    @property
    def case(self) -> Case:
        """The case that the lines describe."""
        machine = DEFAULT_MACHINE
        header = Header(None, 0)
        given: list[Region] = []
        apply: list[Region] = []
        faults: dict[str, int] = {}
        for keyword, content, _ in self.lines:
            if isinstance(content, Machine):
                machine = content
            elif isinstance(content, Header):
                header = content
            elif isinstance(content, Fault):
                faults[content.kind] = content.n
            elif isinstance(content, Region):
                (given if keyword == "given" else apply).append(content)
        nent = None if header.nent == len(apply) else header.nent
        return Case(tuple(apply), tuple(given), machine, nent, header.header_flags, tuple(sorted(faults.items())))

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """The `expect` lines, in order."""
        return tuple(content for keyword, content, _ in self.lines if keyword == "expect" and content)  # type: ignore[misc]  # an expect line holds an Expectation

    @property
    def comment(self) -> str:
        """The comment lines before the first line that says something, without their `#`."""
        text: list[str] = []
        for keyword, _, comment in self.lines:
            if keyword or comment is None:
                break
            text.append(comment.strip())
        return "\n".join(text)


def case_file(case: Case, expectations: Iterable[Expectation] = (), comment: str = "") -> CaseFile:
    """The file of a case that has none yet, with `comment` at its head, one line for each of its lines."""
    lines = [Line("", None, f" {text}".rstrip()) for text in comment.splitlines()]
    if case.machine != DEFAULT_MACHINE:
        lines.append(Line("machine", case.machine))
    lines += [Line("given", region) for region in case.given]
    if case.nent is not None or case.header_flags or not case.apply:
        nent = 0 if case.nent is None and not case.apply else case.nent
        lines.append(Line("list", Header(nent, case.header_flags)))
    lines += [Line("apply", region) for region in case.apply]
    lines += [Line("fault", Fault(kind, n)) for kind, n in case.faults]
    lines += [Line("expect", expectation) for expectation in expectations]
    return CaseFile(tuple(lines))
