# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's log: what it has said since one last looked.

/dev/kmsg gives one record a read, `level,sequence,microseconds,flags[,caller];text`, with keys on lines of their own
that begin with a blank (Documentation/ABI/testing/dev-kmsg).
"""

import os
import re
from contextlib import suppress
from errno import EPIPE
from functools import cache
from pathlib import Path
from typing import NamedTuple

from memslots.errors import Missing

KMSG = "/dev/kmsg"
_ONCE_MORE = Path("/sys/kernel/debug/clear_warn_once")
_SYMBOLS = Path("/proc/kallsyms")
_NAMESPACE = Path("/proc/self/ns/pid")
_FIRST_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO (include/linux/proc_ns.h)."""
_RECORD_BYTES = 8192
"""More than the kernel's longest record: a shorter read would be EINVAL."""
_RECORD = re.compile(r"\d+,(\d+),\d+,([^,;]*)([^;]*);(.*)")
_CALLER = re.compile(r",caller=([TC]\d+)")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


class Line(NamedTuple):
    """A line, and who printed it: T and the number of a task, C and that of a processor outside any task.

    Nobody where the kernel does not say so (CONFIG_PRINTK_CALLER).
    """

    text: str
    caller: str = ""


class Heard(NamedTuple):
    """The lines that were new, and whether some were lost before they could be read."""

    lines: tuple[Line, ...] = ()
    lost: bool = False


class KernelLog:
    """The log from now on. Raises Missing where it may not be read."""

    def __init__(self, path: str = KMSG) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Missing(f"{path}: {error.strerror}: expected the kernel's log, which root may read") from None
        os.lseek(self._fd, 0, os.SEEK_END)
        self._rest = b""
        self._next: int | None = None

    def news(self) -> Heard:
        """What was said since the last look, or since the log was opened. Does not wait."""
        lines: list[Line] = []
        lost = False
        while True:
            try:
                chunk = os.read(self._fd, _RECORD_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != EPIPE:
                    raise
                # Overwritten before it was read. The next read is of the oldest record that is left.
                lost = True
                continue
            if not chunk:
                break
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            for line in whole:
                lost |= self._take(line.decode(errors="replace"), lines)
        return Heard(tuple(lines), lost)

    def _take(self, line: str, lines: list[Line]) -> bool:
        """Add a line's text to `lines`. True if records are missing before it."""
        record = _RECORD.fullmatch(line)
        if record is None:
            return False  # a key of the record before it
        sequence, flags, text = int(record[1]), record[2], record[4]
        caller = _CALLER.search(record[3])
        text = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), text)
        missing = self._next is not None and sequence > self._next
        self._next = sequence + 1
        if flags == "c" and lines and not missing:
            # The end of a line that was printed in pieces.
            lines[-1] = lines[-1]._replace(text=lines[-1].text + text)
        else:
            lines.append(Line(text, caller[1] if caller else ""))
        return missing

    def close(self) -> None:
        """Stop listening."""
        os.close(self._fd)


def known_as(pid: int, namespace: Path = _NAMESPACE) -> int | None:
    """The number by which the log knows a process of ours; None in a container, which numbers processes by itself."""
    try:
        return pid if str(namespace.readlink()) == _FIRST_NAMESPACE else None
    except OSError:
        return None


def warn_once_more(path: Path = _ONCE_MORE) -> None:
    """Let each WARN_ON_ONCE speak again, where debugfs is mounted; otherwise each has one word a boot."""
    with suppress(OSError):
        path.write_text("1")


@cache
def kasan_is_here(symbols: Path = _SYMBOLS) -> bool:
    """Whether this kernel would report memory errors: it has KASAN's reporter."""
    try:
        with symbols.open() as lines:
            return any(line.endswith(" kasan_report\n") for line in lines)
    except OSError:
        return False
