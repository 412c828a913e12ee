# SPDX-License-Identifier: GPL-2.0-only
"""Where the engines under test run: in this process, or in a guest that boots another kernel. References run here."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from engines.catalogue import HERE
from engines.guests.boot import ready
from engines.guests.engine import Guests
from engines.guests.plan import plan_named
from engines.protocol import Engines

guest_option = click.option(
    "--guest",
    metavar="KERNEL[,KEY=VALUE...]",
    help="Run the engine (not the reference) in a guest that boots this kernel: docs/guest.md.",
)


@contextmanager
def engines_in(guest: str | None) -> Iterator[Engines]:
    """The engines of this process, or of a guest, which is stopped in the end. Raises Missing, BadInput."""
    check(guest)
    engines: Engines = HERE if guest is None else Guests(plan_named(guest))
    try:
        yield engines
    finally:
        engines.close()


def engines_of(guest: str | None) -> Engines:
    """The same for a command: stopped when it ends, however it ends."""
    return click.get_current_context().with_resource(engines_in(guest))


def check(guest: str | None) -> None:
    """Raises Missing or BadInput where a guest could not be booted."""
    if guest is not None:
        ready(plan_named(guest))


def label(engine: str, guest: str | None) -> str:
    """The engine, and which kernel it runs on where that is another one than ours."""
    return engine if guest is None else f"{engine} on {plan_named(guest).kernel}"
