# SPDX-License-Identifier: GPL-2.0-only
"""The single ioctl: how often it publishes, what becomes of the generation, which locks it holds when (b.1 to b.6)."""

from collections.abc import Callable
from errno import EEXIST, EFAULT, EINVAL, ENOMEM

import pytest

from engines.simulated.engines import RfcV1, Serial
from engines.simulated.kernel import Kernel
from memslots.case import Case
from memslots.outcome import Outcome

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Locks = Callable[[Outcome], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x5000 size=0x2000 hva=0x100000100000"
MOVE_0 = "slot=0 gpa=0x1000 size=0x1000 hva=0x100000000000"

SLOTS, ARCH = "slots_lock", "slots_arch_lock"
EARLY = ""
LOOKED = "+slots -slots"
UNPUBLISHED = "+slots +arch -arch -slots"
ONE = "+slots +arch publish -arch -slots"
TWO = "+slots +arch publish -arch +arch publish -arch -slots"

OPERATIONS = {
    # request, faults, errno, swaps, locks and publications in order
    "CREATE": ("slot=2 gpa=0x2000 size=0x1000 hva=0x0", "", 0, 1, ONE),
    "FLAGS_ONLY": ("slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES", "", 0, 1, ONE),
    "no-op": ("slot=0 gpa=0x0 size=0x1000 hva=0x100000000000", "", 0, 0, LOOKED),
    "DELETE": ("slot=0 size=0", "", 0, 2, TWO),
    "MOVE": (MOVE_0, "", 0, 2, TWO),
    "failed copy": ("slot=0 size=0", "copy=0", EFAULT, 0, EARLY),
    "bad id": ("slot=32764 size=0", "", EINVAL, 0, EARLY),
    "unknown flag": ("slot=0 size=0 flags=0x4", "", EINVAL, 0, LOOKED),
    "DELETE of a missing slot": ("slot=9 size=0", "", EINVAL, 0, LOOKED),
    "resize": ("slot=0 gpa=0x0 size=0x2000 hva=0x100000000000", "", EINVAL, 0, LOOKED),
    "overlapping CREATE": ("slot=2 gpa=0x0 size=0x1000 hva=0x0", "", EEXIST, 0, LOOKED),
    "overlapping MOVE": ("slot=0 gpa=0x5000 size=0x1000 hva=0x100000000000", "", EEXIST, 0, LOOKED),
    "no slot object": (MOVE_0, "slot=0", ENOMEM, 0, LOOKED),
    "no INVALID copy, DELETE": ("slot=0 size=0", "invalid=0", ENOMEM, 0, UNPUBLISHED),
    "no INVALID copy, MOVE": (MOVE_0, "invalid=0", ENOMEM, 0, UNPUBLISHED),
    "CREATE beyond the maximum gfn": ("slot=2 gpa=0x10000 size=0x1000 hva=0x0", "", EINVAL, 0, UNPUBLISHED),
    "CREATE, hook fails": ("slot=2 gpa=0x2000 size=0x1000 hva=0x0", "prepare=0", ENOMEM, 0, UNPUBLISHED),
    "CREATE, no bitmap": (
        "slot=2 gpa=0x2000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES",
        "bitmap=0",
        ENOMEM,
        0,
        UNPUBLISHED,
    ),
    "FLAGS_ONLY, hook fails": (
        "slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
        "prepare=0",
        ENOMEM,
        0,
        UNPUBLISHED,
    ),
    "MOVE beyond the maximum gfn": ("slot=0 gpa=0x10000 size=0x1000 hva=0x100000000000", "", EINVAL, 2, TWO),
    "MOVE, hook fails": (MOVE_0, "prepare=0", ENOMEM, 2, TWO),
    "MOVE, no bitmap": (f"{MOVE_0} flags=LOG_DIRTY_PAGES", "bitmap=0", ENOMEM, 2, TWO),
    "DELETE, hook fails": ("slot=0 size=0", "prepare=0", ENOMEM, 2, TWO),
}


@pytest.mark.parametrize(("words", "fault", "errno", "swaps", "order"), OPERATIONS.values(), ids=OPERATIONS.keys())
@pytest.mark.parametrize(("machine", "spaces"), [("linux-6.1", 2), ("linux-6.18", 1)])
def test_each_operation_publishes_as_often_as_it_must(
    *,
    machine: str,
    spaces: int,
    words: str,
    fault: str,
    errno: int,
    swaps: int,
    order: str,
    case_of: CaseOf,
    locks: Locks,
) -> None:
    faults = [f"fault {fault}"] if fault else []
    case = case_of(f"machine {machine} max_gfn=0xf", SLOT_0, SLOT_1, f"apply {words}", *faults)
    outcome = Serial().apply(case, record=True)
    assert (outcome.errno, outcome.publications) == (errno, swaps)
    assert locks(outcome) == order
    # Two CREATEs before; address space i begins at generation i, and each swap adds the number of address spaces.
    assert outcome.generation == ((2 + swaps) * spaces, 1)[:spaces]
    if errno:
        assert outcome.active == outcome.inactive == outcome.before
        assert (outcome.leaked, outcome.slots_lock, outcome.slots_arch_lock) == (0, False, False)
    if not fault:
        assert Serial().apply(case) == outcome._replace(events=None, published=None, incomplete=None)


def test_generations_of_two_address_spaces_are_even_and_odd_and_grow_apart(case_of: CaseOf) -> None:
    case = case_of(
        "given slot=1:0 gpa=0x0 size=0x1000 hva=0x0",
        "apply slot=1:0 size=0",
        "apply slot=1:0 gpa=0x0 size=0x1000 hva=0x0",
        "apply slot=0:0 gpa=0x0 size=0x1000 hva=0x0",
    )
    outcome = Serial().apply(case)
    assert outcome.publications == 2 + 1 + 1
    assert outcome.generation == (0 + 2 * 1, 1 + 2 * (1 + 2 + 1))


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(("machine", "start"), [("linux-6.1", (0, 1)), ("linux-6.18", (0,))])
def test_a_new_vm_has_its_first_set_active_and_generation_i_in_address_space_i(
    machine: str, start: tuple[int, ...], linked: bool, case_of: CaseOf, kernel_of: KernelOf
) -> None:
    case = case_of(f"machine {machine}", "list nent=0")
    kernel = kernel_of(case, linked=linked)
    assert [kernel.active(as_id).generation for as_id in range(len(start))] == list(start)
    assert [kernel.active(as_id).node_idx for as_id in range(len(start))] == [0] * len(start)
    assert RfcV1().apply(case).generation == Serial().apply(case).generation == start


@pytest.mark.parametrize("linked", [False, True])
def test_every_publication_changes_which_set_is_active(linked: bool, case_of: CaseOf, kernel_of: KernelOf) -> None:
    for given, idx in (((), 0), ((SLOT_0,), 1), ((SLOT_0, SLOT_1), 0), ((SLOT_0, "given slot=0 size=0"), 1)):
        kernel = kernel_of(case_of(*given, "list nent=0"), linked=linked)
        assert kernel.active(0).node_idx == idx
        assert kernel.inactive(0).node_idx == 1 - idx
        assert kernel.active(1).node_idx == 0


@pytest.mark.parametrize(
    ("words", "pages"),
    [
        ("slot=2 gpa=0x8000 size=0x4000 hva=0x0", 7),
        ("slot=1:2 gpa=0x8000 size=0x4000 hva=0x0", 7),
        ("slot=1 size=0", 1),
        ("slot=0 size=0", 2),
        (MOVE_0, 3),
        ("slot=1 gpa=0x5000 size=0x2000 hva=0x100000100000 flags=LOG_DIRTY_PAGES", 3),
        ("slot=1 gpa=0x5000 size=0x2000 hva=0x100000100000", 3),
        ("slot=2 gpa=0x10000 size=0x1000 hva=0x0", 3),
        ("slot=0 gpa=0x10000 size=0x1000 hva=0x100000000000", 3),
    ],
    ids=["CREATE", "CREATE in 1", "DELETE", "DELETE of one", "MOVE", "FLAGS_ONLY", "no-op", "bad CREATE", "bad MOVE"],
)
def test_pages_are_counted_over_all_address_spaces_by_create_and_delete_alone(
    words: str, pages: int, case_of: CaseOf
) -> None:
    case = case_of("machine linux-6.1 max_gfn=0xf", SLOT_0, SLOT_1, f"apply {words}")
    assert Serial().apply(case).nr_memslot_pages == Serial().apply_faithfully(case).nr_memslot_pages == pages


@pytest.mark.parametrize(
    ("words", "frees"),
    [
        ("slot=0 size=0 invalidate", 2),
        (f"{MOVE_0} invalidate", 2),
        ("slot=0 gpa=0x0 size=0x1000 hva=0x100000000000", 1),
    ],
    ids=["DELETE", "MOVE", "FLAGS_ONLY"],
)
def test_the_single_ioctl_frees_under_slots_lock_alone_and_a_list_under_both_locks(
    words: str, frees: int, case_of: CaseOf
) -> None:
    case = case_of(f"{SLOT_0} flags=LOG_DIRTY_PAGES", f"apply {words}")
    for engine, expected in ((Serial(), {SLOTS}), (RfcV1(), {SLOTS, ARCH})):
        held: set[str] = set()
        held_at_frees = []
        for event in engine.apply(case, record=True).events or ():
            if event.kind == "lock":
                held.add(event.detail)
            elif event.kind == "unlock":
                held.discard(event.detail)
            elif event.kind == "free":
                held_at_frees.append(set(held))
        assert held_at_frees == [expected] * frees
