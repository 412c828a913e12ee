# SPDX-License-Identifier: GPL-2.0-only
"""An end to loops without end: so many seconds of this process's own CPU time, then an exception.

A timer of CPU time knows no busy neighbours, and works in whatever process and loop, libFuzzer's included, as long as
the main thread runs Python. SIGVTALRM is nobody else's here.
"""

import signal
from types import FrameType


class Endless(BaseException):
    """The time is up. No handler of ordinary exceptions takes it for one."""


class Limit:
    """Use it in a `with` block, as often as you like. There is one at a time in a process."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        signal.signal(signal.SIGVTALRM, _over)

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _over(_: int, __: FrameType | None) -> None:
    raise Endless
