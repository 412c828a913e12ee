# SPDX-License-Identifier: GPL-2.0-only
"""The process inside a guest: it runs one command, or applies cases one after the other, as it is told over its port.

It ends when the port is closed, and the guest with it.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from engines.guests.frames import Frame, Kind, Unpacker

_PORTS = Path("/sys/class/virtio-ports")
_PORT = "sameslots"
_PIECE = 1 << 16
_BEAT_SECONDS = 2.0


class Port:
    """Our end: frames in and frames out, whole, from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, frame: Frame) -> None:
        """Send it whole."""
        rest = memoryview(frame.packed())
        with self._lock:
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def frames(self) -> Iterator[Frame]:
        """Every frame that comes, until the port is closed."""
        unpacker = Unpacker()
        while data := os.read(self._fd, _PIECE):
            yield from unpacker.feed(data)


def serve(port: Port) -> None:
    """Say hello, and do what is asked until nobody asks any more."""
    port.send(Frame(Kind.HELLO))
    command: Command | None = None
    for frame in port.frames():
        if frame.kind is Kind.RUN:
            command = Command(port, json.loads(frame.payload))
        elif frame.kind is Kind.INPUT and command is not None:
            command.read(frame.payload)
        elif frame.kind is Kind.APPLY:
            # Not imported for a command, which is a process of its own.
            from engines.guests.applying import answered

            port.send(Frame(Kind.ANSWER, answered(frame.payload)))


class Command:
    """A command that runs, with its output going through the port, and its exit code behind it."""

    def __init__(self, port: Port, words: list[str]) -> None:
        self._port = port
        self._ended = threading.Event()
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            port.send(Frame(Kind.ERRORS, f"{words[0]}: {error.strerror}\n".encode()))
            port.send(Frame(Kind.EXIT, b"127"))
            return
        threading.Thread(target=self._watch, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def read(self, piece: bytes) -> None:
        """Hand it a piece of its standard input; an empty one is the end."""
        stream = self._process.stdin
        assert stream is not None
        # It may have read enough, or have ended.
        with suppress(BrokenPipeError, ValueError):
            if piece:
                stream.write(piece)
            else:
                stream.close()

    def _watch(self) -> None:
        pumps = [
            threading.Thread(target=self._pump, args=(Kind.OUTPUT, self._process.stdout)),
            threading.Thread(target=self._pump, args=(Kind.ERRORS, self._process.stderr)),
        ]
        for pump in pumps:
            pump.start()
        code = self._process.wait()
        for pump in pumps:
            pump.join()
        self._ended.set()
        self._port.send(Frame(Kind.EXIT, str(code if code >= 0 else 128 - code).encode()))

    def _pump(self, kind: Kind, stream: IO[bytes]) -> None:
        while piece := stream.read(_PIECE):
            self._port.send(Frame(kind, piece))

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            self._port.send(Frame(Kind.BEAT))


def _port_named(name: str) -> Path:
    """The device of a virtio-serial port. Exits with a line if there is none, which the console shows."""
    for each in sorted(_PORTS.glob("*/name")):
        if each.read_text().strip() == name:
            return Path("/dev") / each.parent.name
    sys.exit(f"sameslots: no port named {name} (CONFIG_VIRTIO_CONSOLE)")


def main() -> None:
    """Serve the port of this guest."""
    fd = os.open(_port_named(_PORT), os.O_RDWR)
    serve(Port(fd))


if __name__ == "__main__":
    main()
