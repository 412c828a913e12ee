# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots enumerate`: every list of a small scope, in processes side by side, and a statement in the end."""

import os
import platform
import signal
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import click

from engines.catalogue import engine_named, machine_of_engine
from fuzz.cli import (
    ENGINE,
    INTERRUPTED,
    MISMATCH,
    NOTHING_NEW,
    PATH,
    cli,
    disposable_option,
    policy_option,
    reference_option,
)
from fuzz.doubts import Doubts
from fuzz.enumerated import first_lists, statement
from fuzz.enumeration import Enumeration
from fuzz.enumerator import command_of, trial_of
from fuzz.ledger import DATABASE, Ledger
from fuzz.progress import Progress
from fuzz.record import buckets_on_record
from fuzz.scope import Scope, flags_of
from fuzz.source import source
from fuzz.supervisor import Workers
from fuzz.table_console import TableConsole
from fuzz.trial import one_at_a_time, policy_for
from memslots.errors import BadInput
from memslots.machine import DEFAULT_MACHINE, Machine
from oracles.policy import Policy
from reports.campaign_table import causes
from reports.enumeration_table import enumeration_table

_SCOPE = Scope()
_BAR = 24


@cli.command(name="enumerate")
@click.option("--engine", type=ENGINE, default="rfc-v1", show_default=True)
@reference_option
@policy_option
@disposable_option
@click.option("--entries", type=int, default=_SCOPE.entries, show_default=True, help="Entries of the longest lists.")
@click.option("--slots", type=int, default=_SCOPE.slots, show_default=True, help="Ids in each address space.")
@click.option("--gfns", type=int, default=_SCOPE.gfns, show_default=True, help="Pages that slots may lie on, from 0.")
@click.option("--spaces", type=int, default=_SCOPE.spaces, show_default=True, help="Address spaces, 1 or 2.")
@click.option(
    "--flags",
    metavar="VALUE[,VALUE...]",
    default="0,LOG_DIRTY_PAGES",
    show_default=True,
    help="Values of flags: 0, or names of LOG_DIRTY_PAGES and READONLY with | between them.",
)
@click.option(
    "--invalidate",
    type=click.Choice(["both", "never"]),
    help="Whether entries are flagged, too.  [default: both, where the engine reads invalidate_slot]",
)
@click.option(
    "--hvas",
    type=click.Choice(["1", "2", "follow", "mixed"]),
    default=str(_SCOPE.hvas),
    show_default=True,
    help="Pieces of memory of a slot's own; or the guest's memory, which follows the gfn; or that and one of its own.",
)
@click.option("--faults", is_flag=True, help="Try each list once more for every single failure that the engine meets.")
@click.option(
    "--max-gfn", type=int, help="The machine's last gfn: slots that reach further are asked for, and refused."
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes, one a CPU at most.  [default: one a CPU]")
@click.option("--out", type=PATH, default=Path("enumeration"), show_default=True, help="The folder to resume from.")
@click.option("--record", type=PATH, multiple=True, help="Case files, or folders of them, whose buckets are known.")
def enumerate_lists(
    engine: str,
    reference: str,
    policy: str,
    entries: int,
    slots: int,
    gfns: int,
    spaces: int,
    flags: str,
    invalidate: str | None,
    hvas: str,
    faults: bool,
    max_gfn: int | None,
    jobs: int | None,
    out: Path,
    record: tuple[Path, ...],
) -> int:
    """Try every list of a small scope from every given state of it, one of those that differ by names alone.

    It ends with a statement that holds for all of them, or with a table of buckets, each with its first list. What
    was begun in a folder goes on there.
    """
    machine, kernel = _machine(engine, reference, max_gfn, faults=faults)
    blind = one_at_a_time(engine_named(engine))
    if blind and invalidate == "both":
        raise BadInput(f"--invalidate both: a request of {engine} has no invalidate_slot: expected never, or nothing")
    flagged = (0,) if blind or invalidate == "never" else (0, 1)
    own, memory = (int(hvas), "own") if hvas.isdecimal() else (1, hvas)
    scope = Scope(entries, slots, gfns, flags_of(flags), flagged, own, spaces, faults, memory, machine)
    on_record = buckets_on_record(engine, record) if record else None
    settings = {
        "engine": engine,
        "reference": reference,
        "policy": policy_for(engine_named(engine), Policy(policy)).value,  # the statement says what was asked
        "source": source(),
        **scope.settings(),
        **kernel,
    }
    enumeration = Enumeration(scope)
    doubts = Doubts()
    doubts.settle(engine, reference)
    ledger = Ledger(out, settings, enumeration.total)
    if ledger.emptied:
        click.echo(f"sameslots: {out / DATABASE}: there was nothing in it: the enumeration begins anew", err=True)
    interrupted, failed = False, None
    try:
        interrupted = _run(ledger, enumeration, jobs, f"{engine} against {reference}")
    except BadInput as error:
        failed = error  # what was found is told all the same
    rows = first_lists(ledger, enumeration, trial_of(settings, quick=False), on_record or set())
    console = TableConsole()
    if rows:
        console.print(enumeration_table(rows, with_record=on_record is not None))
        for part in causes(rows):
            console.print(part, soft_wrap=True)
        console.print()
    new = sum(not row.on_record for row in rows)
    for name, met in ledger.tally().allowed.items():
        console.print(f"allowed by design: {name}, {met:,} times", soft_wrap=True)
    console.print(statement(ledger, enumeration, settings, new if record else None), soft_wrap=True)
    for line in doubts.in_the_end(clean=not rows):
        console.print(line, soft_wrap=True)
    ledger.close()
    if failed is not None:
        raise failed
    return INTERRUPTED if interrupted else MISMATCH if new else NOTHING_NEW


def _machine(engine: str, reference: str, max_gfn: int | None, *, faults: bool) -> tuple[Machine, dict[str, str]]:
    """The machine that the cases are for, and which kernel that is where it is a real one.

    Raises BadInput, Missing, Withheld: what is missing is said here, not by a worker.
    """
    real = [machine for name in (engine, reference) if (machine := machine_of_engine(name)) is not None]
    if real and faults:
        raise BadInput("--faults: a real kernel fails when it likes: expected simulated engines")
    if real and max_gfn is not None:
        raise BadInput(f"--max-gfn: this machine's kernel has its own, {real[0].max_gfn:#x}: expected none")
    if real:
        return real[0], {"kernel": platform.release()}
    return DEFAULT_MACHINE if max_gfn is None else replace(DEFAULT_MACHINE, max_gfn=max_gfn), {}


def processes(asked: int | None, cpus: int, stretches: int) -> int:
    """How many to start: more than there are CPUs, or stretches to go through, would do nothing for it."""
    return min(asked or cpus, cpus, stretches)


def _run(ledger: Ledger, enumeration: Enumeration, jobs: int | None, who: str) -> bool:
    """Whether it was interrupted. Raises BadInput if a worker failed."""
    done = ledger.done()
    if done == enumeration.total:
        return False
    run = uuid4().hex
    ledger.take_over(run)
    signal.signal(signal.SIGTERM, _terminated)
    progress = Progress("enumerate", engines=who, out=str(ledger.folder), lists=enumeration.total, done=done)
    count = processes(jobs, len(os.sched_getaffinity(0)), ledger.stretches_left())
    commands = {f"worker-{i}": command_of(ledger.folder, run) for i in range(count)}
    try:
        with progress, Workers(commands, ledger.folder) as workers:
            workers.watch(lambda: _tick(progress, ledger, enumeration.total, done))
    except KeyboardInterrupt:
        return True
    return False


def _terminated(*_: object) -> NoReturn:
    """What ends it in CI ends it like Ctrl-C at a terminal: with what there is so far."""
    raise KeyboardInterrupt


def _tick(progress: Progress, ledger: Ledger, total: int, before: int) -> None:
    """Show or log how far it is."""
    done = ledger.done()
    rate = (done - before) / max(progress.seconds, 0.1)
    left = f"{(total - done) / rate:,.0f} s left" if rate else "? s left"
    buckets = len(ledger.tally().seen)
    bar = "#" * (_BAR * done // total)
    progress.tick(
        f"[{bar:.<{_BAR}}] {done / total:4.0%}   {done:,} of {total:,} lists   {rate:,.0f} a second   {left}"
        f"   {buckets} buckets",
        lists=done,
        of=total,
        buckets=buckets,
    )
