# SPDX-License-Identifier: GPL-2.0-only
"""Where the table is printed that ends a long command: the terminal, or a paper of its own width."""

import sys
from errno import EPIPE

from rich.console import Console

from reports.campaign_table import LEAST_WIDTH, WIDTH


class TableConsole(Console):
    """Standard output, at least as wide as such a table."""

    def __init__(self) -> None:
        width = max(Console().width, LEAST_WIDTH) if sys.stdout.isatty() else WIDTH
        super().__init__(highlight=False, width=width)

    def on_broken_pipe(self) -> None:
        """Let the command end as all do whose reader has gone: rich would exit with the code of a mismatch."""
        raise BrokenPipeError(EPIPE, "Broken pipe")
