# SPDX-License-Identifier: GPL-2.0-only
"""A running guest, seen from outside: it answers, or it is told how it was lost: hung, looping, crashed or dead."""

import os
import select
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO

from engines.guests.boot import QEMU, Booting, boot
from engines.guests.console import Console
from engines.guests.frames import BrokenFrame, Frame, Kind, Unpacker
from engines.guests.plan import Plan
from memslots.errors import BadInput

HUNG, LOOPED, CRASHED, DIED = "hung", "looped", "crashed", "died"
_PIECE = 1 << 16
_AFTER_AN_OOPS = 20.0
"""Seconds that a guest may go on after its kernel has oopsed without a word to us."""
_LAST_WORDS = 1.0
"""Seconds that the console is listened to when the guest has gone."""
_LAST_LINES = 5
"""Of the console, shown where it says nothing that is known to matter."""
_REFUSED = 1
"""QEMU's exit code where it does not even begin."""


class Lost(Exception):
    """A guest that answers no more. `how` is one of the four; `lines` are what the console says of it."""

    def __init__(self, how: str, why: str, kind: str | None, lines: tuple[str, ...]) -> None:
        super().__init__(f"guest {how}: {why}")
        self.how = how
        self.why = why
        self.kind = kind
        self.lines = lines


class Guest:
    """One guest, from its boot on. Close it, or use it in a `with` block."""

    def __init__(self, plan: Plan, *, log: BinaryIO | None = None, start: Callable[[Plan], Booting] = boot) -> None:
        """Boot it. `log` gets what the console says.

        Raises Lost, what `boot` raises, and BadInput for a plan that QEMU refuses.
        """
        self.console = Console()
        self._log = log
        self._frames: deque[Frame] = deque()
        self._unpacker = Unpacker()
        self._oopsed_at: float | None = None
        self._console_ended = False
        begin = time.monotonic()
        self._booting = start(plan)
        try:
            while self.receive(begin + plan.boot, f"it has not come up in {plan.boot:g} s").kind is not Kind.HELLO:
                pass
        except Lost as lost:
            ended = self._booting.process.poll()
            complaint = self._complaint()
            self.close()
            if self.console.last:
                raise
            if ended == _REFUSED and complaint:
                raise BadInput(f"guest: QEMU refuses: {complaint.removeprefix(f'{QEMU}: ')}") from None
            silent = f"its console is empty: is {plan.kernel} whole, and is {plan.memory} of memory enough for it?"
            raise Lost(lost.how, f"{lost.why}; {silent}", lost.kind, lost.lines) from None
        except BaseException:
            self.close()
            raise
        self.boot_seconds = time.monotonic() - begin

    def __enter__(self) -> "Guest":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it; nothing of it stays."""
        with suppress(ProcessLookupError):
            os.killpg(self._booting.process.pid, signal.SIGKILL)
        self._booting.process.wait()
        self._booting.port.close()
        self._booting.console.close()
        self._booting.complaints.close()

    def send(self, frame: Frame, deadline: float, why: str) -> None:
        """Send it whole, while what comes is kept. Raises Lost: hung, `why`, if it is not taken before the deadline."""
        rest = memoryview(frame.packed())
        while rest:
            try:
                rest = rest[self._booting.port.send(rest, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                self._wait(deadline, why, sending=True)
            except OSError:
                raise self._gone() from None

    def receive(self, deadline: float, why: str) -> Frame:
        """The next frame. Raises Lost: hung, `why`, if none comes before the deadline, or the guest is gone."""
        while not self._frames:
            self._wait(deadline, why)
        return self._frames.popleft()

    def received(self, seconds: float, also: Sequence[int] = ()) -> tuple[list[Frame], bool]:
        """The frames that are there, or come within some seconds; and whether one of `also` can be read."""
        readable = False
        if not self._frames:
            readable = self._look(seconds, also)
        frames = list(self._frames)
        self._frames.clear()
        return frames, readable

    def oopsed(self) -> bool:
        """Whether the console has told of a crash by now."""
        if not self._console_ended:
            while select.select([self._booting.console], [], [], 0)[0] and self._hear():
                pass
        return bool(self.console.oops)

    def lost(self, why: str) -> Lost:
        """What to raise of a guest that does not answer: crashed or looping if the console says so, else hung."""
        if self.console.oops:
            return self._crashed()
        how = LOOPED if self.console.spins else HUNG
        return Lost(how, why, None, tuple(self.console.stuck[:_LAST_LINES]))

    def _wait(self, deadline: float, why: str, *, sending: bool = False) -> None:
        """Wait a while for something to come, or until something can be sent. Raises Lost at the deadline."""
        now = time.monotonic()
        if self._oopsed_at is not None:
            deadline = min(deadline, self._oopsed_at + _AFTER_AN_OOPS)
        if now >= deadline:
            raise self.lost(why)
        self._look(min(deadline - now, 1.0), sending=sending)

    def _look(self, seconds: float, also: Sequence[int] = (), *, sending: bool = False) -> bool:
        """Take in what port and console have; whether one of `also` can be read. Raises Lost."""
        port, console = self._booting.port.fileno(), self._booting.console.fileno()
        watched = [port, *also] if self._console_ended else [port, console, *also]
        ready, _, _ = select.select(watched, [port] if sending else [], [], seconds)
        if console in ready:
            self._hear()
        if port in ready:
            self._take_in()
        return any(fd in ready for fd in also)

    def _take_in(self) -> None:
        try:
            data = self._booting.port.recv(_PIECE)
        except ConnectionError:
            data = b""
        if not data:
            raise self._gone()
        try:
            self._frames.extend(self._unpacker.feed(data))
        except BrokenFrame as error:
            raise Lost(DIED, f"it sends {error}", None, tuple(self.console.last)[-_LAST_LINES:]) from None

    def _hear(self) -> bool:
        """Read the console once; False at its end."""
        try:
            data = self._booting.console.recv(_PIECE)
        except ConnectionError:
            data = b""
        if self._log is not None:
            self._log.write(data)
            self._log.flush()
        self.console.feed(data)
        if self.console.oops and self._oopsed_at is None:
            self._oopsed_at = time.monotonic()
        self._console_ended = not data
        return bool(data)

    def _gone(self) -> Lost:
        """Why the port is closed: the console, the process and its complaints are asked."""
        deadline = time.monotonic() + _LAST_WORDS
        while not self._console_ended and (left := deadline - time.monotonic()) > 0:
            if select.select([self._booting.console], [], [], left)[0]:
                self._hear()
        self.console.end()
        if self.console.oops:
            return self._crashed()
        try:
            ended = f"QEMU ended with {self._booting.process.wait(_LAST_WORDS)}"
        except subprocess.TimeoutExpired:
            ended = "its port is closed"
        said = list(filter(None, [self._complaint()]))
        said += [line for line in self.console.last if "sameslots: " in line][-1:]
        return Lost(DIED, ": ".join([ended, *said]), None, tuple(self.console.last)[-_LAST_LINES:])

    def _complaint(self) -> str:
        """The last line in which QEMU says what is wrong, if there is one: what follows it only explains."""
        self._booting.complaints.seek(0)
        lines = self._booting.complaints.read().decode(errors="replace").splitlines()
        lines = [line for line in lines if line and ": warning: " not in line]
        own = [line for line in lines if line.startswith(f"{QEMU}: ")]
        return (own or lines or [""])[-1]

    def _crashed(self) -> Lost:
        return Lost(CRASHED, self.console.headline(), self.console.kind, tuple(self.console.oops))
