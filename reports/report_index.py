# SPDX-License-Identifier: GPL-2.0-only
"""What stands in a folder of reports: a line a report, those of one subject together."""

from collections.abc import Sequence
from typing import NamedTuple

from reports.document import Document, Section


class Entry(NamedTuple):
    """One report: the file, its subject, and the smallest measure of its list, the number of its entries."""

    file: str
    subject: str
    entries: int


def index_of(title: str, entries: Sequence[Entry], agreeing: int, unread: int) -> Document:
    """The index: subjects in alphabetical order, below each its reports, short lists first."""
    counted = f"{len(entries)} report{'' if len(entries) == 1 else 's'}"
    rest = [f"{agreeing} {'case' if agreeing == 1 else 'cases'} without a mismatch"] if agreeing else []
    rest += [f"{unread} that could not be read"] if unread else []
    by_subject: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.subject, entry.entries, entry.file)):
        by_subject.setdefault(entry.subject, []).append(entry)
    sections = [Section("", (f"{counted}; {', '.join(rest)}." if rest else f"{counted}.",))]
    for subject, members in by_subject.items():
        sections.append(Section(subject, files=tuple(entry.file for entry in members)))
    return Document(title, tuple(sections))
