# SPDX-License-Identifier: GPL-2.0-only
"""The one door to libmemslot.so: loaded here, asked here (shim/memslot_abi.h), by a process that may die of it.

And the memory that this process shares with the one that asks it.
"""

import ctypes
import mmap
import os
import signal
from pathlib import Path

ABI = 1
"""MEMSLOT_ABI."""
CASE_ROOM = 4 << 20
RESULT_ROOM = 60 << 20
SITES_ROOM = 1 << 20
"""Bytes for a case, for what comes of it, and for the basic blocks that it ran. Untouched ones take no memory."""
MOST_AT_ONCE, CASE_STRIDE, RESULT_STRIDE = 32, 64 << 10, 1 << 20
"""Several cases lie so far apart, and so do their results."""
_ALL = CASE_ROOM + RESULT_ROOM + SITES_ROOM
_PR_SET_PDEATHSIG = 1


class NotUsable(Exception):
    """The library cannot be used; the text says why."""


class Shared:
    """Memory of two processes: a case lies at its beginning, its result behind `CASE_ROOM` bytes."""

    def __init__(self, fd: int = -1) -> None:
        """Without `fd` new memory, whose descriptor a child inherits if it is told to."""
        self.fd = os.memfd_create("sameslots", os.MFD_CLOEXEC) if fd < 0 else fd
        if fd < 0:
            os.ftruncate(self.fd, _ALL)
        self.bytes = mmap.mmap(self.fd, _ALL)

    def close(self) -> None:
        """Give it back."""
        self.bytes.close()
        os.close(self.fd)


class Library:
    """The library of a build, with a case and its result in shared memory."""

    def __init__(self, path: Path, shared: Shared) -> None:
        """Load it. Raises NotUsable."""
        try:
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
            library.memslot_last_words.restype = ctypes.c_char_p
            library.memslot_facts.restype = ctypes.POINTER(ctypes.c_uint32)
            library.memslot_counters.restype = ctypes.POINTER(ctypes.c_ubyte)
            self._apply = library.memslot_apply
            self._apply.restype = ctypes.c_long
            self._apply.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong]
        except (OSError, AttributeError) as error:
            raise NotUsable(str(error)) from None
        self._library = library
        self._pinned = ctypes.c_char.from_buffer(shared.bytes)
        address = ctypes.addressof(self._pinned)
        self._case, self._result = address, address + CASE_ROOM
        self._sites = self._nsites = 0

    def open(self) -> None:
        """Make ready to apply cases in this very process. Raises NotUsable."""
        ended = self._library.memslot_open()
        if ended:
            words = (self._library.memslot_last_words() or b"").decode(errors="replace")
            raise NotUsable(f"a VM cannot be made ({-ended}): {words or 'no reason is given'}")
        facts = self._library.memslot_facts()
        if facts[0] != ABI:
            raise NotUsable(f"its interface is number {facts[0]}, expected {ABI}")

    def set_layout(self, layout: bytes) -> None:
        """Write lists like this: a struct memslot_layout. Raises NotUsable."""
        if self._library.memslot_set_layout(layout):
            raise NotUsable("the layout of its list ioctl is not possible")

    def count_sites(self) -> int:
        """How many basic blocks are counted: none, if the build is not one with --coverage."""
        n = ctypes.c_uint32()
        counters = self._library.memslot_counters(ctypes.byref(n))
        self._sites = ctypes.addressof(counters.contents) if counters and n.value <= SITES_ROOM else 0
        self._nsites = n.value if self._sites else 0
        return self._nsites

    def hand_over_sites(self) -> None:
        """Put into shared memory how often each basic block was run since the last time."""
        ctypes.memmove(self._case + CASE_ROOM + RESULT_ROOM, self._sites, self._nsites)
        ctypes.memset(self._sites, 0, self._nsites)

    def apply(self, i: int, room: int) -> None:
        """Apply the i-th case that lies in shared memory; of the others its result may take `room`."""
        self._apply(self._case + i * CASE_STRIDE, self._result + i * RESULT_STRIDE, room)


def end_with_parent() -> None:
    """Let this process be killed when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
