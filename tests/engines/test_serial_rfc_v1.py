# SPDX-License-Identifier: GPL-2.0-only
"""The single ioctl of a patched kernel: what it accepts comes out as ever; what fails behind the checks does not."""

from collections.abc import Callable
from errno import EFAULT, EINVAL, ENOMEM
from random import Random

import pytest

from engines.simulated.engines import Serial, SerialRfcV1
from engines.simulated.kernel import Kernel
from engines.simulated.serial_rfc_v1 import set_memory_region
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of as drawn_case
from memslots.case import Case
from memslots.outcome import Outcome
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
KernelOf = Callable[..., Kernel]
Written = Callable[[SlotSets | None], str]

SLOT_1 = "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000000000"
MOVE = "apply slot=1 gpa=0x8000 size=0x1000 hva=0x100000000000"
MOVE_LOG = f"{MOVE} flags=LOG_DIRTY_PAGES"
CREATE = "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0"
CREATE_LOG = f"{CREATE} flags=LOG_DIRTY_PAGES"
LOG = "apply slot=1 gpa=0x1000 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES"
S1, INV1 = "s1=[0x1000,+0x1000)", "inv1=[0x1000,+0x1000)"

EXITS = {
    # entry, fault, errno, active, leaked, dangling, publications
    "the copy fails": (MOVE, "copy=0", EFAULT, S1, 0, False, 0),
    "no slot object": (MOVE, "slot=0", ENOMEM, S1, 0, False, 0),
    "no INVALID copy, DELETE": ("apply slot=1 size=0", "invalid=0", ENOMEM, S1, 0, False, 0),
    # sic: since patch 5 nobody frees `new`.
    "no INVALID copy, MOVE": (MOVE, "invalid=0", ENOMEM, S1, 1, False, 0),
    "no bitmap, CREATE": (CREATE_LOG, "bitmap=0", ENOMEM, S1, 1, False, 0),
    "no bitmap, FLAGS_ONLY": (LOG, "bitmap=0", ENOMEM, S1, 1, False, 0),
    "hook, CREATE": (CREATE, "prepare=0", ENOMEM, S1, 1, False, 0),
    "hook, CREATE that logs": (CREATE_LOG, "prepare=0", ENOMEM, S1, 1, False, 0),
    "hook, FLAGS_ONLY": (LOG, "prepare=0", ENOMEM, S1, 1, False, 0),
    "beyond the maximum gfn, CREATE": (CREATE.replace("0x2000", "0x10000000000000"), "", EINVAL, S1, 1, False, 0),
    # sic: the rollback of before patch 7 publishes the INVALID copy again, and frees it.
    "hook, DELETE": ("apply slot=1 size=0", "prepare=0", ENOMEM, INV1, 0, True, 2),
    "hook, MOVE": (MOVE, "prepare=0", ENOMEM, INV1, 1, True, 2),
    "no bitmap, MOVE": (MOVE_LOG, "bitmap=0", ENOMEM, INV1, 1, True, 2),
    "beyond the maximum gfn, MOVE": (MOVE.replace("0x8000", "0x10000000000000"), "", EINVAL, INV1, 1, True, 2),
}


@pytest.mark.parametrize(
    ("entry", "fault", "errno", "active", "leaked", "dangling", "publications"), EXITS.values(), ids=EXITS.keys()
)
def test_what_each_error_exit_leaves(
    *,
    entry: str,
    fault: str,
    errno: int,
    active: str,
    leaked: int,
    dangling: bool,
    publications: int,
    case_of: CaseOf,
    written: Written,
) -> None:
    case = case_of(SLOT_1, entry, f"fault {fault}" if fault else "")
    for outcome in (SerialRfcV1().apply(case), SerialRfcV1().apply(case, record=True)):
        assert (outcome.value, outcome.errno, outcome.entry_errnos) == (-1, errno, (errno,))
        assert written(outcome.active) == written(outcome.at_first_refusal) == active
        assert written(outcome.inactive) == S1
        assert (outcome.leaked, outcome.dangling, outcome.publications) == (leaked, dangling, publications)
        assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.corrupt) == (False, False, False)
    assert [written(((), slots)) for _, slots, _ in outcome.published or ()] == [INV1] * publications


def test_after_such_a_rollback_a_request_is_looked_up_in_the_set_that_nobody_reads(
    case_of: CaseOf, kernel_of: KernelOf
) -> None:
    """Patch 8. Readers have slot 1 INVALID; the patched ioctl calls the same slot a no-op."""
    case = case_of(SLOT_1, MOVE, "fault prepare=0")
    kernel = kernel_of(case, linked=True)
    assert set_memory_region(kernel, case.apply[0]) == -ENOMEM
    publications = kernel.publications
    assert set_memory_region(kernel, case.given[0]) == 0
    assert kernel.publications == publications


def bare(outcome: Outcome) -> Outcome:
    """Without what depends on who is asked to record."""
    return outcome._replace(events=None, published=None, incomplete=None)


def test_drawn_lists_that_are_accepted_come_out_as_from_the_unpatched_ioctl() -> None:
    rng = Random(6)
    accepted = 0
    for _ in range(1_000):
        case = drawn_case(drawn_choices(rng))
        quick, recorded = SerialRfcV1().apply(case), SerialRfcV1().apply(case, record=True)
        assert bare(quick) == bare(recorded), case
        if recorded.value == 0:
            accepted += 1
            serial = Serial().apply(case, record=True)
            assert bare(recorded) == bare(serial), case
            assert recorded.published == serial.published, case
    assert accepted > 200


def test_what_is_refused_answers_as_the_unpatched_ioctl_does_at_the_same_entry() -> None:
    rng = Random(7)
    refused = 0
    for _ in range(1_000):
        case = drawn_case(drawn_choices(rng))
        patched, serial = SerialRfcV1().apply(case), Serial().apply(case)
        assert patched.entry_errnos == serial.entry_errnos, case
        refused += patched.value != 0
    assert refused > 200
