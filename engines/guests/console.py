# SPDX-License-Identifier: GPL-2.0-only
"""What the console of a guest says of its kernel: whether it oopsed, panicked or got stuck, and in which lines."""

import re
from collections import deque

_MOST_LINES = 60
_KEPT = 400
_PREFIX = re.compile(r"^(?:\[[ 0-9.]+\])?(?:\[ *[TC][0-9]+\])? ?")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|c|[()].)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CRASHES: tuple[tuple[re.Pattern[str], str | None], ...] = (
    (re.compile(r"BUG: KASAN: (?:[a-z]+-)?use-after-free"), "use-after-free"),
    (re.compile(r"BUG: kernel NULL pointer dereference|KASAN: null-ptr-deref"), "null-dereference"),
    (re.compile(r"kernel BUG at "), "bug"),
    (re.compile(r"BUG: KASAN: |BUG: unable to handle |general protection fault|^Oops: |Kernel panic - "), None),
)
"""The first line of a report, and the kind of crash that it tells of: None if it does not tell."""
_WAITS = re.compile(r"INFO: task .* blocked for more than")
_SPINS = re.compile(r"soft lockup|detected stalls? on|self-detected stall|hard LOCKUP")
_GUESS = re.compile(r"^ *\? ")
"""A line of a call trace that the kernel itself does not vouch for."""
_WARNING = re.compile(r"^WARNING: ")
_END = re.compile(r"---\[ end ")


class Console:
    """The lines of a console, as they come."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=_KEPT)
        """The latest lines, whatever they say."""
        self.oops: list[str] = []
        """The lines of a crash, from the first that tells of one."""
        self.stuck: list[str] = []
        """Lines that say that a task waits, or a processor spins, for too long."""
        self.spins = False
        """Whether one of them tells of a processor."""
        self.warnings: list[str] = []
        """The first line of each WARN."""
        self.kind: str | None = None
        self._partial = b""
        self._open = False

    def feed(self, data: bytes) -> None:
        """Read what has come."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > 1 << 16:
            self._partial = b""  # no console of a sane kernel
        for line in lines:
            self._read(_ESCAPES.sub("", line.decode("utf-8", "replace")).rstrip())

    def headline(self) -> str:
        """The line that says best what happened: the first of a report, without its time."""
        return _PREFIX.sub("", self.oops[0]) if self.oops else ""

    def end(self) -> None:
        """There is no more: what has come of the last line counts."""
        self.feed(b"\n")

    def _read(self, line: str) -> None:
        if not line:
            return
        self.last.append(line)
        said = _PREFIX.sub("", line)
        begins = self._begins_a_report(said)
        self._open = self._open or begins
        if self._open and len(self.oops) < _MOST_LINES and not _GUESS.match(said):
            self.oops.append(line)
        if _END.search(said):
            self._open = False
        spins = _SPINS.search(said) is not None
        self.spins = self.spins or spins
        if spins or _WAITS.search(said):
            self.stuck.append(line)
        if _WARNING.search(said):
            self.warnings.append(line)

    def _begins_a_report(self, said: str) -> bool:
        for pattern, kind in _CRASHES:
            if pattern.search(said):
                # The first report is the cause; it may say what it is on a later line only.
                if self.kind is None and (not self.oops or self._open):
                    self.kind = kind
                return True
        return False
