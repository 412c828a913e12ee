# SPDX-License-Identifier: GPL-2.0-only
"""A document of a few sections: as plain text for a mail, and as Markdown."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from memslots.errors import on_one_line
from reports.wrapped import wrapped

COLUMNS = 72
"""Columns of a mail to the list."""
INNER = COLUMNS - 2
"""Columns of lines that are shown as they are, which stand indented."""
_MARKUP = re.compile(r"([\\`*_<>\[\]#|])")


class Section(NamedTuple):
    """A heading; paragraphs, which are wrapped; and behind them lines, which are shown as they are, and files."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Document(NamedTuple):
    """The subject, which is one line, what there is to say, and the file of a picture, if one goes with it."""

    subject: str
    sections: tuple[Section, ...]
    picture: str = ""


def as_text(document: Document) -> str:
    """The document as a mail: `Subject:`, then the sections, in 72 columns where no word alone is longer."""
    return "\n".join([f"Subject: {document.subject}", *_text_lines(document)]) + "\n"


def as_markdown(document: Document) -> str:
    """The document as Markdown; what is shown as it is stands in fenced blocks."""
    lines = [f"# {_quoted(document.subject)}"]
    picture = [f"![memory map]({_target(document.picture)})"] if document.picture else []
    for section in document.sections:
        if section.heading:
            if picture:
                lines += ["", picture.pop()]
            lines += ["", f"## {_quoted(section.heading)}"]
        for paragraph in section.paragraphs:
            lines += ["", *wrapped(_quoted(_plain(paragraph)), 100)]
        if section.lines:
            fence = "`" * (1 + max((len(run) for run in re.findall("`+", "\n".join(section.lines))), default=2))
            lines += ["", f"{fence}text", *map(_plain, section.lines), fence]
        if section.files:
            lines += ["", *(f"- [{_quoted(_plain(file))}]({_target(file)})" for file in section.files)]
    return "\n".join(lines) + "\n"


def _text_lines(document: Document) -> Iterator[str]:
    for section in document.sections:
        if section.heading:
            yield ""
            yield f"{section.heading}:"
        for n, paragraph in enumerate(section.paragraphs):
            if n or not section.heading:
                yield ""
            yield from wrapped(_plain(paragraph), COLUMNS)
        if section.lines and section.paragraphs:
            yield ""
        yield from (f"  {_plain(line)}".rstrip() for line in (*section.lines, *section.files))


def _plain(text: str) -> str:
    """The text with what does not print spelt out."""
    return on_one_line(text, len(text) * 10 + 1)


def _target(file: str) -> str:
    """A file name as the target of a link, whatever it is made of."""
    return quote(file, errors="surrogateescape")


def _quoted(text: str) -> str:
    """The text with nothing in it that Markdown would heed."""
    return _MARKUP.sub(r"\\\1", text)
