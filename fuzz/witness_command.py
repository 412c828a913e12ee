# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots witness`: what does a running vCPU see while a list is applied?"""

import math
import time
from pathlib import Path

import click

from engines.real.list_vm import ThisKvm
from engines.real.testimony import KINDS, SEEN, Witnessed
from engines.real.updater import KEPT_OUT, WAYS
from engines.real.watched_witness import WatchedWitness
from fuzz.cli import INTERRUPTED, MISMATCH, NOTHING_NEW, PATH, cli, disposable_option
from fuzz.progress import Progress
from fuzz.replay import located
from memslots.errors import BadInput, Unfit
from memslots.textreader import read_case
from reports.testimony import testimony_lines


@cli.command()
@click.argument("path", type=PATH)
@click.option("--apply", "way", type=click.Choice(list(WAYS)), default="serial", show_default=True, help="How.")
@disposable_option
@click.option("--rounds", type=click.IntRange(min=1), help="Apply and undo the list so often.")
@click.option(
    "--time", "seconds", type=click.FloatRange(min=0), help="Seconds.  [default: 5, unless --rounds is given]"
)
def witness(path: Path, way: str, rounds: int | None, seconds: float | None) -> int:
    """Let a vCPU read, write and fetch where a list changes memory, while this machine's kernel applies it.

    serial: one ioctl for each entry, the vCPU running. inhibited: the same, with the vCPU kept out, as QEMU does it.
    list: one list ioctl, the vCPU running; for a kernel that has it and may be lost.
    Exits with 1 if the vCPU saw what no guest should (no memory at an address that has memory before and after), or
    the kernel hangs or crashes over the list, or answers otherwise than the model; with 2 if the vCPU could not see
    that.
    """
    if seconds is not None and not math.isfinite(seconds):
        raise click.UsageError("--time: expected a number of seconds")
    file = read_case(path)
    if way == "list":
        ThisKvm().host()  # whether there is such an ioctl, and whether it may be tried
    limit = 5.0 if seconds is None and rounds is None else math.inf if seconds is None else seconds
    testimony = Witnessed()
    interrupted = False
    begin = time.monotonic()
    try:
        with (
            WatchedWitness(file.case, WAYS[way](), _Limits(rounds, limit)) as seen,
            Progress("witness", case=str(path), apply=way) as progress,
        ):

            def heard(so_far: Witnessed) -> None:
                nonlocal testimony
                testimony = so_far
                progress.tick(
                    f"{so_far.rounds:,} rounds   {so_far.bugs:,} bugs seen", rounds=so_far.rounds, bugs=so_far.bugs
                )

            if not any(place.stays() for place in seen.places):
                raise Unfit("no page has memory before the list and after it: nothing is there that it could lose")
            testimony = seen.watch(heard)
    except KeyboardInterrupt:
        interrupted = True
    except BadInput as error:
        raise located(path, file, error) from None
    took = time.monotonic() - begin
    click.echo(f"{path}, {way}: applied {testimony.rounds:,} times in {took:.1f} s; what the vCPU saw meanwhile")
    for line in testimony_lines(testimony.counts, KINDS, SEEN, testimony.lost):
        click.echo(line)
    if testimony.emulated:
        click.echo("KVM emulates real mode here: to this vCPU a slot is gone while it is INVALID (docs/witness.md)")
    click.echo(
        f"between the lists: {testimony.outside:,} accesses, {testimony.wrong_outside:,} wrong;"
        f" {testimony.retries:,} runs interrupted and tried again" + ("; interrupted" if interrupted else "")
    )
    if testimony.finding:
        click.echo(testimony.finding)
    if interrupted:
        return INTERRUPTED
    if testimony.bugs or testimony.finding:
        return MISMATCH
    if not testimony.rounds or not (testimony.outside if way == KEPT_OUT else testimony.during):
        where = "beside the list, from which it is kept out," if way == KEPT_OUT else "while the list was applied"
        raise BadInput(f"the vCPU has seen nothing {where}: expected more --time or --rounds")
    return NOTHING_NEW


class _Limits:
    """Whether to go on: so many rounds, and so many seconds since it was asked first."""

    def __init__(self, rounds: int | None, seconds: float) -> None:
        self._rounds, self._seconds = rounds, seconds
        self._begin: float | None = None

    def __call__(self, so_far: Witnessed) -> bool:
        if self._begin is None:
            self._begin = time.monotonic()
        return (self._rounds is None or so_far.rounds < self._rounds) and time.monotonic() - self._begin < self._seconds
