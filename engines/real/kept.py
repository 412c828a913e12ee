# SPDX-License-Identifier: GPL-2.0-only
"""A thread of this process that the kernel keeps: it has died in there, waits in there, or works without end."""

import threading
import time
from pathlib import Path

_TASKS = Path("/proc/self/task")
_LOOK_SECONDS = 0.1
"""Between two looks at a thread's processor time: ten of the kernel's ticks or more."""


def kept(thread: threading.Thread, since: float, patience: float, what: str) -> str:
    """How the kernel has kept a thread over `what`, in one line. Empty while it has not.

    `since` is the monotonic time at which the thread last went on; after `patience` seconds it is kept. An oops ends
    the thread alone that met it: its process goes on, and Python never hears of it.
    """
    if thread.native_id is None:
        return ""
    if not _stat(thread.native_id):
        # Looked at in this order: a thread that ends as it should says so before its task is gone.
        return f"crashed over {what}: its caller has died in the kernel" if thread.is_alive() else ""
    if not thread.is_alive() or time.monotonic() - since < patience:
        return ""
    if _works(thread.native_id):
        return f"looped over {what}: the kernel has worked for {patience:.0f} s and has not come back"
    return f"hung over {what}: the kernel has not come back for {patience:.0f} s"


def _works(task: int) -> bool:
    """Whether it uses processor time, or would if it got any."""
    before = _stat(task)
    time.sleep(_LOOK_SECONDS)
    after = _stat(task)
    return "R" in (*before[:1], *after[:1]) or before[11:13] != after[11:13]


def _stat(task: int) -> list[str]:
    """State, then numbers of which the 11th and 12th are user and system time; nothing of one that has gone."""
    try:
        return (_TASKS / str(task) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
