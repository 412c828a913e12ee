# SPDX-License-Identifier: GPL-2.0-only
"""The tables of docs/detection.md, and one line a mistake for docs/detection.tsv."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.planting.subjects import Planted
from bench.planting.trials import Found

BEGIN = "<!-- tables: begin (make detection writes what stands from here to the end mark) -->"
END = "<!-- tables: end -->"
NOT_FOUND = "none"


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


def with_tables(page: str, tables: str) -> str:
    """The page with these tables in place of the old ones. Raises NoMarks."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise NoMarks
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def tables(subject: str, rows: Sequence[Row]) -> Iterator[str]:
    """The tables of one engine, line by line."""
    proved = sum(row.proved for row in rows)
    survivors = [row.planted.name for row in rows if row.survives and not row.proved]
    yield f"### {subject}: {len(rows)} mistakes"
    yield ""
    yield f"{len(rows) - proved - len(survivors)} found, {proved} proved equivalent, {len(survivors)} neither."
    yield ""
    backends = list(dict.fromkeys(backend for row in rows for backend in row.found))
    yield "| backend | looked for | found | executions, median | 9 in 10 | most | CPU s, median | 9 in 10 | most |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for backend in backends:
        of_backend = [row.found[backend] for row in rows if backend in row.found and not row.proved]
        found = [each for each in of_backend if each.oracle]
        if found:
            executions = _spread([each.executions for each in found])
            seconds = _spread([each.seconds for each in found])
            yield (
                f"| {backend} | {len(of_backend)} | {len(found)} |"
                + "".join(f" {value:,.0f} |" for value in executions)
                + "".join(f" {value:.3f} |" for value in seconds)
            )
    yield ""
    oracles = Counter(
        (each.oracle.partition(" ")[0], backend) for row in rows for backend, each in row.found.items() if each.oracle
    )
    yield f"| first oracle to notice | {' | '.join(backends)} |"
    yield "|---|" + "---:|" * len(backends)
    for oracle in sorted({oracle for oracle, _ in oracles}, key=lambda oracle: -oracles[oracle, backends[0]]):
        yield f"| {oracle} | {' | '.join(str(oracles[oracle, backend]) for backend in backends)} |"
    yield ""
    yield "| module | mistakes | found | proved | executions (random), median | most |"
    yield "|---|---:|---:|---:|---:|---:|"
    for module in dict.fromkeys(row.planted.module for row in rows):
        own = [row for row in rows if row.planted.module == module]
        answers = [row.found["random"] for row in own if "random" in row.found]
        counts = [answer.executions for answer in answers if answer.oracle]
        median, most = (statistics.median(counts), max(counts)) if counts else (0, 0)
        yield (
            f"| {module} | {len(own)} | {sum(not row.survives and not row.proved for row in own)} |"
            f" {sum(row.proved for row in own)} | {median:,.0f} | {most:,} |"
        )
    yield ""
    for name in survivors:
        yield f"* not found and not proved: `{name}`"


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, the ninth tenth, and the most."""
    in_order = sorted(values)
    return statistics.median(in_order), in_order[(len(in_order) - 1) * 9 // 10], in_order[-1]


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Name, whether proved, and for each backend: first oracle, executions, CPU seconds."""
    for row in rows:
        cells = [row.planted.name, "proved" if row.proved else ""]
        for backend in ("random", "atheris", "enumerate"):
            found = row.found.get(backend)
            if found is None:
                cells += ["", "", ""]
            else:
                cells += [found.oracle or NOT_FOUND, str(found.executions), f"{found.seconds:.4f}"]
        yield "\t".join(cells)
