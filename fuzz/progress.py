# SPDX-License-Identifier: GPL-2.0-only
"""How far a long command is: one line that changes on a terminal, structured log lines where there is none."""

import sys
import time
from typing import Any

import structlog
from rich.console import Console
from rich.live import Live
from rich.text import Text

_LOG_SECONDS = 10.0


class Progress:
    """Progress of one command, on standard error. Use it in a `with` block."""

    def __init__(self, event: str, **facts: Any) -> None:
        """`event` and `facts` are logged when it begins, if it logs."""
        self._begins = event, facts
        self.begin = time.monotonic()
        self._logged = self.begin
        self._live: Live | None = None
        structlog.configure(
            processors=[structlog.processors.TimeStamper(fmt="iso"), structlog.processors.LogfmtRenderer()],
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
        self._log = structlog.get_logger()
        if sys.stderr.isatty():
            self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.__enter__()
        else:
            event, facts = self._begins
            self._log.info(event, **facts)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.begin

    def news(self, event: str, **facts: Any) -> None:
        """Log something that happened; a terminal shows it in the end."""
        if self._live is None:
            self._log.info(event, **facts)

    def tick(self, text: str, **facts: Any) -> None:
        """Show `text` on a terminal; elsewhere log the facts now and then."""
        if self._live is not None:
            self._live.update(Text(f"{text}   (Ctrl-C ends it)"))
        elif time.monotonic() - self._logged >= _LOG_SECONDS:
            self._logged = time.monotonic()
            self._log.info("progress", seconds=round(self.seconds), **facts)
