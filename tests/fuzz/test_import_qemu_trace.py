# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's trace events: what three versions print says the same, and what is cut or odd is said."""

from errno import EEXIST

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.traces.happening import Happening, Marker, Update
from fuzz.traces.qemu_trace import qemu_happenings
from fuzz.traces.recording import Written
from memslots.errors import BadInput
from memslots.region import FIELD_MAXIMA, Region

OLD = "kvm_set_user_memory Slot#65538 flags=0x2 gpa=0xfffc0000 size=0x40000 ua=0x7f00e8400000 ret=0"
REGION = Region(0x10002, 2, 0xFFFC0000, 0x40000, 0x7F00E8400000)


def told(text: str, *, cut: bool = False) -> tuple[list[Happening], list[str]]:
    lines = text.splitlines()
    written = [Written(i, line, not cut or i < len(lines)) for i, line in enumerate(lines, 1)]
    warnings: list[str] = []
    return list(qemu_happenings("x.trace", written, ("flatview_new",), warnings.append)), warnings


def updates(text: str) -> list[Update]:
    return [each for each in told(text)[0] if isinstance(each, Update)]


@pytest.mark.parametrize(
    "line",
    [
        OLD,
        OLD.replace("Slot#65538", "AddrSpace#1 Slot#2"),
        OLD.replace("Slot#65538", "AddrSpace#1 Slot#2").replace(" ret", " guest_memfd=-1 guest_memfd_offset=0x0 ret"),
    ],
)
@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        ("", None),
        ("7421@1795599764.330112:", 1795599764.330112),
        ("qemu-7421 [001] .... 1795599764.330112: tracing_mark_write: ", 1795599764.330112),
    ],
)
def test_every_version_says_the_same(line: str, head: str, seconds: float | None) -> None:
    assert updates(head + line) == [Update(1, seconds, 0, REGION, 0)]


def test_a_refusal_has_its_errno() -> None:
    assert updates(OLD.replace("ret=0", "ret=-17"))[0].errno == EEXIST


def test_other_events_are_passed_over_and_markers_are_told() -> None:
    text = f"kvm_run_exit cpu_index 0, reason 2\nflatview_new 0x55 (root 0x56)\n{OLD}\nqemu: kvm_set_user_memory\n"
    assert told(text) == ([Marker(2), Update(3, None, 0, REGION, 0)], [])


def test_the_delete_that_qemu_does_not_trace_is_put_in() -> None:
    # READONLY cannot be changed: QEMU deletes the slot, then creates it, and traces the second alone.
    writable = OLD.replace("flags=0x2", "flags=0x1")
    regions = [each.region for each in updates(f"{OLD}\n{writable}\n{OLD}\n")]
    logging = REGION._replace(flags=1)
    assert regions == [REGION, logging._replace(memory_size=0), logging, REGION._replace(memory_size=0), REGION]


def test_nothing_is_put_in_where_the_slot_was_deleted_or_the_request_refused() -> None:
    writable, deleted = OLD.replace("flags=0x2", "flags=0x0"), OLD.replace("size=0x40000", "size=0x0")
    assert len(updates(f"{OLD}\n{deleted}\n{writable}\n")) == 3
    assert len(updates(f"{OLD}\n{writable.replace('ret=0', 'ret=-22')}\n")) == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (OLD.replace(" size=0x40000", ""), "expected kvm_set_user_memory [AddrSpace#N ]Slot#N flags=0xN"),
        (OLD.replace("Slot#65538", "Slot#4294967296"), "expected kvm_set_user_memory [AddrSpace#N ]Slot#N"),
        (OLD.replace("Slot#65538", "AddrSpace#65536 Slot#1"), "expected kvm_set_user_memory [AddrSpace#N ]Slot#N"),
        (OLD.replace("gpa=0xfffc0000", "gpa=0x10000000000000000"), "expected kvm_set_user_memory"),
        (OLD.replace("flags=0x2", "flags=0x4"), "KVM_MEM_GUEST_MEMFD: not supported by this release"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_with_what_was_expected(line: str, why: str) -> None:
    with pytest.raises(BadInput) as error:
        told(f"\n{line}\n")
    assert str(error.value).startswith("x.trace:2: ")
    assert why in str(error.value)


def test_a_last_line_cut_short_is_said_and_passed_over() -> None:
    for length in range(1, len(OLD) - 1):
        found, warnings = told(f"{OLD}\n{OLD[:length]}", cut=True)
        assert found == updates(OLD)
        assert warnings == ["x.trace:2: the last line is cut short, and passed over"]


REGIONS = st.tuples(*(st.integers(0, FIELD_MAXIMA[name]) for name in Region._fields[:5])).map(
    lambda values: Region(*values)
)


@given(st.lists(REGIONS))
def test_what_is_printed_as_qemu_prints_it_is_read_as_it_was(regions: list[Region]) -> None:
    text = "".join(
        f"7@1795599764.{i:06}:kvm_set_user_memory Slot#{r.slot} flags={r.flags:#x} gpa={r.guest_phys_addr:#x}"
        f" size={r.memory_size:#x} ua={r.userspace_addr:#x} ret=-22\n"
        for i, r in enumerate(regions)
    )
    assert [each.region for each in updates(text)] == regions
