# SPDX-License-Identifier: GPL-2.0-only
"""What the list ioctl makes of its header before it looks at an entry (c.3 P0; c.7, X1 and X2)."""

import tracemalloc
from collections.abc import Callable
from errno import EFAULT, EINVAL, ENOMEM

import pytest

from engines.simulated.engines import RfcV1, Serial
from memslots.case import Case
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000"
DELETE_0 = "apply slot=0 size=0 invalidate"
CREATE_2 = "apply slot=2 gpa=0x2000 size=0x1000 hva=0x0"
ZERO = "apply slot=0 size=0"

EARLY = {
    # X1 and X2, and what comes before and between them. nent, faults, value, errno, warned
    "no entries": ("nent=0", [], 0, 0, False),
    "no entries, odd header flags": ("nent=0 header_flags=0xffffffff", [], 0, 0, False),
    "no entries: they are not copied": ("nent=0", ["copy=1", "array=0", "array=1"], 0, 0, False),
    "X1, the header": ("nent=1", ["copy=0"], -1, EFAULT, False),
    "X1 comes before an empty list": ("nent=0", ["copy=0"], -1, EFAULT, False),
    "X1 comes before a list too long": ("nent=0xffffffff", ["copy=0"], -1, EFAULT, False),
    "X2, the entries": ("nent=1", ["copy=1"], -1, EFAULT, False),
    "X2, no memory for them": ("nent=1", ["array=0"], -1, ENOMEM, False),
    "X2, no memory before any copy": ("nent=1", ["array=0", "copy=1"], -1, ENOMEM, False),
    # 64 bytes each: 33554431 are the last that INT_MAX allows.
    "X2, more than INT_MAX bytes": ("nent=33554432", [], -1, ENOMEM, True),
    "X2, all that fit a u32": ("nent=0xffffffff", [], -1, ENOMEM, True),
    "X2, more than INT_MAX bytes before any copy": ("nent=33554432", ["copy=1"], -1, ENOMEM, True),
}


@pytest.mark.parametrize(("header", "faults", "value", "errno", "warned"), EARLY.values(), ids=EARLY.keys())
def test_a_call_that_ends_before_its_first_entry_changes_nothing(
    *, header: str, faults: list[str], value: int, errno: int, warned: bool, case_of: CaseOf
) -> None:
    kinds: dict[str, str] = {}
    for fault in faults:
        kinds.setdefault(fault.partition("=")[0], f"fault {fault}")
    case = case_of(SLOT_0, f"list {header}", DELETE_0, CREATE_2, *kinds.values())
    outcome = RfcV1().apply(case)
    assert (outcome.ended, outcome.value, outcome.errno, outcome.warned) == ("returned", value, errno, warned)
    assert outcome.active == outcome.inactive == outcome.before
    assert (outcome.publications, outcome.generation) == (0, (2, 1))
    assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.leaked) == (False, False, 0)
    recorded = RfcV1().apply(case, record=True)
    refused = value < 0
    first = ["warn"] * warned or ["injected"] * refused
    assert [event.kind for event in recorded.events or ()] == first + ["refuse"] * refused


ARRAYS = {
    # header, faults, kind, slots_lock, what is left in both sets
    "b is NULL, flagged entry: its batch entry is written in the first pass": (
        "nent=131073",
        DELETE_0,
        "null-dereference",
        True,
        "s0=[0x0,+0x1000)",
    ),
    "b is NULL, unflagged entry: in the second pass": (
        "nent=131073",
        CREATE_2,
        "null-dereference",
        False,
        "s0=[0x0,+0x1000)",
    ),
    "b is NULL up to INT_MAX bytes": ("nent=33554431", CREATE_2, "null-dereference", False, "s0=[0x0,+0x1000)"),
}


@pytest.mark.parametrize(("header", "entry", "kind", "lock", "left"), ARRAYS.values(), ids=ARRAYS.keys())
def test_a_batch_array_of_more_than_4_mib_is_null_and_nobody_notices(
    *, header: str, entry: str, kind: str, lock: bool, left: str, case_of: CaseOf, written: Written
) -> None:
    outcome = RfcV1().apply(case_of(SLOT_0, f"list {header}", entry))
    assert (outcome.ended, outcome.kind, outcome.warned) == ("crashed", kind, False)
    assert (outcome.slots_lock, outcome.slots_arch_lock) == (lock, False)
    assert written(outcome.active) == written(outcome.inactive) == left


def test_the_longest_list_whose_batch_array_can_be_allocated_has_131072_entries(
    case_of: CaseOf, written: Written
) -> None:
    """Entry 1 reads as zero bytes: an unflagged DELETE of slot 0, which is not there."""
    outcome = RfcV1().apply(case_of(SLOT_1, "list nent=131072", CREATE_2))
    assert (outcome.ended, outcome.value, outcome.errno) == ("returned", -1, EINVAL)
    assert written(outcome.active) == "s1=[0x1000,+0x1000)"
    assert written(outcome.inactive) == "s1=[0x1000,+0x1000) s2=[0x2000,+0x1000)"


def test_a_bad_id_is_refused_without_a_look_at_the_batch_array(case_of: CaseOf) -> None:
    outcome = RfcV1().apply(case_of("list nent=131073", "apply slot=32764 size=0 invalidate"))
    assert (outcome.ended, outcome.errno, outcome.slots_lock) == ("returned", EINVAL, True)


def test_as_to_swap_that_could_not_be_allocated_is_written_to_in_the_second_pass(
    case_of: CaseOf, written: Written
) -> None:
    outcome = RfcV1().apply(case_of(SLOT_0, DELETE_0, "fault array=2"))
    assert (outcome.ended, outcome.kind) == ("crashed", "null-dereference")
    assert (outcome.slots_lock, outcome.slots_arch_lock) == (False, False)
    assert written(outcome.active) == written(outcome.inactive) == "inv0=[0x0,+0x1000)"


def test_entries_behind_nent_are_never_looked_at(case_of: CaseOf) -> None:
    whole = case_of(SLOT_0, "list nent=1", CREATE_2, DELETE_0, "apply slot=65535 flags=0xff size=0x1 invalidate")
    for engine in (RfcV1(), Serial()):
        assert engine.apply(whole) == engine.apply(case_of(SLOT_0, CREATE_2))


@pytest.mark.parametrize("missing", [1, 2, 3])
@pytest.mark.parametrize(
    "lines",
    [[CREATE_2], [SLOT_0, CREATE_2], [SLOT_0, DELETE_0], [SLOT_1, "apply slot=1 size=0 invalidate"]],
    ids=["no slot 0", "slot 0", "slot 0 deleted", "slot 1 deleted"],
)
def test_entries_missing_up_to_nent_read_as_zero_bytes(lines: list[str], missing: int, case_of: CaseOf) -> None:
    short = case_of(*[line for line in lines if line.startswith("given")], f"list nent={1 + missing}", lines[-1])
    explicit = case_of(*lines, *[ZERO] * missing)
    assert (len(short.apply), short.entries) == (1, 1 + missing)
    for engine in (RfcV1(), Serial()):
        assert engine.apply(short) == engine.apply(explicit)


@pytest.mark.parametrize("nent", [131072, 131073, 33554431, 33554432, 0xFFFFFFFF])
@pytest.mark.parametrize("given", [SLOT_0, SLOT_1])
def test_a_header_that_lies_about_its_length_costs_no_memory(nent: int, given: str, case_of: CaseOf) -> None:
    case = case_of(given, f"list nent={nent}", CREATE_2)
    tracemalloc.start()
    try:
        for engine in (RfcV1(), Serial(), Serial(keep_going=True)):
            engine.apply(case)
            engine.apply(case, record=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("invalidate", [1, 2, 128, 255])
def test_any_value_of_invalidate_slot_but_0_counts(invalidate: int, case_of: CaseOf) -> None:
    line = "apply slot=0 size=0"
    flagged = RfcV1().apply(case_of(SLOT_0, f"{line} invalidate_slot={invalidate}"), record=True)
    assert flagged.events is not None
    assert [event.phase for event in flagged.events if event.kind == "publish"] == ["P1", "P3"]
    unflagged = RfcV1().apply(case_of(SLOT_0, f"{line} invalidate_slot=0"), record=True)
    assert unflagged.events is not None
    assert [event.phase for event in unflagged.events if event.kind == "publish"] == ["P2", "P3"]


def test_header_flags_and_padding_are_never_checked(case_of: CaseOf) -> None:
    plain = RfcV1().apply(case_of(SLOT_0, DELETE_0, CREATE_2))
    assert plain.value == 0
    odd = case_of(SLOT_0, "list header_flags=0xffffffff", f"{DELETE_0} padding={'ff' * 31}", f"{CREATE_2} padding=01")
    assert odd.header_flags == 0xFFFFFFFF
    assert RfcV1().apply(odd) == plain
