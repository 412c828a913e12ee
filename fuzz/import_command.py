# SPDX-License-Identifier: GPL-2.0-only
"""The command that makes case files of what a real VMM sent: import."""

import math
from pathlib import Path

import click

from fuzz.cli import MISMATCH, NOTHING_NEW, PATH, cli
from fuzz.traces.importer import READERS, Wishes, import_recording
from fuzz.traces.qemu_trace import MARKERS
from fuzz.traces.transactions import DEFAULT_GAP, Splitting
from memslots.errors import BadCase
from memslots.machine import DEFAULT_MACHINE, PROFILES, machine_of

_MOST_SAID = 10


@cli.command(name="import")
@click.argument("form", type=click.Choice(list(READERS)))
@click.argument("path", type=PATH, metavar="FILE")
@click.option("--out", type=PATH, default=Path("imported"), show_default=True, help="A new folder for the case files.")
@click.option(
    "--gap",
    type=click.FloatRange(min=0),
    metavar="MS",
    help=f"Updates further apart begin a new list.  [default: {DEFAULT_GAP * 1000:g}, until a marker is seen]",
)
@click.option(
    "--marker",
    "markers",
    multiple=True,
    metavar="TEXT",
    help=f"A line that contains it begins a new list.  [default: qemu-trace: {', '.join(MARKERS)}]",
)
@click.option("--deletions-first", is_flag=True, help="A DELETE behind anything else begins a new list, as in QEMU.")
@click.option("--invalidate/--no-invalidate", default=True, help="Flag DELETEs and MOVEs, as the RFC wants it.")
@click.option(
    "--keep-hva", is_flag=True, help="Keep requests as recorded: userspace addresses, all that a DELETE says."
)
@click.option(
    "--machine", "profile", type=click.Choice(list(PROFILES)), default=DEFAULT_MACHINE.profile, show_default=True
)
@click.option("--max-gfn", metavar="N", help="The last gfn that a slot may hold there, decimal or 0x.")
def import_lists(
    form: str,
    path: Path,
    out: Path,
    gap: float | None,
    markers: tuple[str, ...],
    deletions_first: bool,
    invalidate: bool,
    keep_hva: bool,
    profile: str,
    max_gfn: str | None,
) -> int:
    """Make case files of a recording: strace of a VMM, or QEMU's trace events.

    Each list that the VMM would have sent in one go becomes a file, with what stood when it began. Exit code 1 if
    the recorded kernel gave an answer that the model would not give.
    """
    if gap is not None and not math.isfinite(gap):
        raise click.UsageError("--gap: expected a number of milliseconds")
    if "" in markers:
        raise click.UsageError("--marker: expected text")
    try:
        machine = machine_of(profile, {} if max_gfn is None else {"max_gfn": int(max_gfn, 0)})
    except ValueError:
        raise click.UsageError("--max-gfn: expected a number, decimal or 0x") from None
    except BadCase as error:
        raise click.UsageError(f"--max-gfn: {error}") from None
    if not markers and form == "qemu-trace":
        markers = MARKERS
    splitting = Splitting(None if gap is None else gap / 1000, deletions_first)
    said = 0

    def say(text: str) -> None:
        nonlocal said
        said += 1
        if said <= _MOST_SAID:
            click.echo(text)

    def warn(text: str) -> None:
        click.echo(f"sameslots: {text}", err=True)

    tally = import_recording(form, path, out, Wishes(markers, splitting, machine, invalidate, keep_hva), say, warn)
    if said > _MOST_SAID:
        click.echo(f"... and {said - _MOST_SAID} more")
    vms = f"{tally.vms} VM" if tally.vms == 1 else f"{tally.vms} VMs"
    left_out = f", {tally.left_out} left out" if tally.left_out else ""
    click.echo(
        f"{path}: {tally.updates} updates of {vms}{left_out}, {tally.lists} lists, {tally.files} distinct in {out}/,"
        f" {tally.disagreements} answers unlike the model's"
    )
    return MISMATCH if tally.disagreements else NOTHING_NEW
