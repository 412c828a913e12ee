# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree`: the commands about a kernel tree's own memslot code."""

from fuzz.cli import cli


@cli.group()
def tree() -> None:
    """A Linux source tree's own memslot code as an engine: build it, check it, compare two of them."""
