# SPDX-License-Identifier: GPL-2.0-only
"""Stands in for QEMU: takes its command line, and serves the port as the process inside a guest would.

How it behaves stands in the kernel that it is told to boot, behind what makes a file a bzImage: JSON, from a word to
what happens when a request holds that word ("hello" stands for the boot itself, "silent" for what comes before it).
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from engines.guests.frames import Frame, Kind
from engines.guests.inside import Port, serve

HEADER_BYTES = 0x206

OOPS = """\
[   11.000001] BUG: kernel NULL pointer dereference, address: 0000000000000010
[   11.000002] Oops: 0000 [#1] PREEMPT SMP
[   11.000003] RIP: 0010:some_function+0x10/0x20
[   11.000004]  ? a_guess+0x1/0x2
[   11.000005] ---[ end trace 0000000000000000 ]---
"""
PANIC = "[   12.000000] Kernel panic - not syncing: of fright\n"
LOCKUP = "[   13.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [python:77]\n"


class Bad(Port):
    """A port whose guest comes to harm at some requests."""

    def __init__(self, fd: int, console: int, harm: dict[str, str]) -> None:
        super().__init__(fd)
        self._console = console
        self._harm = harm
        self._served = 0

    def frames(self) -> Iterator[Frame]:
        for frame in super().frames():
            for word, harm in self._harm.items():
                if word.encode() in frame.payload:
                    frame = self._come_to(harm) or frame  # noqa: PLW2901 - what is served in its place
            self._served += frame.kind is Kind.APPLY
            yield frame

    def come_up(self) -> None:
        self._come_to(self._harm.pop("hello", ""))

    def _come_to(self, harm: str) -> Frame | None:
        harm, _, when = harm.partition(" ")
        if when == "later" and not self._served:
            return None
        if harm in ("oops", "oops-and-hang"):
            os.write(self._console, OOPS.encode())
        if harm == "panic":
            os.write(self._console, PANIC.encode())
        if harm == "spin":
            os.write(self._console, LOCKUP.encode())
        if harm in ("hang", "spin", "oops-and-hang"):
            time.sleep(1000)
        if harm == "garbage":
            os.write(self._fd, b"?" * 64)
        if harm in ("panic", "die"):
            sys.exit("qemu-system-x86_64: cannot go on" if harm == "die" else 0)
        if harm == "mistake":
            return Frame(Kind.APPLY, b"[]")
        if harm == "untrusted":
            self.send(Frame(Kind.ANSWER, json.dumps({"raised": ["Missing", "restart the guest"]}).encode()))
            return Frame(Kind.BEAT)
        return None


def main() -> None:
    words = sys.argv[1:]
    fds = dict(re.findall(r"socket,id=(\w+),fd=(\d+)", " ".join(words)))
    kernel = Path(words[words.index("-kernel") + 1])
    with Path(f"{kernel}.boots").open("a") as boots:
        boots.write(f"{os.getpid()}\n")
    Path(f"{kernel}.line").write_text("\n".join(words))
    harms = json.loads(kernel.read_bytes()[HEADER_BYTES:] or b"{}")
    silent = harms.pop("silent", "")
    if silent == "refuse":
        sys.exit("qemu-system-x86_64: warning: odd\nqemu-system-x86_64: -m 1X: what is an X?\nIt may be K, or M.")
    if silent == "die":
        sys.exit(0)
    if silent == "hang":
        time.sleep(1000)
    port = Bad(int(fds["port"]), int(fds["console"]), harms)
    os.write(int(fds["console"]), b"[    0.000000] Linux version 6.1.0-fake\r\n")
    port.come_up()
    serve(port)


main()
