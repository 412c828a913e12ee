# SPDX-License-Identifier: GPL-2.0-only
"""The engine ideal: what it refuses, at which entry, and that a refused list leaves nothing (I1, I2, I4, I6, I7)."""

from collections.abc import Callable
from errno import E2BIG, EEXIST, EINVAL

import pytest

from engines.ideal.engine import Ideal
from engines.protocol import RefusedGiven
from engines.simulated.engines import Serial
from memslots.case import Case
from memslots.slot import SlotSets

CaseOf = Callable[..., Case]
Written = Callable[[SlotSets | None], str]

SLOT_0 = "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"
SLOT_1 = "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000"
DELETE_0 = "apply slot=0 size=0"
CREATE_2 = "apply slot=2 gpa=0x5000 size=0x1000 hva=0x0"
MISSING = "apply slot=9 size=0"
NO_OP = "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000"

FORM = {
    # lines; errno; entry_errnos
    "header flags": (["list header_flags=0x1", DELETE_0], EINVAL, ()),
    "the highest header flag": (["list header_flags=0x80000000", DELETE_0], EINVAL, ()),
    "header flags of an empty list": (["list nent=0 header_flags=0x1"], EINVAL, ()),
    "header flags of a list too long": (["list nent=65535 header_flags=0x1"], EINVAL, ()),
    "a list too long": (["list nent=65535", DELETE_0], E2BIG, ()),
    "a list as long as can be, its second entry missing": (["list nent=65534", DELETE_0], EINVAL, (0, EINVAL)),
    "invalidate_slot=2": ([DELETE_0 + " invalidate_slot=2"], EINVAL, (EINVAL,)),
    "invalidate_slot=255": ([CREATE_2, DELETE_0 + " invalidate_slot=255"], EINVAL, (0, EINVAL)),
    "padding": ([CREATE_2, DELETE_0 + " padding=01"], EINVAL, (0, EINVAL)),
    "the last byte of padding": ([DELETE_0 + f" padding={'00' * 30}80"], EINVAL, (EINVAL,)),
    "padding before an entry that is refused": ([DELETE_0 + " padding=01", MISSING], EINVAL, (EINVAL,)),
    "padding behind an entry that is refused": (
        ["apply slot=2 gpa=0x0 size=0x1000 hva=0x0", DELETE_0 + " padding=01"],
        EEXIST,
        (EEXIST,),
    ),
    "padding of an entry that would overlap": (
        ["apply slot=2 gpa=0x0 size=0x1000 hva=0x0 padding=01"],
        EINVAL,
        (EINVAL,),
    ),
}


@pytest.mark.parametrize(("lines", "errno", "errnos"), FORM.values(), ids=FORM.keys())
def test_what_has_no_meaning_is_refused_and_nothing_is_done(
    lines: list[str], errno: int, errnos: tuple[int, ...], case_of: CaseOf
) -> None:
    outcome = Ideal().apply(case_of(SLOT_0, *lines))
    assert (outcome.ended, outcome.value, outcome.errno, outcome.entry_errnos) == ("returned", -1, errno, errnos)
    assert outcome.active == outcome.inactive == outcome.before
    assert (outcome.publications, outcome.generation) == (0, (2, 1))
    assert (outcome.slots_lock, outcome.slots_arch_lock, outcome.leaked) == (False, False, 0)


@pytest.mark.parametrize("hint", ["", " invalidate"])
def test_invalidate_slot_is_a_hint_that_changes_nothing(hint: str, case_of: CaseOf) -> None:
    lines = [DELETE_0, CREATE_2, NO_OP.replace("slot=0", "slot=1").replace("gpa=0x0", "gpa=0x0")]
    plain = Ideal().apply(case_of(SLOT_0, *lines))
    assert plain == Ideal().apply(case_of(SLOT_0, *[line + hint for line in lines]))


def test_an_empty_list_takes_no_lock(case_of: CaseOf) -> None:
    outcome = Ideal().apply(case_of(SLOT_0, "list nent=0", DELETE_0), record=True)
    assert (outcome.value, outcome.entry_errnos, outcome.events) == (0, (), ())


def test_entries_behind_nent_are_not_looked_at(case_of: CaseOf) -> None:
    assert Ideal().apply(case_of(SLOT_0, "list nent=1", CREATE_2, MISSING + " padding=01")).value == 0


BEYOND = "apply slot=2 gpa=0x10000 size=0x1000 hva=0x0"
REFUSED = {
    # lines behind slots 0 and 1 on a machine whose last gfn is 0xf; the errno and the entry of both engines
    "CREATE before the DELETE that makes room": (
        ["apply slot=2 gpa=0x0 size=0x1000 hva=0x0", DELETE_0],
        EEXIST,
        0,
    ),
    "MOVE before the DELETE that makes room": (
        ["apply slot=1 gpa=0x0 size=0x1000 hva=0x100000100000", DELETE_0],
        EEXIST,
        0,
    ),
    "beyond the maximum gfn, before a refused entry": ([BEYOND, MISSING], EINVAL, 0),
    "beyond the maximum gfn, before an overlap": ([BEYOND, "apply slot=3 gpa=0x0 size=0x1000 hva=0x0"], EINVAL, 0),
    "beyond the maximum gfn for a moment": ([BEYOND, "apply slot=2 size=0"], EINVAL, 0),
    "MOVE beyond the maximum gfn and back": (
        ["apply slot=0 gpa=0x10000 size=0x1000 hva=0x100000000000", NO_OP],
        EINVAL,
        0,
    ),
    "overlap comes before the maximum gfn": (["apply slot=2 gpa=0x1000 size=0x10000 hva=0x0"], EEXIST, 0),
    "a slot deleted twice": ([DELETE_0, DELETE_0], EINVAL, 1),
    "a created slot resized": ([CREATE_2, CREATE_2.replace("size=0x1000", "size=0x2000")], EINVAL, 1),
    "a created slot met": ([CREATE_2, "apply slot=3 gpa=0x5000 size=0x1000 hva=0x0"], EEXIST, 1),
    "a moved slot met": (
        ["apply slot=0 gpa=0x7000 size=0x1000 hva=0x100000000000", "apply slot=3 gpa=0x7000 size=0x1000 hva=0x0"],
        EEXIST,
        1,
    ),
    "READONLY toggled": ([NO_OP + " flags=READONLY"], EINVAL, 0),
    "other memory": (["apply slot=0 gpa=0x0 size=0x1000 hva=0x0"], EINVAL, 0),
}


@pytest.mark.parametrize(("lines", "errno", "entry"), REFUSED.values(), ids=REFUSED.keys())
def test_the_entry_that_is_refused_is_the_one_that_serial_refuses(
    lines: list[str], errno: int, entry: int, case_of: CaseOf
) -> None:
    case = case_of("machine linux-6.1 max_gfn=0xf", SLOT_0, SLOT_1, *lines)
    outcome = Ideal().apply(case)
    assert (outcome.value, outcome.errno, outcome.entry_errnos) == (-1, errno, (*(0,) * entry, errno))
    assert outcome.entry_errnos == Serial().apply(case).entry_errnos
    assert outcome.active == outcome.inactive == outcome.before
    assert (outcome.publications, outcome.leaked) == (0, 0)


ACCEPTED = {
    "two DELETEs and a CREATE in their place": (
        [DELETE_0, "apply slot=1 size=0", "apply slot=0 gpa=0x0 size=0x2000 hva=0x0"],
        "s0=[0x0,+0x2000)",
    ),
    "DELETE, CREATE, DELETE": ([DELETE_0, NO_OP, DELETE_0], "s1=[0x1000,+0x1000)"),
    "a MOVE onto a place just left": (
        [
            "apply slot=0 gpa=0x4000 size=0x1000 hva=0x100000000000",
            "apply slot=1 gpa=0x0 size=0x1000 hva=0x100000100000",
        ],
        "s0=[0x4000,+0x1000) s1=[0x0,+0x1000)",
    ),
    "two slots exchange their places": (
        [
            "apply slot=0 gpa=0x4000 size=0x1000 hva=0x100000000000",
            "apply slot=1 gpa=0x0 size=0x1000 hva=0x100000100000",
            "apply slot=0 gpa=0x1000 size=0x1000 hva=0x100000000000",
        ],
        "s0=[0x1000,+0x1000) s1=[0x0,+0x1000)",
    ),
    "READONLY toggled by DELETE and CREATE": (
        [DELETE_0, NO_OP + " flags=READONLY"],
        "s0=[0x0,+0x1000)R s1=[0x1000,+0x1000)",
    ),
    "no-ops": ([NO_OP, CREATE_2, NO_OP], "s0=[0x0,+0x1000) s1=[0x1000,+0x1000) s2=[0x5000,+0x1000)"),
    "the last gfn": (
        ["apply slot=2 gpa=0xf000 size=0x1000 hva=0x0"],
        "s0=[0x0,+0x1000) s1=[0x1000,+0x1000) s2=[0xf000,+0x1000)",
    ),
    "the same place in the other address space": (
        ["apply slot=1:2 gpa=0x0 size=0x1000 hva=0x0"],
        "s0=[0x0,+0x1000) s1=[0x1000,+0x1000) 1:s2=[0x0,+0x1000)",
    ),
}


@pytest.mark.parametrize(("lines", "left"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_each_entry_is_validated_in_the_state_that_those_before_it_leave(
    lines: list[str], left: str, case_of: CaseOf, written: Written
) -> None:
    case = case_of("machine linux-6.1 max_gfn=0xf", SLOT_0, SLOT_1, *lines)
    outcome = Ideal().apply(case)
    assert (outcome.value, outcome.entry_errnos) == (0, (0,) * len(lines))
    assert written(outcome.active) == written(outcome.inactive) == left
    assert outcome.active == Serial().apply(case).active


LAST_GFNS = {
    # where every gfn below 2^52 may be used: a request may end one page before 2^64, and no later
    "one page before": ("gpa=0xffffffffffffe000 size=0x1000", 0),
    "two pages, one page before": ("gpa=0xffffffffffffd000 size=0x2000", 0),
    "at 2^64": ("gpa=0xfffffffffffff000 size=0x1000", EINVAL),
    "beyond 2^64": ("gpa=0xfffffffffffff000 size=0x2000", EINVAL),
}


@pytest.mark.parametrize(("place", "errno"), LAST_GFNS.values(), ids=LAST_GFNS.keys())
def test_a_request_that_ends_at_the_end_of_u64_wraps(place: str, errno: int, case_of: CaseOf) -> None:
    for entry in (f"apply slot=2 {place} hva=0x0", f"apply slot=0 {place} hva=0x0"):
        given = SLOT_0.replace("size=0x1000 hva=0x100000000000", f"{place.split()[1]} hva=0x0")
        case = case_of("machine linux-6.1 max_gfn=0xfffffffffffff", given, entry)
        ideal, serial = Ideal().apply(case), Serial().apply(case)
        assert (ideal.errno, ideal.entry_errnos) == (serial.errno, serial.entry_errnos) == (errno, (errno,))
        assert ideal.active == serial.active


def test_given_is_told_apart_from_what_is_refused_by_its_index(case_of: CaseOf) -> None:
    case = case_of(SLOT_0, "given slot=1 gpa=0x0 size=0x1000 hva=0x0", CREATE_2)
    with pytest.raises(RefusedGiven, match=r"given 1: the serial ioctl refuses it \(EEXIST\)") as refused:
        Ideal().apply(case)
    with pytest.raises(RefusedGiven) as by_serial:
        Serial().apply(case)
    assert str(refused.value) == str(by_serial.value)


def test_given_is_no_list_and_has_no_padding(case_of: CaseOf) -> None:
    assert Ideal().apply(case_of(SLOT_0 + " padding=01 invalidate_slot=7", DELETE_0)).value == 0
