# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots guest`: any command of ours in a VM that boots another kernel, and how that VM ended where it did not."""

import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NoReturn

import click

from engines.guests.command import run_in
from engines.guests.guest import CRASHED, DIED, HUNG, LOOPED, Guest, Lost
from engines.guests.plan import Plan, planned
from fuzz.cli import NOTHING_NEW, PATH, cli
from memslots.errors import BadInput

HUNG_CODE, CRASHED_CODE, DIED_CODE = 124, 125, 126
"""124 is what timeout(1) says. None of them is a code of a command inside."""
_CODES = {HUNG: HUNG_CODE, LOOPED: HUNG_CODE, CRASHED: CRASHED_CODE, DIED: DIED_CODE}
_DEFAULT = Plan("")


@cli.command(
    name="guest",
    # What stands behind the kernel is the command's, its options too.
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Run a command in a VM that boots another kernel.",
)
@click.option("--memory", default=_DEFAULT.memory, show_default=True, help="Of the VM, as QEMU takes it.")
@click.option("--cpus", type=click.IntRange(1, 64), default=_DEFAULT.cpus, show_default=True)
@click.option("--cpu", default=_DEFAULT.cpu, show_default=True, help="QEMU's CPU model.")
@click.option(
    "--module", "modules", multiple=True, default=(_DEFAULT.modules,), show_default=True, help="To be loaded."
)
@click.option("--append", default="", help="Words for the kernel's command line.")
@click.option(
    "--boot",
    type=click.FloatRange(min=0, min_open=True),
    default=_DEFAULT.boot,
    show_default=True,
    help="Seconds to come up in.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Seconds for the command.",
)
@click.option("--console", type=PATH, help="Keep what the kernel says in this file.")
@click.option(
    "--write", type=PATH, multiple=True, help="A folder that the guest may write to; all else it can only read."
)
@click.option("--shell", is_flag=True, help="The command is one for the shell, not one of ours.")
@click.argument("kernel")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def guest(
    memory: str,
    cpus: int,
    cpu: str,
    modules: tuple[str, ...],
    append: str,
    boot: float,
    timeout: float,
    console: Path | None,
    write: tuple[Path, ...],
    shell: bool,
    kernel: str,
    command: tuple[str, ...],
) -> int:
    """Run a command in a VM that boots KERNEL: `sameslots guest KERNEL -- replay corpus`.

    KERNEL is a bzImage, a folder with a kernel in it, a Debian package of one, or the name of a package that is here.
    The guest sees the files of this machine, and has its own /dev/kvm. Exit code: the command's; 124 if the guest
    hung, 125 if its kernel crashed, 126 if it died without saying why. docs/guest.md has the rest.
    """
    if command and command[0].startswith("-") and command[0] != "--":
        raise click.UsageError(f"options stand before KERNEL, and a command behind it: found {command[0]}")
    command = command[1:] if command[:1] == ("--",) else command
    if not command:
        raise click.UsageError("expected a command to run in the guest, such as: replay corpus")
    words = ["/bin/sh", "-c", " ".join(command)] if shell else [sys.executable, "-P", "-m", "fuzz", *command]
    plan = planned(
        kernel,
        {
            "memory": memory,
            "cpus": str(cpus),
            "cpu": cpu,
            "modules": ",".join(modules),
            "append": append,
            "boot": str(boot),
        },
        tuple(map(str, write)),
    )
    signal.signal(signal.SIGTERM, _terminated)
    with ExitStack() as stack:
        log = stack.enter_context(_opened(console)) if console is not None else None
        try:
            running = stack.enter_context(Guest(plan, log=log))
            stdin = None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.fileno()
            code = run_in(running, words, timeout, stdin, sys.stdout.buffer, sys.stderr.buffer)
            oopsed = running.oopsed()
        except Lost as lost:
            for line in lost.lines:
                click.echo(line, err=True)
            click.echo(f"sameslots: {lost}", err=True)
            return _CODES[lost.how]
    for line in (*running.console.oops, *running.console.warnings):
        click.echo(line, err=True)
    if oopsed:
        click.echo(
            f"sameslots: guest {CRASHED}, and the command ended with {code}: {running.console.headline()}", err=True
        )
    # That all is well cannot be said of a kernel that has oopsed.
    return CRASHED_CODE if oopsed and code == NOTHING_NEW else code


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file for the console") from None


def _terminated(*_: object) -> NoReturn:
    raise KeyboardInterrupt
