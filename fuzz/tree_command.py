# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree`: a kernel tree's own memslot code as an engine."""

from pathlib import Path

import click

from engines.tree.build import Build, built, default_folder
from engines.tree.built import built_in
from engines.tree.flags import Options
from engines.tree.tools import Unbuildable
from fuzz.checked_aloud import check_aloud
from fuzz.cli import MISMATCH, NOTHING_NEW, PATH, cli
from memslots.errors import BadInput


@cli.group()
def tree() -> None:
    """Compile a kernel tree's memslot code for user space, and fuzz it without booting it."""


@tree.command()
@click.argument("path", type=PATH)
@click.option("--out", type=PATH, metavar="DIR", help="Where the library goes; build/trees/NAME if left out.")
@click.option("--asan", is_flag=True, help="With AddressSanitizer, and parts of UBSan.")
@click.option("--coverage", is_flag=True, help="With a counter in every basic block.")
@click.option("--x86", is_flag=True, help="With x86's own prepare and free_memslot, which allocate.")
@click.option("--layout", type=PATH, metavar="FILE", help="What the list ioctl is like, as docs/tree.md says.")
def build(path: Path, out: Path | None, asan: bool, coverage: bool, x86: bool, layout: Path | None) -> int:
    """Make a library of the memslot code of the Linux source tree at PATH, which is only read.

    Then `--engine tree:DIR` is the tree's own code. Needs gcc or clang, binutils and kconfiglib; no kernel is built.
    """
    options = Options(asan=asan, coverage=coverage, x86=x86)
    folder = out or default_folder(path, options)
    try:
        made = built(path, folder, options, layout)
    except Unbuildable as failure:
        for line in failure.lines if len(failure.lines) > 1 else ():
            click.echo(line, err=True)
        raise
    except OSError as error:
        raise BadInput(f"{error.filename or folder}: {error.strerror}: the tree cannot be built") from None
    for line in summary(made):
        click.echo(line)
    return checked_before(made) if made.record["checked"] else check_aloud(built_in(folder))


def checked_before(made: Build) -> int:
    """What the model check has found when this very library was made: an exit code."""
    checked = made.record["checked"]
    assert isinstance(checked, dict)
    if not checked["difference"]:
        return NOTHING_NEW
    click.echo("It does not agree with serial, as the model check has found when it was made:")
    click.echo(checked["difference"]["case"].rstrip())
    return MISMATCH


def summary(made: Build) -> list[str]:
    """What a developer should know of a library before it is used."""
    record = made.record
    state = "nothing has changed" if made.fresh else f"{len(made.functions)} functions of updates and what they call"
    listed = f"list ioctl {made.list_ioctl:#x}" if made.list_ioctl else "no list ioctl"
    lines = [f"{made.folder}: Linux {record['release']}, {listed}; {state}"]
    lines += made.list_says
    lines += [f"Kconfig: {wish}" for wish in made.unmet]
    if made.unresolved:
        lines.append("Unknown to the shims, and called by the memslot code; a case that gets there ends with its name:")
        lines += [f"  {name}: {', '.join(places)}" for name, places in sorted(made.unresolved.items())]
    if made.returns_zero:
        lines.append("Does nothing here and returns 0, which may be wrong:")
        lines += [f"  {name}: {', '.join(places)}" for name, places in sorted(made.returns_zero.items())]
    if made.blank:
        lines.append(f"Read by the memslot code, and zeros here: {', '.join(made.blank)}")
    return lines
