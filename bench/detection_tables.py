# SPDX-License-Identifier: GPL-2.0-only
"""The tables of docs/detection.md, and one line a mistake for docs/detection.tsv."""

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.planting.subjects import Planted
from bench.planting.trials import Found

BEGIN = "<!-- tables: begin (make detection writes what stands from here to the end mark) -->"
END = "<!-- tables: end -->"
NOT_FOUND = "none"
BACKENDS = ("random", "atheris", "enumerate")
HEAD = "\t".join(
    ["mistake", "proved", *(f"{name}{what}" for name in BACKENDS for what in ("", " executions", " CPU s"))]
)
"""The first line of docs/detection.tsv."""

_KINDS = (
    ("rollback step, ", "rollback step skipped"),
    ("unlock", "unlock removed"),
    ("lock", "lock removed"),
    ("free", "free removed"),
    ("publication", "publication removed"),
    ("answer of check", "answer of a check ignored"),
    ("checks", "two checks or operands swapped"),
    ("operands", "two checks or operands swapped"),
    ("check", "check or operand dropped"),
    ("operand", "check or operand dropped"),
)
_STATEMENT = "another statement dropped"
_ENDINGS = (
    ("negated", "test negated"),
    ("without its not", "test negated"),
    ("one more", "bound off by one"),
    ("one less", "bound off by one"),
    ("index", "active and inactive swapped"),
    ("active", "active and inactive swapped"),
    ("dropped", _STATEMENT),
)


class NoMarks(Exception):
    """The page has no place for tables."""


class Row(NamedTuple):
    """A mistake, and what each backend made of it that looked for it."""

    planted: Planted
    proved: bool
    found: Mapping[str, Found]

    @property
    def survives(self) -> bool:
        """Whether it was looked for, and no backend has found it."""
        return bool(self.found) and not any(found.oracle for found in self.found.values())

    @property
    def kind(self) -> str:
        """The rule that made it, in the words of the table: `test negated`."""
        what = re.sub(r" \(\d+\)$", "", self.planted.mutant.name.partition(": ")[2])
        begun = next((kind for begin, kind in _KINDS if what.startswith(f"{begin.strip()} ")), "")
        return begun or next(kind for end, kind in _ENDINGS if what.endswith(end))


def with_tables(page: str, tables: str) -> str:
    """The page with these tables in place of the old ones. Raises NoMarks."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise NoMarks
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def tables(known: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """All tables, line by line, of the engines that were looked at."""
    yield from _summary(known)
    every = [row for rows in known.values() for row in rows]
    yield from _counted("mistake", {kind: [row for row in every if row.kind == kind] for kind in _kinds(every)})
    yield from _oracles(every)
    for subject, rows in known.items():
        modules = dict.fromkeys(row.planted.module for row in rows)
        yield from _counted(
            f"module of `{subject}`",
            {module: [row for row in rows if row.planted.module == module] for module in modules},
        )
    for row in every:
        if row.survives and not row.proved:
            yield f"* not found and not proved: `{row.planted.name}`"


def _kinds(rows: Sequence[Row]) -> list[str]:
    times = Counter(row.kind for row in rows)
    return sorted(times, key=lambda kind: (kind == _STATEMENT, -times[kind]))


def _summary(known: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    for subject, rows in known.items():
        proved = sum(row.proved for row in rows)
        neither = sum(row.survives and not row.proved for row in rows)
        yield (
            f"* `{subject}`: {len(rows)} mistakes; {len(rows) - proved - neither} found, {proved} proved equivalent,"
            f" {neither} neither."
        )
    yield ""
    yield "| engine | backend | tried | found | executions: median | 9 in 10 | most | CPU s: median | 9 in 10 | most |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    every = [row for rows in known.values() for row in rows]
    for subject, rows in {**known, "both": every}.items():
        for backend in BACKENDS:
            asked = [row.found[backend] for row in rows if backend in row.found and not row.proved]
            found = [each for each in asked if each.oracle]
            quiet = [each for each in found if not each.oracle.startswith("survival")]
            yield from _spreads(f"| {subject} | {backend} | {len(asked):,} | {len(found):,} |", found)
            yield from _spreads(f"| {subject} | {backend}, not by survival | | {len(quiet):,} |", quiet)
    yield ""


def _spreads(cells: str, found: Sequence[Found]) -> Iterator[str]:
    if found:
        executions = _spread([each.executions for each in found])
        seconds = _spread([each.seconds for each in found])
        counted, timed = (f" {value:,.0f} |" for value in executions), (f" {value:.3f} |" for value in seconds)
        yield f"{cells}{''.join(counted)}{''.join(timed)}"


def _counted(of: str, groups: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """How many of each group there are, what became of them, and the executions that each backend took."""
    yield f"| {of} | planted | found | proved | executions, median: {' | '.join(BACKENDS)} | most, random |"
    yield "|---|" + "---:|" * (4 + len(BACKENDS))
    for name, rows in groups.items():
        counts = {
            backend: [
                row.found[backend].executions
                for row in rows
                if not row.proved and backend in row.found and row.found[backend].oracle
            ]
            for backend in BACKENDS
        }
        medians = [f"{statistics.median(each):,.0f}" if each else "" for each in counts.values()]
        most = f"{max(counts['random']):,}" if counts["random"] else ""
        found = sum(not row.survives and not row.proved for row in rows)
        proved = sum(row.proved for row in rows)
        yield f"| {name} | {len(rows)} | {found} | {proved} | {' | '.join(medians)} | {most} |"
    yield ""


def _oracles(rows: Sequence[Row]) -> Iterator[str]:
    """Which oracle was the first to notice, how often."""
    oracles = Counter(
        (each.oracle.partition(" ")[0], backend) for row in rows for backend, each in row.found.items() if each.oracle
    )
    yield f"| first oracle to notice | {' | '.join(BACKENDS)} |"
    yield "|---|" + "---:|" * len(BACKENDS)
    for oracle in sorted({oracle for oracle, _ in oracles}, key=lambda oracle: -oracles[oracle, BACKENDS[0]]):
        yield f"| {oracle} | {' | '.join(str(oracles[oracle, backend]) for backend in BACKENDS)} |"
    yield ""


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, the ninth tenth, and the most."""
    in_order = sorted(values)
    return statistics.median(in_order), in_order[(len(in_order) - 1) * 9 // 10], in_order[-1]


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Name, whether proved, and for each backend: first oracle, executions, CPU seconds."""
    for row in rows:
        cells = [row.planted.name, "proved" if row.proved else ""]
        for backend in BACKENDS:
            found = row.found.get(backend)
            if found is None:
                cells += ["", "", ""]
            else:
                cells += [found.oracle or NOT_FOUND, str(found.executions), f"{found.seconds:.4f}"]
        yield "\t".join(cells)
