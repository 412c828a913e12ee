# SPDX-License-Identifier: GPL-2.0-only
"""The command itself, in a process of its own, with little memory."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = (
    # 192 MB of address space: the command takes 40, and a line of 100 MB read as a whole would take 200 and more.
    *("sh", "-c", 'ulimit -v 196608 && exec "$0" "$@"'),
    str(Path(sys.executable).parent / "sameslots"),
)
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "COLUMNS": "100", "TERM": "dumb"}


def _heed_ctrl_c() -> None:
    """Whoever runs the tests may ignore SIGINT, as a script does for what it puts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _sameslots(
    *args: str | Path, stdin: str = "", within: tuple[str, ...] = (), **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """`within` is a command that runs the command; a variable that is None is not set."""
    variables = {name: value for name, value in (ENVIRONMENT | environment).items() if value is not None}
    return subprocess.run(
        [*within, *COMMAND, *map(str, args)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env=variables,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="session")
def sameslots() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `sameslots` with arguments, text on its stdin, and further variables in its environment."""
    return _sameslots


@pytest.fixture(scope="session")
def started() -> Callable[..., subprocess.Popen[str]]:
    """Start `sameslots` with pipes on all sides; the test ends it."""

    def started(*args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=ENVIRONMENT,
            preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - there are no threads
        )

    return started
