# SPDX-License-Identifier: GPL-2.0-only
"""What all commands share: the group, the exit codes, the options that several have; and how the program ends.

Exit codes: 0 nothing new, 1 a mismatch not on record, 2 bad usage or bad input, 3 something asked for is not on this
machine, 70 a fault of sameslots itself, 130 interrupted, 141 the reader of the output has gone. For git bisect some are
others (`git_bisect.py`).
"""

import os
import re
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

import click

from engines.catalogue import BUILDS, ENGINES, engine_named, known
from engines.real.permission import OPTION, granted
from fuzz.git_bisect import code_of_step
from memslots.errors import BadInput, Missing, Withheld, on_one_line
from oracles.policy import Policy

NOTHING_NEW, MISMATCH, BAD_INPUT, NOT_HERE, FAULT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, os.EX_SOFTWARE, 130, 141

# What is right at a refused list, only an engine can say that shows what stood at its first refusal.
_RIGHT = "at_first_refusal"
_REFERENCES = [name for name, make in ENGINES.items() if _RIGHT in make().shows]


_UNWRITABLE = re.compile(r"[\s#]")


class EngineName(click.Choice[str]):
    """The name of an engine: one of a few, or that of a build of a kernel tree."""

    def __init__(self, names: list[str], shows: frozenset[str] = frozenset()) -> None:
        """`names`: those of no build; `shows`: what an engine of a build must show."""
        super().__init__([*names, *(f"{kind}:DIR" for kind in BUILDS)])
        self._shows = shows

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Fails for one that is none, and raises BadInput or Missing for a folder that is no build."""
        if value.removesuffix(":") in BUILDS and value not in ENGINES:
            self.fail(
                f"{value}: expected {value.removesuffix(':')}:DIR, a build (sameslots tree build PATH)", param, ctx
            )
        if known(value) and _UNWRITABLE.search(value):
            self.fail(f"{value}: a case file cannot name it: expected a folder without blanks and #", param, ctx)
        if value in ENGINES or not known(value):
            return super().convert(value, param, ctx)
        lacking = self._shows - engine_named(value).shows
        if lacking:
            self.fail(f"{value} is a list ioctl: expected an engine that shows {', '.join(lacking)}", param, ctx)
        return value


ENGINE = EngineName(list(ENGINES))
reference_option = click.option(
    "--reference",
    type=EngineName(_REFERENCES, frozenset((_RIGHT,))),
    default="serial",
    show_default=True,
    help="What is right.",
)
policy_option = click.option(
    "--policy",
    type=click.Choice([policy.value for policy in Policy]),
    default=Policy.ATOMIC.value,
    show_default=True,
    help="What a refused list must leave: the state before it, or the reference's at its first refusal.",
)


def _is_disposable(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.with_resource(granted())


disposable_option = click.option(
    OPTION,
    is_flag=True,
    expose_value=False,
    callback=_is_disposable,
    help="Let kvm-list loose on the kernel that runs here, which it may hang or crash.",
)
# Whether a file can be read is found out by reading it, so that one that cannot does not end a replay of many.
PATH = click.Path(path_type=Path, readable=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sameslots")
def cli() -> None:
    """KVM memory-slot updates, one at a time and all at once: same slots?"""


def main() -> NoReturn:
    """The entry point: run a command and exit with its code."""
    # A file name need not be UTF-8, and a terminal need not show all that is.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        # Whoever closed it wants no answer; the exit code could not be told from one.
        sys.exit(code_of_step(sys.argv[1:], BAD_INPUT))
    try:
        code = _run_cli()
    except Exception:  # noqa: BLE001 - Python itself would print it, too, and exit with the code of a mismatch
        traceback.print_exc()
        code = FAULT
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _output_failed(error)
    sys.exit(code_of_step(sys.argv[1:], code))


def _run_cli() -> int:
    try:
        # Not cli.main(): it would answer a closed pipe itself, with the exit code of a mismatch.
        with cli.make_context("sameslots", sys.argv[1:]) as context:
            return int(cli.invoke(context) or NOTHING_NEW)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        click.echo(f"sameslots: {on_one_line(error.format_message())}", err=True)
        return BAD_INPUT
    except (BadInput, Withheld) as error:
        click.echo(f"sameslots: {error}", err=True)
        return BAD_INPUT
    except Missing as error:
        click.echo(f"sameslots: {error}", err=True)
        return NOT_HERE
    except OSError as error:
        return _output_failed(error)


def _output_failed(error: OSError) -> int:
    """The exit code where standard output takes no more: its reader has gone (as for a signal), or its disk is full."""
    # Nothing that is left to say can reach it, nor may the flush at exit try.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    click.echo(f"sameslots: standard output: {error.strerror}", err=True)
    return BAD_INPUT
