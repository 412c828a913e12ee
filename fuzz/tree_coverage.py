# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree coverage`: which lines of the tree's memslot code no list has reached, as its source with marks.

The listing holds the tree's own text: it is made on the user's machine, and not passed on.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import click

from engines.tree.build import RECORD
from engines.tree.built import Built, built_in, facts_of
from engines.tree.engine import TreeList, TreeSerial
from engines.tree.since_build import changes_since
from engines.tree.source import KVM_MAIN
from engines.tree.source_lines import SourceLines
from fuzz.choices import choices_from_bytes, drawn_choices
from fuzz.cli import NOTHING_NEW, PATH
from fuzz.grammar import case_of
from fuzz.replay import case_paths, read_named
from fuzz.tree_command import tree
from memslots.case import Case
from memslots.errors import BadCase, BadInput

NEVER = "#####"
_CONTEXT = 3
"""Lines around one that was never reached."""


@tree.command()
@click.argument("build", type=PATH)
@click.argument("paths", type=PATH, nargs=-1)
@click.option("--lists", type=click.IntRange(min=0), default=2000, show_default=True, help="So many drawn lists, too.")
@click.option("--seed", type=click.IntRange(min=0), help="Makes them repeat exactly.  [default: drawn]")
@click.option("--whole", is_flag=True, help="Every line of the functions, reached or not.")
def coverage(build: Path, paths: tuple[Path, ...], lists: int, seed: int | None, whole: bool) -> int:
    """Show the lines of BUILD's memslot code that no list has reached: `##### line` in its own source.

    PATHS are case files, folders of them, or of a campaign, whose corpus of atheris is taken, too. BUILD is one with
    --coverage.
    """
    built = built_in(build)
    if not built.sites:
        raise BadInput(f"{build}: counts no basic blocks: expected one that `sameslots tree build --coverage` has made")
    changes = changes_since(built)
    if KVM_MAIN in changes.files:
        raise BadInput(f"{changes.says}; the lines of its source are not those that have run")
    if changes.says:
        click.echo(f"sameslots: {changes.says}", err=True)
    drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    reached = Reached(built)
    reached.try_all(cases_at(paths, built))
    reached.try_all(drawn_cases(Random(drawn), lists, built))
    for line in listing(built, reached, whole=whole):
        click.echo(line)
    if changes.says:
        click.echo(changes.says)
    return NOTHING_NEW


def cases_at(paths: tuple[Path, ...], built: Built) -> Iterator[Case]:
    """The cases of files and campaigns. Raises BadInput."""
    for path in paths:
        found = [each for each in case_paths((path,)) if each.suffix == ".slots"]
        corpus = path / "atheris-corpus"
        inputs = sorted(corpus.iterdir()) if corpus.is_dir() else []
        for each in found or ([] if inputs else [path]):
            yield read_named(each).case
        for each in inputs:
            yield _for(built, case_of(choices_from_bytes(each.read_bytes())))


def drawn_cases(rng: Random, lists: int, built: Built) -> Iterator[Case]:
    """So many cases as a campaign draws them."""
    for _ in range(lists):
        yield _for(built, case_of(drawn_choices(rng)))


def _for(built: Built, case: Case) -> Case:
    return replace(case, machine=replace(built.vm, max_gfn=case.machine.max_gfn))


class Reached:
    """How many cases have run each basic block."""

    def __init__(self, built: Built) -> None:
        self.cases = 0
        self.times = [0] * built.sites
        self._engines: list[TreeList | TreeSerial] = [TreeSerial("tree-serial", built)]
        if built.list_ioctl:
            self._engines.insert(0, TreeList("tree", built))

    def try_all(self, cases: Iterable[Case]) -> None:
        """Apply cases: with the list ioctl where there is one, and one at a time."""
        for case in cases:
            for engine in self._engines:
                try:
                    engine.apply(case)
                except BadCase:
                    continue
                self._count(engine.ran())
            self.cases += 1

    def _count(self, ran: bytes) -> None:
        for i, times in enumerate(ran):
            if times:
                self.times[i] += 1


def listing(built: Built, reached: Reached, *, whole: bool) -> Iterator[str]:
    """The functions of kvm_main.c that updates reach, each with its lines never reached; then how many there are."""
    places = SourceLines(built.library).of_all(offset - 1 for offset in built.site_offsets)
    wanted = set(facts_of(built.folder)["functions"])
    times: dict[str, dict[int, int]] = defaultdict(dict)
    for (function, file, line), n in zip(places, reached.times, strict=True):
        if file == KVM_MAIN and function in wanted and line:
            times[function][line] = max(times[function].get(line, 0), n)
    source = _source_of(built)
    lines = unreached = 0
    for function, of_line in sorted(times.items(), key=lambda item: min(item[1])):
        missed = [line for line, n in of_line.items() if not n]
        lines += len(of_line)
        unreached += len(missed)
        if missed or whole:
            yield f"{function}: {len(of_line) - len(missed)} of {len(of_line)} lines with a basic block reached"
            yield from _marked(source, of_line, missed, whole)
    yield (
        f"{KVM_MAIN}: {lines - unreached} of {lines} lines at which a basic block begins reached, in {len(times)}"
        f" functions, by {reached.cases:,} lists"
    )


def _source_of(built: Built) -> Sequence[str]:
    path = Path(built.tree) / KVM_MAIN
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected the tree of {built.folder / RECORD}") from None


def _marked(source: Sequence[str], of_line: dict[int, int], missed: Sequence[int], whole: bool) -> Iterator[str]:
    """Numbered lines of the source, each with how many cases have reached it, or the mark."""
    first, last = min(of_line), min(max(of_line), len(source))
    shown = set(range(first, last + 1))
    if not whole:
        shown &= {near for line in missed for near in range(line - _CONTEXT, line + _CONTEXT + 1)}
    before = first - 1
    for line in sorted(shown):
        if line != before + 1:
            yield "      ..."
        before = line
        n = of_line.get(line)
        mark = "" if n is None else f"{n}" if n else NEVER
        yield f"{mark:>7} {line:5} {source[line - 1]}".rstrip()
