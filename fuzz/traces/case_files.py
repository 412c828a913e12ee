# SPDX-License-Identifier: GPL-2.0-only
"""The folder that an import writes: a case file for each distinct list, which says where the list comes from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from engines.catalogue import engine_named
from fuzz.replay import expectations_of
from fuzz.traces.gestures import gesture_of
from fuzz.traces.standing import Entry
from fuzz.traces.transactions import MOST_UPDATES
from fuzz.trial import Trial
from memslots.case import Case
from memslots.casefile import CaseFile, Line, case_file
from memslots.errors import BadInput, on_one_line
from memslots.machine import Machine
from memslots.region import Region
from memslots.textreader import read_case
from memslots.textwriter import text_of

_MOST_NAMED = 8


@dataclass(slots=True)
class _Written:
    """A list that was written, and where it was sent again."""

    path: Path
    times: int = 1
    lines: list[int] = field(default_factory=list)


class CaseFiles:
    """Lists, written as they come, into a folder that is made for the first of them.

    Raises BadInput if the folder holds case files already, or cannot be written.
    """

    def __init__(self, folder: Path, recording: Path, machine: Machine) -> None:
        self.folder = folder
        self._recording = on_one_line(recording.name)
        self._stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in recording.stem)
        self._machine = machine
        self._trial = Trial(engine_named("serial"), engine_named("rfc-v1"))
        self._known: dict[bytes, _Written] = {}
        self._first: float | None = None
        try:
            if any(folder.glob("*.slots")):
                raise BadInput(f"{folder}: there are case files in it already: expected a new folder, or an empty one")
        except OSError as error:
            raise self._unusable(error) from None

    @property
    def distinct(self) -> int:
        """How many files there are."""
        return len(self._known)

    def add(self, given: Sequence[Region], entries: Sequence[Entry], notes: Sequence[str]) -> None:
        """Write a list, or count one that is there already. `notes` are further lines of its comment."""
        seconds = entries[0].update.seconds
        if self._first is None:
            self._first = seconds
        case = Case(tuple(entry.region for entry in entries), tuple(given), self._machine)
        digest = blake2b(text_of(case_file(case)).encode(), digest_size=16).digest()
        known = self._known.get(digest)
        if known is not None:
            known.times += 1
            if len(known.lines) < _MOST_NAMED:
                known.lines.append(entries[0].update.lineno)
            return
        gesture = gesture_of(entries)
        comment = [gesture.sentence, self._source(entries), *notes]
        file = case_file(case, expectations_of(self._trial, case, self._trial.verdict(case)), "\n".join(comment))
        path = self.folder / f"{self._stem}-{len(self._known) + 1:03}-{gesture.word}.slots"
        self._write(path, _with_answers(file, entries))
        self._known[digest] = _Written(path)

    def finish(self) -> None:
        """Say in the files of lists that were sent more than once how often, and where."""
        for known in self._known.values():
            if known.times == 1:
                continue
            more = ", ".join(map(str, known.lines)) + (", ..." if known.times - 1 > len(known.lines) else "")
            plural = "s" if known.times > 2 else ""
            told = Line("", None, f" Sent {known.times} times in all, again from line{plural} {more}.")
            lines = read_case(known.path).lines
            self._write(known.path, CaseFile((*lines[:2], told, *lines[2:])))

    def _source(self, entries: Sequence[Entry]) -> str:
        first, last = entries[0].update, entries[-1].update
        low = min(entry.update.lineno for entry in entries)
        high = max(entry.update.lineno for entry in entries)
        where = f"line {low}" if low == high else f"lines {low} to {high}"
        text = f"{self._recording}, {where}"
        if first.seconds is not None and self._first is not None:
            text += f", {first.seconds - self._first:.3f} s after the first update"
            if last is not first and last.seconds is not None:
                text += f", within {(last.seconds - first.seconds) * 1000:.1f} ms"
        cut = ", cut there" if len(entries) >= MOST_UPDATES else ""
        return f"{text}{cut}."

    def _write(self, path: Path, file: CaseFile) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text_of(file))
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> BadInput:
        return BadInput(f"{self.folder}: {error.strerror}: expected a folder to write case files to")


def _with_answers(file: CaseFile, entries: Sequence[Entry]) -> CaseFile:
    """The file, with what the recorded kernel answered behind each entry that it refused."""
    lines: list[Line] = []
    left = iter(entries)
    for line in file.lines:
        answer = next(left).answer if line.keyword == "apply" else None
        lines.append(line if answer is None else line._replace(comment=f" {answer}"))
    return CaseFile(tuple(lines))
