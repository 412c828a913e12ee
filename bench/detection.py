# SPDX-License-Identifier: GPL-2.0-only
"""How soon the oracles notice each mistake that can be planted in the engines by rule.

Run as a module: python -m bench.detection. What is done is kept in a folder, so it may be interrupted and goes on from
there; the tables of docs/detection.md and docs/detection.tsv are written from all that is there in the end.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from bench.detection_tables import HEAD, Row, lines, tables, with_tables
from bench.planting.hunts import EXECUTIONS, SEED, Atheris, Listed, atheris, enumerated, random
from bench.planting.notebook import HOUSE, Notebook, source
from bench.planting.side_by_side import side_by_side
from bench.planting.subjects import SUBJECTS, Planted, planted
from bench.planting.survivors import survivors
from bench.planting.trials import Found
from fuzz.progress import Progress

PAGE = HOUSE / "docs" / "detection.md"
LINES = HOUSE / "docs" / "detection.tsv"
BACKENDS: dict[str, Callable[[str], Listed | Atheris]] = {
    "random": random,
    "atheris": atheris,
    "enumerate": enumerated,
}
INTERRUPTED = 130


def main() -> int:
    """Look for what is not looked for yet, then write the page. 1 if a mistake is neither found nor proved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=list(SUBJECTS), action="append")
    parser.add_argument("--backend", choices=list(BACKENDS), action="append")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=HOUSE / "findings" / "detection")
    options = parser.parse_args()
    notebook = Notebook(options.out / "found.jsonl", {"source": source(), "seed": SEED, "executions": EXECUTIONS})
    proved = {survivor.name for survivor in survivors(PAGE.read_text())}
    for subject in options.engine or SUBJECTS:
        every = list(planted(subject))
        for backend in options.backend or BACKENDS:
            try:
                _look(subject, backend, every, proved, notebook, options.processes)
            except KeyboardInterrupt:
                print(f"interrupted; {options.out} goes on where it was", file=sys.stderr)
                return INTERRUPTED
    return _write(notebook, proved)


def _look(
    subject: str, backend: str, every: list[Planted], proved: set[str], notebook: Notebook, processes: int
) -> None:
    """Look for all mistakes of an engine that are not in the notebook yet."""
    left = [each for each in every if notebook.get(backend, each.name) is None]
    if not left:
        return
    hunter = BACKENDS[backend](subject)
    with Progress("detection", engine=subject, backend=backend, mistakes=len(every), left=len(left)) as progress:
        hunter.prepare(left)
        tasks = [
            (each, hunter.most_of_proved if each.mutant.proof or each.name in proved else hunter.most) for each in left
        ]
        found: Found
        for done, ((each, _), found) in enumerate(side_by_side(tasks, hunter.hunt, processes), 1):
            notebook.add(backend, each.name, found)
            progress.tick(
                f"{subject}, {backend}: {done:,} of {len(left):,} mistakes   {each.name[:60]}",
                engine=subject,
                backend=backend,
                done=done,
                of=len(left),
            )


def _write(notebook: Notebook, proved: set[str]) -> int:
    """Write the page and the lines. 1 if a mistake is neither found nor proved, or both."""
    rows = {subject: _rows(subject, notebook, proved) for subject in SUBJECTS}
    known = {subject: of_subject for subject, of_subject in rows.items() if any(row.found for row in of_subject)}
    PAGE.write_text(with_tables(PAGE.read_text(), "\n".join(tables(known))))
    LINES.write_text("\n".join([HEAD, *(line for of_subject in known.values() for line in lines(of_subject))]) + "\n")
    every = [row for of_subject in known.values() for row in of_subject]
    neither = [row.planted for row in every if row.survives and not row.proved]
    both = [row.planted for row in every if row.proved and row.found and not row.survives]
    for each in neither:
        print(f"neither found nor proved: {each.mutant.where}, {each.name}")
    for each in both:
        print(f"proved, and found: {each.mutant.where}, {each.name}")
    return 1 if neither or both else 0


def _rows(subject: str, notebook: Notebook, proved: set[str]) -> list[Row]:
    rows = []
    for each in planted(subject):
        found = {name: answer for name in BACKENDS if (answer := notebook.get(name, each.name)) is not None}
        rows.append(Row(each, bool(each.mutant.proof) or each.name in proved, found))
    return rows


if __name__ == "__main__":
    sys.exit(main())
