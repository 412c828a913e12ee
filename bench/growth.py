# SPDX-License-Identifier: GPL-2.0-only
"""How the time of one trial grows with the length of its list, up to 10,000 entries, and what memory nent takes.

Run as a module: python -m bench.growth.
"""

import time
import tracemalloc
from collections.abc import Callable

from engines.simulated.engines import RfcV1, Serial
from fuzz.trial import Trial
from memslots.case import Case
from memslots.region import Region

PAGE = 4096
HVA = 0x1000_0000_0000


def creates(n: int) -> Case:
    """A list of n CREATEs."""
    return Case(tuple(Region(i, 0, i * PAGE, PAGE, HVA + i * PAGE) for i in range(n)))


def deletes(n: int) -> Case:
    """A list that deletes n slots, flagged."""
    return Case(tuple(Region(i, invalidate_slot=1) for i in range(n)), given=creates(n).apply)


def stray(n: int) -> Case:
    """A list of n moves of n slots, unflagged: each publishes, so the sets go astray."""
    moves = tuple(region._replace(guest_phys_addr=region.guest_phys_addr + (n << 13)) for region in creates(n).apply)
    return Case(moves, given=creates(n).apply)


def main() -> None:
    """Print the table."""
    trial = Trial(Serial(), RfcV1())
    shapes: tuple[Callable[[int], Case], ...] = (creates, deletes, stray)
    for make in shapes:
        for n in (100, 1_000, 10_000):
            case = make(n)
            begin = time.process_time()
            trial.judge(case)
            took = time.process_time() - begin
            print(f"{make.__name__:8} {n:6} entries: {took:7.3f} s, {took / n * 1e6:6.1f} us an entry")
    tracemalloc.start()
    trial.judge(Case(creates(5).apply, nent=0xFFFF_FFFF))
    trial.judge(Case(creates(5).apply, nent=33_554_431))
    print(f"nent of 2^32-1 and 2^25-1: peak {tracemalloc.get_traced_memory()[1] / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
