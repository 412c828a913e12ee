# SPDX-License-Identifier: GPL-2.0-only
"""The console: which lines tell of a crash, and of what kind it is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.guests.console import Console


def heard(*lines: str) -> Console:
    console = Console()
    console.feed("".join(f"{line}\r\n" for line in lines).encode())
    return console


KINDS = {
    "[    9.1] BUG: kernel NULL pointer dereference, address: 0000000000000010": "null-dereference",
    "[    9.1][  T77] BUG: kernel NULL pointer dereference, address: 0": "null-dereference",
    "BUG: KASAN: slab-use-after-free in some_function+0x1/0x2": "use-after-free",
    "BUG: KASAN: use-after-free in some_function+0x1/0x2": "use-after-free",
    "[ 9.1][ C0] KASAN: null-ptr-deref in range [0x0-0x7]": "null-dereference",
    "[    9.1] kernel BUG at some/file.c:12!": "bug",
    "[    9.1] BUG: KASAN: slab-out-of-bounds in some_function": None,
    "[    9.1] general protection fault, probably for non-canonical address 0xdead000000000100": None,
    "[    9.1] BUG: unable to handle page fault for address: ffff88": None,
    "[    9.1] Kernel panic - not syncing: sysrq triggered crash": None,
}


@pytest.mark.parametrize("line", KINDS)
def test_a_crash_is_told_with_its_kind(line: str) -> None:
    console = heard("[    9.0] all is well", line)
    assert console.oops == [line]
    assert console.kind == KINDS[line]
    assert line.endswith(console.headline())
    assert not console.headline().startswith("[")


@pytest.mark.parametrize(
    "line",
    [
        "[    1.0] WARNING: CPU: 0 PID: 1 at some/file.c:1 some_function+0x1/0x2",
        "[    1.0] Speculative Return Stack Overflow: WARNING: See the documentation",
        "[    1.0] systemd: a message with the words panic and bug",
        "[    1.0] random: crng init done",
        "",
    ],
)
def test_what_is_no_crash_is_none(line: str) -> None:
    console = heard(line)
    assert (console.oops, console.kind, console.headline()) == ([], None, "")


def test_a_warning_is_kept_by_its_first_line() -> None:
    console = heard("[ 1.0] WARNING: CPU: 0 PID: 1 at a.c:1", "[ 1.0] Modules linked in:", "[ 1.0] x: WARNING: hm")
    assert console.warnings == ["[ 1.0] WARNING: CPU: 0 PID: 1 at a.c:1"]


def test_a_report_goes_on_to_its_end_without_guesses() -> None:
    report = ["[ 2.0] kernel BUG at a.c:1!", "[ 2.0] Oops: invalid opcode", "[ 2.0]  ? guess+0x1", "[ 2.0]  call+0x1"]
    console = heard("[ 1.0] before", *report, "[ 2.0] ---[ end trace 0 ]---", "[ 3.0] behind")
    assert console.oops == [report[0], report[1], report[3], "[ 2.0] ---[ end trace 0 ]---"]
    assert console.kind == "bug"


def test_a_later_line_of_the_first_report_may_tell_the_kind_and_a_second_report_may_not() -> None:
    first = heard("general protection fault, probably for", "KASAN: null-ptr-deref in range [0-7]", "---[ end trace")
    assert first.kind == "null-dereference"
    first.feed(b"kernel BUG at a.c:1!\n")
    assert first.kind == "null-dereference"
    untold = heard("general protection fault", "---[ end trace", "kernel BUG at a.c:1!")
    assert untold.kind is None


def test_a_stuck_processor_spins_and_a_stuck_task_waits() -> None:
    waits = heard("[ 3.0] INFO: task python:77 blocked for more than 20 seconds.")
    assert (len(waits.stuck), waits.spins) == (1, False)
    for line in (
        "[ 4.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [python:77]",
        "[ 4.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
        "[ 4.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    ):
        spins = heard(line)
        assert (spins.stuck, spins.spins, spins.oops) == ([line], True, [])


def test_a_report_is_cut_and_lines_without_end_are_dropped() -> None:
    console = heard("kernel BUG at a.c:1!", *("line" for _ in range(10_000)))
    assert len(console.oops) <= 60
    assert len(console.last) <= 400
    console.feed(b"x" * (1 << 20))
    console.end()
    assert console.last[-1] == "line"


@given(st.binary())
def test_whatever_is_heard_can_be_shown_on_a_terminal(data: bytes) -> None:
    console = Console()
    console.feed(data)
    console.end()
    assert not [c for line in console.last for c in line if unicodedata.category(c) == "Cc" and c != "\t"]


@given(st.lists(st.integers(1, 20), min_size=1))
def test_lines_are_whole_however_they_come(lengths: list[int]) -> None:
    data = b"[ 1.0] a\r\n[ 2.0] kernel BUG at a.c:1!\r\n[ 3.0] b"
    console = Console()
    at = i = 0
    while at < len(data):
        length = lengths[i % len(lengths)]
        console.feed(data[at : at + length])
        at, i = at + length, i + 1
    console.end()
    assert list(console.last) == ["[ 1.0] a", "[ 2.0] kernel BUG at a.c:1!", "[ 3.0] b"]
