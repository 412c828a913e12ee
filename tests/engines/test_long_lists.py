# SPDX-License-Identifier: GPL-2.0-only
"""Lists of ten thousand entries end, and end as short ones do. How long they take is a matter for bench/."""

from collections.abc import Callable
from errno import EINVAL

import pytest

from engines.simulated.engines import RfcV1, Serial
from memslots.case import Case

CaseOf = Callable[..., Case]

N = 10_000


def each(line: str) -> list[str]:
    """N lines: `{i}` is the slot, `{gpa}` a page of its own, `{far}` one beyond all of these."""
    return [line.format(i=i, gpa=hex(i * 0x2000), far=hex((N + i) * 0x2000)) for i in range(N)]


GIVEN = each("given slot={i} gpa={gpa} size=0x1000 hva=0x100000000000")
CREATES = each("apply slot={i} gpa={gpa} size=0x1000 hva=0x100000000000")
DELETES = each("apply slot={i} size=0 invalidate")
MOVES = each("apply slot={i} gpa={far} size=0x1000 hva=0x100000000000 invalidate")
FLAGS = each("apply slot={i} gpa={gpa} size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES")

SOUND = {
    # lines, slots left, publications of the list ioctl
    "creates": (CREATES, N, 1),
    "flagged deletes": ([*GIVEN, *DELETES], 0, N + 1),
    "flagged moves": ([*GIVEN, *MOVES], N, N + 1),
    "flags only": ([*GIVEN, *FLAGS], N, 1),
    "resizes": (
        [*GIVEN, *DELETES, *(line.replace("0x1000 ", "0x2000 ") for line in CREATES)],
        N,
        N + 1,
    ),
}


@pytest.mark.parametrize(("lines", "left", "publications"), SOUND.values(), ids=SOUND.keys())
def test_ten_thousand_sound_entries_come_out_as_serial_has_them(
    lines: list[str], left: int, publications: int, case_of: CaseOf
) -> None:
    case = case_of(*lines)
    serial, batched = Serial().apply(case), RfcV1().apply(case)
    assert (serial.errno, batched.value, batched.errno) == (0, 0, 0)
    assert len(serial.active[0]) == left
    assert batched.active == batched.inactive == serial.active
    assert batched.publications == publications
    assert (batched.leaked, batched.corrupt) == (0, False)


BROKEN = {
    "the last id is bad": ([*CREATES, "apply slot=32764 size=0"], EINVAL),
    "the last entry is refused": ([*CREATES, "apply slot=32763 size=0"], EINVAL),
    "the first entry is refused": (["apply slot=32763 size=0", *CREATES], EINVAL),
}


@pytest.mark.parametrize(("lines", "errno"), BROKEN.values(), ids=BROKEN.keys())
def test_one_bad_entry_among_ten_thousand_is_refused(lines: list[str], errno: int, case_of: CaseOf) -> None:
    case = case_of(*lines)
    assert (RfcV1().apply(case).errno, Serial().apply(case).errno) == (errno, errno)
    assert sum(map(bool, Serial(keep_going=True).apply(case).entry_errnos or ())) == 1


SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
MISUSED = {
    "deletes of one slot": [SLOT_0, *["apply slot=0 size=0 invalidate"] * N],
    "moves of one slot": [SLOT_0, *(line.replace(f"slot={i} ", "slot=0 ") for i, line in enumerate(MOVES))],
    "unflagged deletes": [*GIVEN, *(line.removesuffix(" invalidate") for line in DELETES)],
    "unflagged moves": [*GIVEN, *(line.removesuffix(" invalidate") for line in MOVES)],
}


@pytest.mark.parametrize("lines", MISUSED.values(), ids=MISUSED.keys())
def test_ten_thousand_misused_entries_end_corrupt(lines: list[str], case_of: CaseOf) -> None:
    outcome = RfcV1().apply(case_of(*lines))
    assert outcome.corrupt
    assert outcome.ended in ("returned", "crashed", "looped")
