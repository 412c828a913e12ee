# SPDX-License-Identifier: GPL-2.0-only
"""What goes between this process and the one inside a guest: frames of a kind and some bytes, in order.

One port carries all of them, so an exit code comes behind the output that it ends.
"""

from collections.abc import Iterator
from enum import Enum
from struct import Struct
from typing import NamedTuple

_HEAD = Struct("<cI")
MOST_BYTES = 64 << 20
"""A list of 131,072 entries is half of it as JSON."""


class Kind(Enum):
    """What a frame says. Into the guest: RUN, INPUT, APPLY. Out of it: HELLO, OUTPUT, ERRORS, EXIT, ANSWER, BEAT."""

    RUN = b"r"
    """Run a command: JSON."""
    INPUT = b"i"
    """A piece of its standard input; none: the end of it."""
    APPLY = b"a"
    """Apply a case: JSON."""
    HELLO = b"h"
    """The guest is ready."""
    OUTPUT = b"o"
    ERRORS = b"e"
    EXIT = b"x"
    """The command has ended: its exit code as digits."""
    ANSWER = b"y"
    """What became of a case: JSON."""
    BEAT = b"b"
    """A command is running, and the guest is alive."""


class Frame(NamedTuple):
    """A kind and its bytes."""

    kind: Kind
    payload: bytes = b""

    def packed(self) -> bytes:
        """As it goes over the wire."""
        return _HEAD.pack(self.kind.value, len(self.payload)) + self.payload


class BrokenFrame(Exception):
    """Bytes that are no frame: whoever sends them is no longer sane."""


class Unpacker:
    """Frames out of a stream of bytes, cut wherever it was cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises BrokenFrame."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(buffer)
            try:
                named = Kind(kind)
            except ValueError:
                raise BrokenFrame(f"a frame of kind {kind!r}") from None
            if length > MOST_BYTES:
                raise BrokenFrame(f"a frame of {length} bytes")
            end = _HEAD.size + length
            if len(buffer) < end:
                return
            payload = bytes(buffer[_HEAD.size : end])
            del buffer[:end]
            yield Frame(named, payload)
