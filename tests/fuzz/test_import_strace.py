# SPDX-License-Identifier: GPL-2.0-only
"""strace's lines: every form in which the same call is printed says the same, and what is cut or odd is said."""

from errno import EEXIST, EINTR, EINVAL

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.traces.happening import Gone, Happening, Marker, Update
from fuzz.traces.recording import Written
from fuzz.traces.strace import strace_happenings
from memslots.errors import BadInput
from memslots.region import FIELD_MAXIMA, Region

BODY = "{slot=1, flags=KVM_MEM_READONLY, guest_phys_addr=0xfffc0000, memory_size=262144, userspace_addr=0x7f00e8400000}"
REGION = Region(1, 2, 0xFFFC0000, 0x40000, 0x7F00E8400000)
CALL = f"ioctl(9, KVM_SET_USER_MEMORY_REGION, {BODY})"
TAKEN = f"{CALL} = 0"


def told(text: str, *markers: str, cut: bool = False) -> tuple[list[Happening], list[str]]:
    """What the lines of `text` tell, and the warnings; `cut` says that the last line does not end."""
    lines = text.splitlines()
    written = [Written(i, line, not cut or i < len(lines)) for i, line in enumerate(lines, 1)]
    warnings: list[str] = []
    return list(strace_happenings("x.strace", written, markers, warnings.append)), warnings


def updates(text: str) -> list[Update]:
    return [each for each in told(text)[0] if isinstance(each, Update)]


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (TAKEN, None),
        (f"1795599764.302783 {TAKEN}", 1795599764.302783),
        (f"7571  1795599764.302783 {TAKEN}", 1795599764.302783),
        (f"7571  {TAKEN}", None),
        (f"[pid  7571] {TAKEN}", None),
        (f"[pid 7571<qemu-system-x86>] 01:00:00.25 {TAKEN}", 3600.25),
        (f"7571<qemu-system-x86> 01:00:00 {TAKEN}", 3600.0),
    ],
)
def test_a_line_begins_with_thread_and_time_or_not(line: str, seconds: float | None) -> None:
    assert updates(line) == [Update(1, seconds, 0, REGION, 0)]


@pytest.mark.parametrize(
    "line",
    [
        f"{TAKEN} <0.000123>",
        f"{CALL}              = 0",
        TAKEN.replace("(9,", "(9<anon_inode:kvm-vm>,"),
        TAKEN.replace("(9,", "(9<anon_inode:[kvm-vm]<char 10:232>>,"),
        TAKEN.replace("KVM_SET_USER_MEMORY_REGION", "KVM_SET_USER_MEMORY_REGION2"),
        TAKEN.replace("KVM_SET_USER_MEMORY_REGION", "0x4020ae46 /* KVM_SET_USER_MEMORY_REGION */"),
        TAKEN.replace("KVM_SET_USER_MEMORY_REGION", "_IOC(_IOC_WRITE, 0xae, 0x49, 0xa0)"),
        TAKEN.replace("flags=KVM_MEM_READONLY", "flags=0x2"),
        TAKEN.replace("flags=KVM_MEM_READONLY", "flags=0x2 /* KVM_MEM_READONLY */"),
        TAKEN.replace("slot=1,", "slot=0x1,"),
        TAKEN.replace("}", ", guest_memfd_offset=0, guest_memfd=-1}"),
    ],
)
def test_a_call_is_annotated_in_many_ways_and_says_the_same(line: str) -> None:
    assert updates(line) == [Update(1, None, 0, REGION, 0)]


@pytest.mark.parametrize(
    ("answer", "errno"),
    [
        ("0", 0),
        ("0 (INJECTED)", 0),
        ("-1 EINVAL (Invalid argument)", EINVAL),
        ("-1 EEXIST (File exists) <0.000011>", EEXIST),
        ("-1 EINTR (Interrupted system call)", EINTR),
        ("?", None),
        ("? ERESTARTSYS (To be restarted if SA_RESTART is set)", None),
    ],
)
def test_the_answer_is_zero_an_errno_or_none(answer: str, errno: int | None) -> None:
    assert updates(f"{CALL} = {answer}") == [Update(1, None, 0, REGION, errno)]


def test_flags_are_names_numbers_or_both() -> None:
    def flags(text: str) -> int:
        return updates(f"{CALL} = -1 EINVAL (Invalid argument)".replace("KVM_MEM_READONLY", text))[0].region.flags

    assert flags("KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY") == 3
    assert flags("KVM_MEM_LOG_DIRTY_PAGES|0x8") == 9
    assert flags("0x10 /* KVM_MEM_??? */") == 16


def test_a_call_that_another_line_falls_into_is_put_together_in_the_order_of_ends() -> None:
    found = updates(
        f"11 10.5 {CALL.replace('(9', '(8')[:-1]} <unfinished ...>\n".replace("10.5", "1795599764.1")
        + "12 1795599764.15 ioctl(13, KVM_RUN, 0 <unfinished ...>\n"
        + f"13 1795599764.2 {TAKEN.replace('(9', '(8').replace('slot=1', 'slot=2')}\n"
        + "12 1795599764.25 <... ioctl resumed>) = 0\n"
        + "11 1795599764.3 <... ioctl resumed>)  = -1 EEXIST (File exists)\n"
    )
    assert [(each.lineno, each.seconds, each.region.slot, each.errno) for each in found] == [
        (3, 1795599764.2, 2, 0),
        (1, 1795599764.1, 1, EEXIST),
    ]


def test_lines_about_other_things_are_passed_over() -> None:
    text = f"""\
9 ioctl(3</dev/kvm>, KVM_CHECK_EXTENSION, KVM_CAP_DESTROY_MEMORY_REGION_WORKS) = 1
9 ioctl(3, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) = 1
9 ioctl(9, KVM_GET_DIRTY_LOG, {{slot=1, dirty_bitmap=0x7f00e8400000}}) = 0
9 --- SIGUSR1 {{si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=7, si_uid=0}} ---
9 write(2, "KVM_SET_USER_MEMORY_REGION, {{slot", 33) = 33
strace: Process 12 attached
9 {TAKEN}
9 +++ exited with 0 +++
"""
    assert told(text) == ([Update(7, None, 0, REGION, 0), Gone(0)], [])


def test_a_marker_is_told_where_it_stands() -> None:
    text = f'write(2, "flatview_new 0x55", 17) = 17\n{TAKEN}\n{TAKEN}\n'
    assert told(text, "flatview_new")[0] == [Marker(1), *updates(f"\n{TAKEN}\n{TAKEN}\n")]


def test_a_time_of_day_goes_on_over_midnight() -> None:
    found = updates(f"23:59:59.5 {TAKEN}\n00:00:00.25 {TAKEN}\n23:59:59 {TAKEN}\n00:00:01 {TAKEN}\n")
    assert [each.seconds for each in found] == [86399.5, 86400.25, 172799.0, 172801.0]


def test_a_clock_that_is_set_back_a_little_is_not_a_new_day() -> None:
    assert [each.seconds for each in updates(f"12:00:01 {TAKEN}\n12:00:00 {TAKEN}\n")] == [43201.0, 43200.0]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (TAKEN.replace("memory_size=262144, ", ""), "there is no memory_size"),
        (TAKEN.replace("262144", "many"), "expected ioctl(FD, KVM_SET_USER_MEMORY_REGION, {slot=N"),
        (TAKEN.replace("slot=1", "slot=0x100000000"), "slot: expected 0 to 0xffffffff"),
        (TAKEN.replace(BODY, "0x7ffc1234"), "expected what the region holds, not its address: strace did not decode"),
        (f"{CALL} = -1 ENOSUCH (No such errno)", "expected ioctl(FD, KVM_SET_USER_MEMORY_REGION, {slot=N"),
        (f"{CALL} = 7", "expected ioctl(FD, KVM_SET_USER_MEMORY_REGION, {slot=N"),
        (CALL, "expected ioctl(FD, KVM_SET_USER_MEMORY_REGION, {slot=N"),
        (f"     0.000123 {TAKEN}", "expected a time of day or of the epoch (strace -tt or -ttt, not -r)"),
        (TAKEN.replace("READONLY", "GUEST_MEMFD"), "KVM_MEM_GUEST_MEMFD: not supported by this release"),
        ("ioctl(9, 0x4008ae49, 0x7ffc1234) = 0", "KVM_SET_USER_MEMORY_REGION_LIST, which strace does not decode"),
        ("ioctl(9, _IOC(_IOC_WRITE, 0xae, 0x49, 0xa0), 0x7ffc1234) = 0", "expected what the region holds"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_with_what_was_expected(line: str, why: str) -> None:
    with pytest.raises(BadInput) as error:
        told(f"\n{line}\n{TAKEN}\n")
    assert str(error.value).startswith("x.strace:2: ")
    assert why in str(error.value)


def test_what_was_refused_and_cannot_be_read_changed_nothing() -> None:
    assert updates("ioctl(9, KVM_SET_USER_MEMORY_REGION, NULL) = -1 EFAULT (Bad address)") == []
    assert updates("ioctl(9, 0x4008ae49, 0x7ffc12) = -1 ENOTTY (Inappropriate ioctl for device)") == []


def test_a_last_line_cut_short_is_said_and_passed_over() -> None:
    refused = f"{CALL} = -1 EINVAL"
    for line in (TAKEN, refused):
        for length in range(1, len(line)):
            found, warnings = told(f"{TAKEN}\n{line[:length]}", cut=True)
            assert found == updates(TAKEN)
            assert warnings == ["x.strace:2: the last line is cut short, and passed over"]
        assert told(f"{TAKEN}\n{line}", cut=True) == told(f"{TAKEN}\n{line}")


def test_a_call_that_never_came_back_is_said_and_passed_over() -> None:
    found, warnings = told(f"1 {TAKEN}\n2 {CALL[:-1]} <unfinished ...>\n3 ioctl(9, KVM_RUN, 0 <unfinished ...>\n")
    assert [each.lineno for each in found if isinstance(each, Update)] == [1]
    assert warnings == ["x.strace:2: the recording ends before this call did, and it is passed over"]


def vms(text: str) -> list[int | str]:
    """The VM of each update, and the VMs that have gone."""
    return [
        f"gone {each.vm}" if isinstance(each, Gone) else each.vm
        for each in told(text)[0]
        if not isinstance(each, Marker)
    ]


def test_vms_are_told_apart_by_descriptor() -> None:
    assert vms(f"1 {TAKEN}\n1 {TAKEN.replace('(9', '(10')}\n2 {TAKEN}\n") == [0, 1, 0]


def test_a_descriptor_that_is_made_again_is_another_vm() -> None:
    created = "1 ioctl(3, KVM_CREATE_VM, 0) = 9\n"
    assert vms(f"{created}1 {TAKEN}\n{created}1 {TAKEN}\n2 {TAKEN}\n") == [0, "gone 0", 1, 1]


CREATED_BY_BOTH = "1 ioctl(3, KVM_CREATE_VM, 0) = 9\n2 ioctl(3, KVM_CREATE_VM, 0) = 9\n"


def test_processes_with_one_number_for_two_vms_are_told_apart() -> None:
    assert vms(f"{CREATED_BY_BOTH}1 {TAKEN}\n2 {TAKEN}\n1 {TAKEN}\n") == [0, 1, 0]


def test_a_thread_that_may_be_of_either_process_is_not_guessed() -> None:
    with pytest.raises(
        BadInput, match=r"x\.strace:3: a VM in more than one process, expected the calls that make threads"
    ):
        told(f"{CREATED_BY_BOTH}3 {TAKEN}\n")


def test_the_calls_that_make_threads_say_whose_it_is() -> None:
    thread = "2 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, tls=0x7f} => {parent_tid=[3]}, 88) = 3\n"
    assert vms(f"{CREATED_BY_BOTH}{thread}3 {TAKEN}\n1 {TAKEN}\n") == [1, 0]


def test_a_forked_child_has_its_parents_vms_and_makes_its_own() -> None:
    created = "ioctl(3, KVM_CREATE_VM, 0) = 9\n"
    assert vms(f"1 {created}1 fork() = 2\n2 {TAKEN}\n2 {created}2 {TAKEN}\n1 {TAKEN}\n") == [0, 1, 0]


def test_the_vm_of_a_process_that_has_ended_is_not_in_the_way_of_the_next() -> None:
    first = f"1 ioctl(3, KVM_CREATE_VM, 0) = 9\n5 {TAKEN}\n1 +++ exited with 0 +++\n5 +++ exited with 0 +++\n"
    assert vms(f"{first}2 ioctl(3, KVM_CREATE_VM, 0) = 9\n6 {TAKEN}\n") == [0, "gone 0", 1]


REGIONS = st.tuples(*(st.integers(0, FIELD_MAXIMA[name]) for name in Region._fields[:5])).map(
    lambda values: Region(values[0], values[1] & ~4, *values[2:])
)


def line_of(region: Region) -> str:
    """The region as strace prints it."""
    names = [name for name, bit in (("KVM_MEM_LOG_DIRTY_PAGES", 1), ("KVM_MEM_READONLY", 2)) if region.flags & bit]
    rest = region.flags & ~3
    flags = "|".join([*names, *([hex(rest)] if rest else [])]) or "0"
    gpa, hva = (f"{value:#x}" if value else "0" for value in (region.guest_phys_addr, region.userspace_addr))
    return (
        f"ioctl(9, KVM_SET_USER_MEMORY_REGION, {{slot={region.slot}, flags={flags}, guest_phys_addr={gpa},"
        f" memory_size={region.memory_size}, userspace_addr={hva}}}) = 0"
    )


@given(st.lists(REGIONS))
def test_what_is_printed_as_strace_prints_it_is_read_as_it_was(regions: list[Region]) -> None:
    text = "".join(f"7 1795599764.{i:06} {line_of(region)}\n" for i, region in enumerate(regions))
    assert [each.region for each in updates(text)] == regions
