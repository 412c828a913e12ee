# SPDX-License-Identifier: GPL-2.0-only
"""The command that makes a C program of a case: reproduce."""

from pathlib import Path

import click

from engines.real.rehearsal import MOST_PAGES, Rehearsal
from engines.simulated.checks import id_refused, refusal
from engines.simulated.engines import RfcV1, Serial
from fuzz.cli import NOTHING_NEW, PATH, cli, policy_option
from fuzz.reason import reason
from fuzz.replay import located
from fuzz.trial import Trial
from fuzz.written import write
from memslots.case import Case
from memslots.casefile import CaseFile
from memslots.errors import BadInput, Unfit
from memslots.textreader import read_case
from oracles.policy import Policy
from reports.reproducer import IOCTLS, SERIAL, Sighting, reproducer_list, reproducer_serial

_PAGE_SIZE = 4096


@cli.command()
@click.argument("path", type=PATH)
@click.option(
    "--ioctl", type=click.Choice(IOCTLS), default=SERIAL, show_default=True, help="One ioctl an entry, or one for all."
)
@policy_option
@click.option("--out", type=PATH, help="Write the C file here.  [default: standard output]")
def reproduce(path: Path, ioctl: str, policy: str, out: Path | None) -> int:
    """Write a C program that shows on a real kernel what a case shows here."""
    if out is not None and out.suffix != ".c":
        raise BadInput(f"{out}: expected a name that ends in .c")
    file = read_case(path)
    source = out.name if out is not None else f"{path.stem}.c"
    try:
        text = program_of(file, source, ioctl, Policy(policy))
    except BadInput as error:
        raise located(path, file, error) from None
    if out is None:
        click.echo(text, nl=False)
        return NOTHING_NEW
    write(out, text, "the program")
    return NOTHING_NEW


def program_of(file: CaseFile, source: str, ioctl: str, policy: Policy) -> str:
    """The program for `ioctl`, as the file `source`. Raises Unfit for a case that a real kernel must not be given."""
    case = file.case
    if case.faults:
        raise Unfit(f"fault {case.faults[0][0]}: a real kernel fails when it likes")
    if case.machine.page_size != _PAGE_SIZE:
        raise Unfit(f"machine: page_size={case.machine.page_size:#x}: expected {_PAGE_SIZE:#x}, as x86 has it")
    if ioctl == SERIAL:
        reference = Serial().apply(case)
        _allowed(case, len(reference.entry_errnos or ()))
        return reproducer_serial(file, source, reference)
    verdict = Trial(Serial(), RfcV1(), policy).verdict(case)
    _allowed(case, 0)
    _short(case)
    reasons = dict.fromkeys(reason(each, verdict.outcome) for each in verdict.findings)
    return reproducer_list(file, source, verdict.reference, policy, Sighting(verdict.outcome, tuple(reasons)))


def _allowed(case: Case, tried: int) -> None:
    """Raises Unfit if what is given, or one of the entries tried, could allocate too much."""
    rehearsal = Rehearsal(case.machine, case.machine)
    for i, region in enumerate(case.given):
        rehearsal.answer(region, f"given {i}")
    for i, region in enumerate(case.apply[:tried]):
        rehearsal.answer(region, f"entry {i}")


def _short(case: Case) -> None:
    """Raises Unfit for a long entry whose own fields do not refuse it: what else refuses an entry is in question."""
    for i, region in enumerate(case.apply):
        npages = region.memory_size >> case.machine.page_shift
        if npages > MOST_PAGES and not id_refused(case.machine, region) and refusal(case.machine, region) is None:
            raise Unfit(
                f"entry {i}: memory_size={region.memory_size:#x}: expected at most {MOST_PAGES} pages on a real kernel"
            )
