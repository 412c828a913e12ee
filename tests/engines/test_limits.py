# SPDX-License-Identifier: GPL-2.0-only
"""Every limit of the uAPI (a.4), at its last accepted value and at its first refused one."""

from collections.abc import Callable
from errno import EINVAL

import pytest

from engines.simulated.engines import RfcV1, Serial
from memslots.case import Case
from memslots.outcome import Outcome

CaseOf = Callable[..., Case]
Refusals = Callable[[Outcome], list[str]]

BAD_ID = "EINVAL: id out of range"
BAD_FLAG = "EINVAL: unknown flag"
BAD_SIZE = "EINVAL: memory_size unaligned"
BAD_GPA = "EINVAL: guest_phys_addr unaligned"
BAD_HVA = "EINVAL: userspace_addr unaligned"
BAD_RANGE = "EINVAL: outside the user address range"
BAD_SPACE = "EINVAL: no such address space"
WRAPS = "EINVAL: guest_phys_addr + memory_size wraps"
TOO_MANY = "EINVAL: too many pages"
BEYOND = "EINVAL: beyond the maximum gfn"
OK = ""

PAGE = "gpa=0x0 size=0x1000 hva=0x100000000000"
PAGE_16K = "gpa=0x0 size=0x4000 hva=0x100000000000"
PAGE_64K = "gpa=0x0 size=0x10000 hva=0x100000000000"

LINUX_6_1 = {
    # KVM_USER_MEM_SLOTS: x86 has ids 0..32763 for user space, 32764..32766 are its own.
    f"slot=32762 {PAGE}": OK,
    f"slot=32763 {PAGE}": OK,
    f"slot=32764 {PAGE}": BAD_ID,
    f"slot=32765 {PAGE}": BAD_ID,
    f"slot=32766 {PAGE}": BAD_ID,
    f"slot=32767 {PAGE}": BAD_ID,
    f"slot=32768 {PAGE}": BAD_ID,
    f"slot=65535 {PAGE}": BAD_ID,
    f"slot=1:32763 {PAGE}": OK,
    f"slot=1:32764 {PAGE}": BAD_ID,
    # KVM_ADDRESS_SPACE_NUM: two.
    f"slot=0:0 {PAGE}": OK,
    f"slot=1:0 {PAGE}": OK,
    f"slot=2:0 {PAGE}": BAD_SPACE,
    f"slot=32768:0 {PAGE}": BAD_SPACE,
    f"slot=65535:0 {PAGE}": BAD_SPACE,
    # KVM_MEM_MAX_NR_PAGES: 2^31 - 1.
    "slot=0 gpa=0x0 size=0x7ffffffe000 hva=0x0": OK,
    "slot=0 gpa=0x0 size=0x7fffffff000 hva=0x0": OK,
    "slot=0 gpa=0x0 size=0x80000000000 hva=0x0": TOO_MANY,
    # The maximum gfn with shadow paging, 2^40 - 1, is the last that a slot may hold.
    "slot=0 gpa=0xffffffffffe000 size=0x1000 hva=0x0": BEYOND,
    "slot=0 gpa=0xffffffffe000 size=0x1000 hva=0x0": OK,
    "slot=0 gpa=0xffffffffe000 size=0x2000 hva=0x0": OK,
    "slot=0 gpa=0xfffffffff000 size=0x1000 hva=0x0": OK,
    "slot=0 gpa=0xfffffffff000 size=0x2000 hva=0x0": OK,
    "slot=0 gpa=0xfffffffffe000 size=0x1000 hva=0x0": OK,
    "slot=0 gpa=0xfffffffffe000 size=0x2000 hva=0x0": OK,
    "slot=0 gpa=0xfffffffffe000 size=0x3000 hva=0x0": BEYOND,
    "slot=0 gpa=0xffffffffff000 size=0x1000 hva=0x0": OK,
    "slot=0 gpa=0xffffffffff000 size=0x2000 hva=0x0": BEYOND,
    "slot=0 gpa=0x10000000000000 size=0x1000 hva=0x0": BEYOND,
    # Where the guest physical range wraps; 2^64 itself "wraps" to 0.
    "slot=0 gpa=0xffffffffffffe000 size=0x1000 hva=0x0": BEYOND,
    "slot=0 gpa=0xfffffffffffff000 size=0x1000 hva=0x0": WRAPS,
    "slot=0 gpa=0xfffffffffffff000 size=0x2000 hva=0x0": WRAPS,
    # Pages of 4096 bytes: each of the three fields must be a multiple.
    "slot=0 gpa=0x0 size=0x1 hva=0x100000000000": BAD_SIZE,
    "slot=0 gpa=0x0 size=0xfff hva=0x100000000000": BAD_SIZE,
    "slot=0 gpa=0x0 size=0x1001 hva=0x100000000000": BAD_SIZE,
    "slot=0 gpa=0x0 size=0x2000 hva=0x100000000000": OK,
    "slot=0 gpa=0x1 size=0x1000 hva=0x100000000000": BAD_GPA,
    "slot=0 gpa=0xfff size=0x1000 hva=0x100000000000": BAD_GPA,
    "slot=0 gpa=0x1001 size=0x1000 hva=0x100000000000": BAD_GPA,
    "slot=0 gpa=0x1000 size=0x1000 hva=0x100000000000": OK,
    "slot=0 gpa=0x0 size=0x1000 hva=0x1": BAD_HVA,
    "slot=0 gpa=0x0 size=0x1000 hva=0xfff": BAD_HVA,
    "slot=0 gpa=0x0 size=0x1000 hva=0x1000": OK,
    # The user range ends at 0x7ffffffff000; hva need not be mapped, so 0 will do.
    "slot=0 gpa=0x0 size=0x1000 hva=0x0": OK,
    "slot=0 gpa=0x0 size=0x1000 hva=0x7fffffffd000": OK,
    "slot=0 gpa=0x0 size=0x1000 hva=0x7fffffffe000": OK,
    "slot=0 gpa=0x0 size=0x2000 hva=0x7fffffffe000": BAD_RANGE,
    "slot=0 gpa=0x0 size=0x1000 hva=0x7ffffffff000": BAD_RANGE,
    "slot=0 gpa=0x0 size=0x1000 hva=0x800000000000": BAD_RANGE,
    "slot=0 gpa=0x0 size=0x1000 hva=0x8000000000000000": BAD_RANGE,
    "slot=0 gpa=0x0 size=0x1000 hva=0xfffffffffffff000": BAD_RANGE,
    "slot=0 gpa=0x0 size=0x2000 hva=0xfffffffffffff000": BAD_RANGE,
    # Flags: LOG_DIRTY_PAGES and READONLY. INVALID and GMEM_ONLY are the kernel's own.
    f"slot=0 {PAGE} flags=LOG_DIRTY_PAGES": OK,
    f"slot=0 {PAGE} flags=READONLY": OK,
    f"slot=0 {PAGE} flags=LOG_DIRTY_PAGES|READONLY": OK,
    **{f"slot=0 {PAGE} flags={1 << bit:#x}": BAD_FLAG for bit in range(2, 32)},
    f"slot=0 {PAGE} flags=0xffffffff": BAD_FLAG,
}

OTHER_MACHINES = {
    ("linux-6.18", f"slot=0 {PAGE}"): OK,
    ("linux-6.18", f"slot=32763 {PAGE}"): OK,
    ("linux-6.18", f"slot=32764 {PAGE}"): BAD_ID,
    ("linux-6.18", f"slot=1:0 {PAGE}"): BAD_SPACE,
    ("linux-6.18 address_spaces=2", f"slot=1:0 {PAGE}"): OK,
    ("linux-6.18 address_spaces=2", f"slot=2:0 {PAGE}"): BAD_SPACE,
    ("linux-6.1 address_spaces=1", f"slot=0:0 {PAGE}"): OK,
    ("linux-6.1 address_spaces=1", f"slot=1:0 {PAGE}"): BAD_SPACE,
    # Where the kernel has no slots of its own, user space has all 32767 ids.
    ("linux-6.1 user_slots=32767", f"slot=32764 {PAGE}"): OK,
    ("linux-6.1 user_slots=32767", f"slot=32766 {PAGE}"): OK,
    ("linux-6.1 user_slots=32767", f"slot=32767 {PAGE}"): BAD_ID,
    ("linux-6.1 user_slots=1", f"slot=0 {PAGE}"): OK,
    ("linux-6.1 user_slots=1", f"slot=1 {PAGE}"): BAD_ID,
    # No read-only slots: the flag is unknown there.
    ("linux-6.1 readonly=0x0", f"slot=0 {PAGE} flags=LOG_DIRTY_PAGES"): OK,
    ("linux-6.1 readonly=0x0", f"slot=0 {PAGE} flags=READONLY"): BAD_FLAG,
    ("linux-6.1 readonly=0x0", f"slot=0 {PAGE} flags=LOG_DIRTY_PAGES|READONLY"): BAD_FLAG,
    # Two-dimensional paging with 40 physical address bits.
    ("linux-6.1 max_gfn=0xfffffff", "slot=0 gpa=0xffffffe000 size=0x1000 hva=0x0"): OK,
    ("linux-6.1 max_gfn=0xfffffff", "slot=0 gpa=0xffffffe000 size=0x2000 hva=0x0"): OK,
    ("linux-6.1 max_gfn=0xfffffff", "slot=0 gpa=0xfffffff000 size=0x1000 hva=0x0"): OK,
    ("linux-6.1 max_gfn=0xfffffff", "slot=0 gpa=0xfffffff000 size=0x2000 hva=0x0"): BEYOND,
    ("linux-6.1 max_gfn=0xfffffff", "slot=0 gpa=0x10000000000 size=0x1000 hva=0x0"): BEYOND,
    ("linux-6.1 max_gfn=0x0", "slot=0 gpa=0x0 size=0x1000 hva=0x0"): OK,
    ("linux-6.1 max_gfn=0x0", "slot=0 gpa=0x0 size=0x2000 hva=0x0"): BEYOND,
    ("linux-6.1 max_gfn=0x0", "slot=0 gpa=0x1000 size=0x1000 hva=0x0"): BEYOND,
    # Pages of 16 KiB. The limits that count pages move with them.
    ("linux-6.1 page_size=16384", f"slot=0 {PAGE_16K}"): OK,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x0 size=0x1000 hva=0x0"): BAD_SIZE,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x0 size=0x3000 hva=0x0"): BAD_SIZE,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x0 size=0x6000 hva=0x0"): BAD_SIZE,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x2000 size=0x4000 hva=0x0"): BAD_GPA,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x0 size=0x4000 hva=0x2000"): BAD_HVA,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x0 size=0x1fffffffc000 hva=0x0"): OK,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x0 size=0x200000000000 hva=0x0"): TOO_MANY,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x3fffffffffc000 size=0x4000 hva=0x0"): OK,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0x40000000000000 size=0x4000 hva=0x0"): BEYOND,
    ("linux-6.1 page_size=16384", "slot=0 gpa=0xffffffffffffc000 size=0x4000 hva=0x0"): WRAPS,
    # Pages of 64 KiB: 2^31 of them are more than the user range holds.
    ("linux-6.1 page_size=65536", f"slot=0 {PAGE_64K}"): OK,
    ("linux-6.1 page_size=65536", "slot=0 gpa=0x0 size=0x8000 hva=0x0"): BAD_SIZE,
    ("linux-6.1 page_size=65536", "slot=0 gpa=0x8000 size=0x10000 hva=0x0"): BAD_GPA,
    ("linux-6.1 page_size=65536", "slot=0 gpa=0x0 size=0x10000 hva=0x8000"): BAD_HVA,
    ("linux-6.1 page_size=65536", "slot=0 gpa=0x0 size=0x7fffffff0000 hva=0x0"): OK,
    ("linux-6.1 page_size=65536", "slot=0 gpa=0x0 size=0x7fffffff0000 hva=0x10000"): BAD_RANGE,
    ("linux-6.1 page_size=65536", "slot=0 gpa=0x0 size=0x800000000000 hva=0x0"): BAD_RANGE,
}

ROWS = {("linux-6.1", words): why for words, why in LINUX_6_1.items()} | OTHER_MACHINES


@pytest.mark.parametrize(
    ("machine", "words", "why"),
    [pytest.param(*row, why, id=f"{row[0]} {row[1]}") for row, why in ROWS.items()],
)
def test_a_create_is_accepted_up_to_each_limit_and_refused_from_there(
    machine: str, words: str, why: str, case_of: CaseOf, refusals: Refusals
) -> None:
    case = case_of(f"machine {machine}", f"apply {words}")
    recorded = Serial().apply(case, record=True)
    errno = EINVAL if why else 0
    assert refusals(recorded) == refusals(RfcV1().apply(case, record=True)) == ([why] if why else [])
    assert (recorded.errno, Serial().apply(case).errno, RfcV1().apply(case).errno) == (errno, errno, errno)
    stored = [slot.id for slots in recorded.active for slot in slots]
    assert stored == ([] if why else [case.apply[0].id])


@pytest.mark.parametrize(
    ("page_size", "slot"),
    [(4096, (1, 5, 0x30, 0x50, 0x10000, 3)), (16384, (1, 5, 0xC, 0x14, 0x10000, 3)), (65536, (1, 5, 3, 5, 0x10000, 3))],
)
def test_a_slot_is_stored_in_pages_of_the_machine(page_size: int, slot: tuple[int, ...], case_of: CaseOf) -> None:
    case = case_of(
        f"machine linux-6.1 page_size={page_size}",
        "apply slot=1:5 gpa=0x30000 size=0x50000 hva=0x10000 flags=LOG_DIRTY_PAGES|READONLY",
    )
    for engine in (Serial(), RfcV1()):
        assert engine.apply(case).active == ((), (slot,))


def test_all_32764_ids_of_user_space_fit_and_one_more_does_not(case_of: CaseOf) -> None:
    case = case_of(*(f"apply slot={i} gpa={i * 0x1000:#x} size=0x1000 hva=0x0" for i in range(32765)))
    outcome = Serial().apply(case)
    assert outcome.entry_errnos == (*[0] * 32764, EINVAL)
    assert [slot.id for slot in outcome.active[0]] == list(range(32764))


@pytest.mark.parametrize(
    ("pages", "gpa", "errno"),
    [
        (1, 0xE000, 0),
        (1, 0xF000, 0),
        (1, 0x10000, EINVAL),
        (3, 0xD000, 0),
        (3, 0xE000, EINVAL),
        (3, 0x1000, 0),
    ],
)
def test_a_move_may_end_at_the_maximum_gfn_and_not_behind_it(pages: int, gpa: int, errno: int, case_of: CaseOf) -> None:
    size = f"size={pages * 0x1000:#x} hva=0x0"
    machine, given = "machine linux-6.1 max_gfn=0xf", f"given slot=0 gpa=0x0 {size}"
    case = case_of(machine, given, f"apply slot=0 gpa={gpa:#x} {size}")
    for outcome in (Serial().apply(case), Serial().apply_faithfully(case), RfcV1().apply(case)):
        assert outcome.errno == errno
        # Refused or not, the slot was made INVALID and that was published.
        assert outcome.publications == 2
    assert Serial().apply(case).active[0][0].base_gfn == (0 if errno else gpa // 0x1000)


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        ("slot=0 size=0 hva=0x7fffffffe000", True),
        ("slot=0 size=0 hva=0x7ffffffff000", True),
        ("slot=0 size=0 hva=0x800000000000", False),
        ("slot=0 size=0 hva=0xfffffffffffff000", False),
        # A range of no bytes ends where it begins, so it does not wrap; nor has it a last gfn.
        ("slot=0 size=0 gpa=0xfffffffffffff000", True),
        ("slot=0 size=0 gpa=0x10000000000000", True),
    ],
)
def test_a_delete_is_held_to_the_user_range_but_to_no_gfn(words: str, accepted: bool, case_of: CaseOf) -> None:
    case = case_of("given slot=0 gpa=0x0 size=0x1000 hva=0x0", f"apply {words}")
    for engine in (Serial(), RfcV1()):
        outcome = engine.apply(case)
        assert outcome.errno == (0 if accepted else EINVAL)
        assert len(outcome.active[0]) == (0 if accepted else 1)
