# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl: how often it publishes (c.4), and which locks each pass takes and drops (c.3)."""

from collections.abc import Callable

import pytest

from engines.simulated.engines import RfcV1, Serial
from memslots.case import Case
from memslots.outcome import Outcome

CaseOf = Callable[..., Case]
Locks = Callable[[Outcome], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x5000 size=0x2000 hva=0x100000100000"
MOVE_0 = "slot=0 gpa=0x1000 size=0x1000 hva=0x100000000000"

LISTS = {
    # list, publications, generation of both address spaces; five CREATEs came before, one of them in address space 1
    "one CREATE": (["slot=9 gpa=0x9000 size=0x1000 hva=0x0"], 1, (10, 3)),
    "two CREATEs": (["slot=8 gpa=0x8000 size=0x1000 hva=0x0", "slot=9 gpa=0x9000 size=0x1000 hva=0x0"], 1, (10, 3)),
    "FLAGS_ONLY": (["slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"], 1, (10, 3)),
    "DELETE": (["slot=0 size=0 invalidate"], 2, (12, 3)),
    "three DELETEs": (["slot=0 size=0 invalidate", "slot=1 size=0 invalidate", "slot=2 size=0 invalidate"], 4, (16, 3)),
    "MOVE": (["slot=0 gpa=0x1000 size=0x1000 hva=0x100000000000 invalidate"], 2, (12, 3)),
    "resize": (["slot=0 size=0 invalidate", "slot=0 gpa=0x0 size=0x2000 hva=0x100000000000"], 2, (12, 3)),
    "DELETE, MOVE, CREATE": (
        [
            "slot=1 size=0 invalidate",
            "slot=0 gpa=0x1000 size=0x1000 hva=0x100000000000 invalidate",
            "slot=9 gpa=0x5000 size=0x1000 hva=0x0",
        ],
        3,
        (14, 3),
    ),
    "CREATE in both": (
        ["slot=9 gpa=0x9000 size=0x1000 hva=0x0", "slot=1:9 gpa=0x9000 size=0x1000 hva=0x0"],
        2,
        (10, 5),
    ),
    "DELETE here, CREATE there": (["slot=0 size=0 invalidate", "slot=1:9 gpa=0x9000 size=0x1000 hva=0x0"], 3, (12, 5)),
    "DELETE in both": (["slot=0 size=0 invalidate", "slot=1:0 size=0 invalidate"], 4, (12, 7)),
    "address space 1 alone": (["slot=1:9 gpa=0x9000 size=0x1000 hva=0x0"], 1, (8, 5)),
}


@pytest.mark.parametrize(("entries", "swaps", "generation"), LISTS.values(), ids=LISTS.keys())
def test_a_list_publishes_each_delete_and_move_and_each_address_space_once(
    entries: list[str], swaps: int, generation: tuple[int, int], case_of: CaseOf
) -> None:
    given = [
        SLOT_0,
        SLOT_1,
        "given slot=2 gpa=0x3000 size=0x1000 hva=0x0",
        "given slot=3 gpa=0x4000 size=0x1000 hva=0x0",
    ]
    case = case_of(*given, "given slot=1:0 gpa=0x0 size=0x1000 hva=0x0", *(f"apply {entry}" for entry in entries))
    outcome = RfcV1().apply(case)
    assert (outcome.value, outcome.errno, outcome.publications) == (0, 0, swaps)
    assert outcome.generation == generation
    assert outcome.active == outcome.inactive == Serial().apply(case).active


LOOKED = "+slots -slots"
EDITED = "+slots +arch -arch -slots"
INVALIDATED = "+slots +arch publish -arch +arch -arch -slots"
FINISHED = "+slots +arch publish -arch +arch -arch -slots"
ORDERS = {
    # list, locks and publications in the first pass, for each entry of the second, in the third
    "CREATE": (["slot=9 gpa=0x9000 size=0x1000 hva=0x0"], [LOOKED, EDITED, FINISHED]),
    "DELETE": (["slot=0 size=0 invalidate"], [INVALIDATED, EDITED, FINISHED]),
    "unflagged DELETE": (["slot=0 size=0"], [LOOKED, INVALIDATED, FINISHED]),
    "two MOVEs": (
        [f"{MOVE_0} invalidate", "slot=1 gpa=0x9000 size=0x2000 hva=0x100000100000 invalidate"],
        ["+slots +arch publish -arch +arch -arch +arch publish -arch +arch -arch -slots", EDITED, EDITED, FINISHED],
    ),
    "both address spaces": (
        ["slot=9 gpa=0x9000 size=0x1000 hva=0x0", "slot=1:9 gpa=0x9000 size=0x1000 hva=0x0"],
        [LOOKED, EDITED, EDITED, "+slots +arch publish -arch +arch publish -arch +arch -arch -slots"],
    ),
    "refused in the first pass": (["slot=9 size=0 invalidate"], [LOOKED]),
    "refused in the second pass": (["slot=9 size=0"], [LOOKED, LOOKED]),
    "flagged by mistake": (
        ["slot=9 size=0", "slot=9 gpa=0x9000 size=0x1000 hva=0x0 invalidate"],
        ["+slots +arch -slots", LOOKED],
    ),
    "a bad id": (["slot=32764 size=0"], ["+slots"]),
}


@pytest.mark.parametrize(("entries", "order"), ORDERS.values(), ids=ORDERS.keys())
def test_which_locks_each_pass_of_a_list_takes_and_when_it_publishes(
    entries: list[str], order: list[str], case_of: CaseOf, locks: Locks
) -> None:
    case = case_of(SLOT_0, SLOT_1, *(f"apply {entry}" for entry in entries))
    outcome = RfcV1().apply(case, record=True)
    assert locks(outcome) == " ".join(order)
