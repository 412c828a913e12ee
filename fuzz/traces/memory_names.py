# SPDX-License-Identifier: GPL-2.0-only
"""userspace addresses renamed: what mmap drew for a run, made into addresses that are the same for every run.

Memory that was one range stays one: distances within it are kept, and so is what lies at 2 MiB, or where gpa and hva
agree in what is below that (as huge pages need it). The kernel asks no more than whether two are equal.
"""

from bisect import bisect_right
from dataclasses import dataclass

from memslots.region import Region
from memslots.uapi import TASK_SIZE_MAX

FIRST = 0x1000_0000_0000
_STRIDE = 1 << 36
"""Ranges begin so far apart, or a multiple of it."""
_END = TASK_SIZE_MAX - (1 << 43)
"""What begins below it ends within the user address range, however far a range grows: a slot has 8 TiB at most."""
_HUGE = 2 << 20
_PAGE = 4096


@dataclass(slots=True)
class _Range:
    """Addresses that were one range of memory, and what is added to each. It may grow, up to the next one."""

    begin: int
    end: int
    shift: int


class MemoryNames:
    """One VM's memory: a name for each range of userspace addresses, in the order of their first use.

    What an address was called once it is called for ever: a slot that stands must know its memory again.
    """

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ranges: list[_Range] = []
        self._next = FIRST

    def renamed(self, region: Region) -> Region:
        """The region with its userspace address renamed; one that the kernel must refuse keeps it."""
        begin = region.userspace_addr
        end = begin + region.memory_size
        if begin == 0 or begin % _PAGE or end > TASK_SIZE_MAX:
            return region
        at = bisect_right(self._begins, begin)
        known = self._ranges[at - 1] if at else None
        if known is None or begin >= max(known.end, known.begin + 1):
            # Where its end is known already, it is the beginning of that range.
            reaches = at < len(self._ranges) and self._ranges[at].begin < end
            shift = self._ranges[at].shift if reaches else self._new(begin, end, region.guest_phys_addr)
            known = _Range(begin, begin, shift)
            self._begins.insert(at, begin)
            self._ranges.insert(at, known)
            at += 1
        self._reaches(at - 1, end)
        return region._replace(userspace_addr=begin + known.shift)

    def _reaches(self, first: int, end: int) -> None:
        """Let memory reach from one range to `end`: each range on the way grows to where the next begins."""
        at = first
        while at < len(self._ranges) and self._ranges[at].begin < end:
            limit = self._begins[at + 1] if at + 1 < len(self._begins) else end
            self._ranges[at].end = max(self._ranges[at].end, min(end, limit))
            at += 1

    def _new(self, begin: int, end: int, gpa: int) -> int:
        if begin % _HUGE == 0:
            low = 0
        elif (begin - gpa) % _HUGE == 0:
            low = gpa % _HUGE
        else:
            low = _PAGE
        strides = max(-(-(end - begin + low) // _STRIDE), 1)
        if self._next + strides * _STRIDE > _END:
            self._next = FIRST  # more memory than there are names: two share one, which no kernel minds
        shift = self._next + low - begin
        self._next += strides * _STRIDE
        return shift
