# SPDX-License-Identifier: GPL-2.0-only
"""A forked child that works while its parent watches: it answers, or it dies, or it is stuck, and which is told.

A child that is stuck in the kernel may not be killable. It is abandoned then, and the parent says so.
"""

import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from engines.real.device import die_with

Tell = Callable[[object], None]
"""Says how far the child has come, and waits until the parent has taken notice."""
Work = Callable[[object, Tell], object]
"""What a child does with a question: it answers it, and may tell how it goes."""
Kill = Callable[[int, int], None]

_ours: set[Connection] = set()
"""The pipes to all children of this process."""
_LOOK_SECONDS = 0.1
"""Between two looks at a stuck child's processor time: ten of the kernel's ticks or more."""
_PATIENCE = 6
_DIE_SECONDS = 2.0
_DIE_LOOK_SECONDS = 0.005


class Lost(Exception):
    """The child will not answer any more. `gone`: it has ended; otherwise the kernel holds it, and it is abandoned."""

    def __init__(self, *, gone: bool) -> None:
        super().__init__(gone)
        self.gone = gone


class Died(Lost):
    """The child has ended, or is about to. `signal` is what killed it, None if that is not known or it was none."""

    def __init__(self, signal_number: int | None, *, gone: bool) -> None:
        super().__init__(gone=gone)
        self.signal = signal_number


class Stuck(Lost):
    """The child has said nothing for too long. `running`: it uses processor time, so it loops; otherwise it waits."""

    def __init__(self, *, running: bool, gone: bool) -> None:
        super().__init__(gone=gone)
        self.running = running


class Failed(Exception):
    """The child's own program failed: a fault of ours. The text is its traceback."""


class Watched:
    """One child, forked now. It ends with its parent, unless the kernel holds it. To be closed once.

    It is killed when the thread ends that has made it, whatever it does: that is to be one that lasts as long.
    """

    def __init__(self, work: Work, kill: Kill = os.kill) -> None:
        self._kill = kill
        self._pipe, theirs = Pipe()
        _ours.add(self._pipe)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            die_with(parent)
            # Ends of pipes that only the parent may hold, or its other children would not see it end.
            for pipe in _ours:
                pipe.close()
            _answer_until_the_parent_ends(theirs, work)
        theirs.close()

    def ask(self, question: object, seconds: float, heard: Tell) -> object:
        """What the child answers. `heard` gets what it tells on the way; `seconds` is how long it may be silent.

        It may be silent for six times as long while it works: waits and wakes again, or uses processor time.

        Raises Lost or Failed; it is closed then.
        """
        try:
            self._pipe.send(("ask", question))
            while self._says_something(seconds):
                kind, content = self._pipe.recv()
                if kind == "answer":
                    return content
                if kind == "failed":
                    self.close()
                    raise Failed(content)
                heard(content)
                self._pipe.send(("go on", None))
        except (EOFError, ConnectionError):
            # Its descriptors are closed while it ends, and what it holds of the kernel may keep it from ending.
            code = self._waited_for()
            raise Died(-code if code is not None and code < 0 else None, gone=code is not None) from None
        raise Stuck(running=_runs(self.pid), gone=self.close())

    def _says_something(self, seconds: float) -> bool:
        """Wait for the next word. False if the child is stuck."""
        before = _wakes(self.pid)
        for _ in range(_PATIENCE):
            if self._pipe.poll(seconds):
                return True
            now = _wakes(self.pid)
            if now == before and not _runs(self.pid):
                # It may have answered while we looked: then it waits for us.
                return self._pipe.poll(0)
            before = now
        return False

    def close(self) -> bool:
        """End the child. False if the kernel holds it."""
        with suppress(ProcessLookupError):
            self._kill(self.pid, signal.SIGKILL)
        return self._waited_for() is not None

    def _waited_for(self) -> int | None:
        """The child's exit code, None if it does not end."""
        _ours.discard(self._pipe)
        self._pipe.close()
        deadline = time.monotonic() + _DIE_SECONDS
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                return None
            time.sleep(_DIE_LOOK_SECONDS)


def _answer_until_the_parent_ends(pipe: Connection, work: Work) -> None:
    """The child's whole life. Never returns."""
    # Ctrl-C is for the parent, which ends us; what the parent does at its end is not for us to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # One that the kernel holds for ever shall not keep whoever reads the parent's output waiting for its end.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)

    def tell(content: object) -> None:
        pipe.send(("tell", content))
        pipe.recv()

    try:
        while True:
            _, question = pipe.recv()
            pipe.send(("answer", work(question, tell)))
    except (EOFError, ConnectionError):
        pass
    except BaseException:  # noqa: BLE001 - it is the parent's to raise
        with suppress(OSError):
            pipe.send(("failed", traceback.format_exc()))
    finally:
        os._exit(0)


def _runs(pid: int) -> bool:
    """Whether the process uses processor time, or would if it got any."""
    before = _stat(pid)
    time.sleep(_LOOK_SECONDS)
    return "R" in (before[0], _stat(pid)[0]) or _stat(pid)[11:13] != before[11:13]


def _stat(pid: int) -> list[str]:
    """State, then numbers of which the 11th and 12th are user and system time; a zombie's of one that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["Z"]


def _wakes(pid: int) -> str:
    """How often it has waited for something so far."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((line for line in lines if line.startswith("voluntary_ctxt_switches")), "")
