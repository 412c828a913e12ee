# SPDX-License-Identifier: GPL-2.0-only
"""The single ioctl checks in the order of b.3: of everything that is wrong with a request, the first step answers."""

from collections.abc import Callable
from errno import EEXIST, EFAULT, EINVAL, EIO, ENOMEM

import pytest

from engines.simulated.engines import Serial
from engines.simulated.kernel import Kernel
from engines.simulated.serial import set_memory_region
from memslots.case import Case
from memslots.outcome import Outcome
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Refusals = Callable[[Outcome], list[str]]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x5000 size=0x1000 hva=0x100000100000"

# Each request violates its own step and every later one that a request can still violate with it.
CHAIN = [
    # step, request, faults, errno, why
    ("1", "slot=65535:65535 flags=0xffffffff gpa=0x1 size=0xffffffffffffffff hva=0xffffffffffffffff",
     ["fault copy=0"], EFAULT, "EFAULT: copy of the region"),
    ("2", "slot=65535:65535 flags=0xffffffff gpa=0x1 size=0xffffffffffffffff hva=0xffffffffffffffff",
     [], EINVAL, "EINVAL: id out of range"),
    ("3", "slot=65535:0 flags=0xffffffff gpa=0x1 size=0xffffffffffffffff hva=0xffffffffffffffff",
     [], EINVAL, "EINVAL: unknown flag"),
    ("4", "slot=65535:0 gpa=0x1 size=0xffffffffffffffff hva=0xffffffffffffffff",
     [], EINVAL, "EINVAL: memory_size unaligned"),
    ("5", "slot=65535:0 gpa=0xffffffffffffffff size=0xfffffffffffff000 hva=0xffffffffffffffff",
     [], EINVAL, "EINVAL: guest_phys_addr unaligned"),
    ("6 alignment", "slot=65535:0 gpa=0xfffffffffffff000 size=0xfffffffffffff000 hva=0xffffffffffffffff",
     [], EINVAL, "EINVAL: userspace_addr unaligned"),
    ("6 range", "slot=65535:0 gpa=0xfffffffffffff000 size=0xfffffffffffff000 hva=0xfffffffffffff000",
     [], EINVAL, "EINVAL: outside the user address range"),
    ("7", "slot=2:0 gpa=0xfffffffffffff000 size=0x80000000000 hva=0x0",
     [], EINVAL, "EINVAL: no such address space"),
    ("8", "slot=0 gpa=0xfffffffffffff000 size=0x80000000000 hva=0x0",
     [], EINVAL, "EINVAL: guest_phys_addr + memory_size wraps"),
    # From here on the request also changes slot 0 in what may not change, and covers slot 1.
    ("9", "slot=0 gpa=0x2000 size=0x80000000000 hva=0x0 flags=READONLY",
     [], EINVAL, "EINVAL: too many pages"),
    ("12", "slot=0 gpa=0x5000 size=0x2000 hva=0x0 flags=READONLY",
     [], EINVAL, "EINVAL: resize, other userspace_addr or READONLY toggled"),
    # From here on allocations fail too, and the last row asks for the first gfn that the machine does not have.
    ("13", "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
     ["fault slot=0", "fault invalid=0", "fault bitmap=0", "fault prepare=0"], EEXIST, "EEXIST: overlap"),
    ("14", "slot=0 gpa=0x6000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
     ["fault slot=0", "fault invalid=0", "fault bitmap=0", "fault prepare=0"], ENOMEM, "ENOMEM: no slot object"),
    ("15 INVALID copy", "slot=0 gpa=0x6000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
     ["fault invalid=0", "fault bitmap=0", "fault prepare=0"], ENOMEM, "ENOMEM: no INVALID copy"),
    ("15 bitmap", "slot=0 gpa=0x6000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
     ["fault bitmap=0", "fault prepare=0"], ENOMEM, "ENOMEM: no dirty bitmap"),
    ("15 hook", "slot=0 gpa=0x6000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
     [], EINVAL, "EINVAL: beyond the maximum gfn"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "faults", "errno", "why"), [pytest.param(*row, id=f"step {step}") for step, *row in CHAIN]
)
def test_the_first_violated_step_answers(
    *, words: str, faults: list[str], errno: int, why: str, case_of: CaseOf, refusals: Refusals
) -> None:
    case = case_of("machine linux-6.1 max_gfn=0x5", SLOT_0, SLOT_1, f"apply {words}", *faults)
    outcome = Serial().apply(case, record=True)
    assert (outcome.value, outcome.errno, outcome.entry_errnos) == (-1, errno, (errno,))
    assert refusals(outcome) == [why]
    assert outcome.active == outcome.inactive == outcome.before == outcome.at_first_refusal
    assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.leaked) == (False, False, 0)
    if not faults:
        assert Serial().apply(case).errno == errno


SLOT_2 = "given slot=2 gpa=0x2000 size=0x2000 hva=0x100000200000"

PAIRS = {
    "a CREATE: EEXIST (13) before the maximum gfn (15)": ("slot=3 gpa=0x5000 size=0x2000 hva=0x0", EEXIST),
    "a CREATE: the maximum gfn where nothing overlaps": ("slot=3 gpa=0x6000 size=0x1000 hva=0x0", EINVAL),
    "a MOVE: EEXIST (13) before the maximum gfn (15)": ("slot=2 gpa=0x5000 size=0x2000 hva=0x100000200000", EEXIST),
    "a DELETE of a missing slot (11) is no overlap (13)": ("slot=3 gpa=0x5000 size=0 hva=0x0", EINVAL),
    "a MOVE that wraps (8) is no MOVE beyond the maximum gfn (15)": (
        "slot=0 gpa=0xfffffffffffff000 size=0x1000 hva=0x100000000000",
        EINVAL,
    ),
    "a MOVE with an unknown flag (3), likewise": (
        "slot=0 gpa=0x6000 size=0x1000 hva=0x100000000000 flags=0x4",
        EINVAL,
    ),
    "another size (12) before overlap (13)": ("slot=0 gpa=0x4000 size=0x2000 hva=0x100000000000", EINVAL),
    "another hva (12) before overlap (13)": ("slot=0 gpa=0x5000 size=0x1000 hva=0x0", EINVAL),
    "READONLY toggled (12) before overlap (13)": (
        "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000 flags=READONLY",
        EINVAL,
    ),
}


@pytest.mark.parametrize(("words", "errno"), PAIRS.values(), ids=PAIRS.keys())
def test_whatever_is_refused_before_the_hook_publishes_nothing(words: str, errno: int, case_of: CaseOf) -> None:
    case = case_of("machine linux-6.1 max_gfn=0x5", SLOT_0, SLOT_1, SLOT_2, f"apply {words}")
    for outcome in (Serial().apply(case), Serial().apply_faithfully(case)):
        assert (outcome.errno, outcome.publications) == (errno, 0)


DELETES = {
    "slot=0 size=0": 0,
    "slot=0 size=0 gpa=0x7000 hva=0x7000": 0,
    "slot=0 size=0 flags=LOG_DIRTY_PAGES": 0,
    "slot=0 size=0 flags=READONLY": 0,
    "slot=0 size=0 gpa=0xfffffffffffff000 hva=0x1000 flags=LOG_DIRTY_PAGES|READONLY": 0,
    "slot=0 size=0 flags=0x4": EINVAL,
    "slot=0 size=0 flags=INVALID": EINVAL,
    "slot=0 size=0 gpa=0x1": EINVAL,
    "slot=0 size=0 hva=0x1": EINVAL,
    "slot=0 size=0 hva=0x800000000000": EINVAL,
    "slot=1 size=0": EINVAL,
    "slot=1:0 size=0": EINVAL,
    "slot=2:0 size=0": EINVAL,
    "slot=32764 size=0": EINVAL,
}


@pytest.mark.parametrize(("words", "errno"), DELETES.items(), ids=DELETES.keys())
def test_a_delete_is_checked_like_any_request_and_its_contents_are_ignored(
    words: str, errno: int, case_of: CaseOf, written: Written
) -> None:
    outcome = Serial().apply(case_of(SLOT_0, f"apply {words}"))
    assert outcome.errno == errno
    assert written(outcome.active) == ("s0=[0x0,+0x1000)" if errno else "")


RANGES = {
    # s0 stands at [0x4000,+0x4000); another id in the same address space, or in the other one.
    "slot=1 gpa=0x0 size=0x4000": 0,
    "slot=1 gpa=0x0 size=0x5000": EEXIST,
    "slot=1 gpa=0x3000 size=0x2000": EEXIST,
    "slot=1 gpa=0x4000 size=0x1000": EEXIST,
    "slot=1 gpa=0x4000 size=0x4000": EEXIST,
    "slot=1 gpa=0x5000 size=0x1000": EEXIST,
    "slot=1 gpa=0x7000 size=0x1000": EEXIST,
    "slot=1 gpa=0x7000 size=0x9000": EEXIST,
    "slot=1 gpa=0x8000 size=0x1000": 0,
    "slot=1 gpa=0x0 size=0x20000": EEXIST,
    "slot=1:1 gpa=0x4000 size=0x4000": 0,
    "slot=1:0 gpa=0x4000 size=0x4000": 0,
    # s9 at [0x20000,+0x2000) moves: over itself, next to the other, into it.
    "slot=9 gpa=0x21000 size=0x2000 hva=0x900000000": 0,
    "slot=9 gpa=0x1f000 size=0x2000 hva=0x900000000": 0,
    "slot=9 gpa=0x8000 size=0x2000 hva=0x900000000": 0,
    "slot=9 gpa=0x2000 size=0x2000 hva=0x900000000": 0,
    "slot=9 gpa=0x3000 size=0x2000 hva=0x900000000": EEXIST,
    "slot=9 gpa=0x7000 size=0x2000 hva=0x900000000": EEXIST,
}


@pytest.mark.parametrize(("words", "errno"), RANGES.items(), ids=RANGES.keys())
def test_only_a_different_id_of_the_same_address_space_overlaps(words: str, errno: int, case_of: CaseOf) -> None:
    case = case_of(
        "given slot=0 gpa=0x4000 size=0x4000 hva=0x100000000000",
        "given slot=9 gpa=0x20000 size=0x2000 hva=0x900000000",
        f"apply {words}",
    )
    assert Serial().apply(case).errno == errno
    assert Serial().apply_faithfully(case).errno == errno


def test_a_move_may_overlap_its_own_old_range_but_nothing_behind_it(case_of: CaseOf) -> None:
    slots = ["given slot=0 gpa=0x0 size=0x4000 hva=0x0", "given slot=1 gpa=0x5000 size=0x1000 hva=0x0"]
    for gpa, errno in (("0x1000", 0), ("0x2000", EEXIST), ("0x5000", EEXIST), ("0x6000", 0)):
        assert Serial().apply(case_of(*slots, f"apply slot=0 gpa={gpa} size=0x4000 hva=0x0")).errno == errno


@pytest.mark.parametrize(
    ("pages", "words", "errno"),
    [
        ((1 << 64) - 2, "slot=1 gpa=0x5000 size=0x1000 hva=0x0", 0),
        ((1 << 64) - 1, "slot=1 gpa=0x5000 size=0x1000 hva=0x0", EINVAL),
        ((1 << 64) - 1, "slot=1 gpa=0x0 size=0x1000 hva=0x0", EINVAL),
        ((1 << 64) - 2, "slot=1 gpa=0x0 size=0x1000 hva=0x0", EEXIST),
        ((1 << 64) - 1, "slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000", 0),
        (1, "slot=0 size=0", 0),
        (0, "slot=0 size=0", EIO),
    ],
    ids=["fits", "wraps", "wraps and overlaps", "overlaps", "a MOVE adds no pages", "DELETE", "more than there are"],
)
def test_the_page_count_is_guarded_before_overlap(
    pages: int, words: str, errno: int, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of(SLOT_0, f"apply {words}")
    kernel = kernel_of(case)
    kernel.nr_memslot_pages = pages
    before = kernel.walk(0)
    assert set_memory_region(kernel, case.apply[0]) == -errno
    assert kernel.warned == (errno == EIO)
    assert (kernel.walk(0) == before) == (errno != 0)
    assert kernel.walk(0) == kernel.walk(1)
