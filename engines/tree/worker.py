# SPDX-License-Identifier: GPL-2.0-only
"""The process that applies cases for this one, and may die of them, or never come to an end."""

import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from struct import Struct

from engines.tree.library import CASE_ROOM, CASE_STRIDE, MOST_AT_ONCE, RESULT_ROOM, RESULT_STRIDE, Shared
from engines.tree.serving import DIED, READY, RESULT
from memslots.errors import BadInput, Missing, Unfit

SILENT_SECONDS = 20.0
"""How long a case may take: the library itself ends what loops, long before."""
_BEGIN_SECONDS = 60.0
_MOST_WORDS = 400
_SIZE = Struct("<I")


class Gone(Exception):
    """The process will not answer. `signal` is what killed it, 0 if nothing did, None if it never came to an end."""

    def __init__(self, signal_number: int | None) -> None:
        super().__init__(signal_number)
        self.signal = signal_number


def _identity(library: Path) -> tuple[int, ...]:
    """Numbers that are others where another file has been put in its place or over it; none where it is gone."""
    try:
        seen = library.stat()
    except OSError:
        return ()
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


class Worker:
    """A process with a build's library. Started when it is first asked, and anew after it has gone."""

    def __init__(
        self,
        library: Path,
        layout: bytes = b"",
        environment: Mapping[str, str] | None = None,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._library = library
        self._layout = layout
        self._environment = dict(environment or {})
        self._silent_seconds = silent_seconds
        self._shared: Shared | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._poll = select.poll()
        self._ask = self._told = -1
        self._identity: tuple[int, ...] | None = None

    def apply(self, case: bytes) -> bytes:
        """The result of a case.

        Raises Gone, Missing where there is no usable library, Unfit for too long a result, BadInput where the library
        is not the file any more that this began with.
        """
        if self._pid != os.getpid():
            self._start()
        assert self._shared is not None
        memory = self._shared.bytes
        memory[: len(case)] = case
        try:
            os.write(self._ask, b"\1")
            self._heard(self._silent_seconds)
        except BrokenPipeError:
            self.close()
            raise Gone(0) from None
        finally:
            self._still_the_same()
        [size] = _SIZE.unpack_from(memory, CASE_ROOM)
        if size > RESULT_ROOM:
            raise Unfit(f"what the kernel does with this case takes {size} bytes, expected at most {RESULT_ROOM}")
        return memory[CASE_ROOM : CASE_ROOM + size]

    def apply_all(self, cases: Sequence[bytes]) -> list[bytes | None]:
        """The results of several cases, handed over together: a wait for the other process costs as much as a case.

        None for those that have to be applied one by one: too long ones, and all behind one that does harm.
        """
        results: list[bytes | None] = [None] * len(cases)
        if not cases or len(cases) > MOST_AT_ONCE or max(map(len, cases)) > CASE_STRIDE:
            return results
        if self._pid != os.getpid():
            self._start()
        assert self._shared is not None
        memory = self._shared.bytes
        for i, case in enumerate(cases):
            memory[i * CASE_STRIDE : i * CASE_STRIDE + len(case)] = case
        try:
            os.write(self._ask, bytes([len(cases)]))
            for i in range(len(cases)):
                if not self._heard(self._silent_seconds, first=i == 0):
                    break
                begin = CASE_ROOM + i * RESULT_STRIDE
                [size] = _SIZE.unpack_from(memory, begin)
                results[i] = memory[begin : begin + size] if size <= RESULT_STRIDE else None
        except (Gone, BrokenPipeError):
            self.close()
        finally:
            self._still_the_same()
        return results

    def ran(self, sites: int) -> bytes:
        """How often each of the first so many basic blocks was run by the last case, up to 255 times."""
        if self._shared is None:
            return bytes(sites)
        begin = CASE_ROOM + RESULT_ROOM
        return self._shared.bytes[begin : begin + sites]

    def _heard(self, seconds: float, wanted: bytes = RESULT, *, first: bool = True) -> bool:
        """Wait for this word; False where a new child says that it waits, and `first` does not, that it is no news.

        Raises Gone, Missing.
        """
        poll, told = self._poll, self._told
        while poll.poll(seconds * 1000):
            word = os.read(told, 1)
            if word == wanted:
                return True
            if word == READY:
                if first:
                    continue
                return False
            words = os.read(told, _MOST_WORDS)
            self.close()
            if word in (DIED, b""):
                raise Gone(words[0] if words else 0)
            raise Missing(
                f"{self._library}: {words.decode(errors='replace')}: expected a library that"
                " `sameslots tree build` has made on this machine"
            )
        self.close()
        raise Gone(None)

    def _still_the_same(self) -> None:
        """Raises BadInput where the library has been removed or written anew: what comes of cases is not the tree's."""
        if _identity(self._library) != self._identity:
            self.close()
            raise BadInput(f"{self._library}: removed or written anew while it was in use: expected it to stay")

    def _start(self) -> None:
        """Start the process. What this process has from before a fork is its parent's, and left alone."""
        if self._identity is None:
            self._identity = _identity(self._library)
        self._pid = os.getpid()
        self._shared = shared = Shared()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "engines.tree.serving"),
                *(str(self._library), str(shared.fd)),
                *([self._layout.hex()] if self._layout else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=(shared.fd,),
            env={**os.environ, **self._environment},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._ask, self._told = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._told, select.POLLIN)
        self._heard(_BEGIN_SECONDS, READY)

    def close(self) -> None:
        """End the process, if there is one of ours."""
        if self._process is None or self._pid != os.getpid():
            return
        process, self._process = self._process, None
        self._pid = 0
        # Its child dies with it.
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        assert self._shared is not None
        self._shared.close()
        self._shared = None
