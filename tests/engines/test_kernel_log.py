# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's log is read from where one began, and its words are taken for what they mean."""

import os
import tempfile
from errno import EIO, EPIPE
from pathlib import Path

import pytest

from engines.real.kmsg import KMSG, Heard, KernelLog, Line, kasan_is_here, known_as, warn_once_more
from engines.real.symptoms import Symptoms, symptoms_in
from memslots.errors import Missing


def test_only_what_is_new_is_read_and_each_line_once(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.write_text("6,0,1,-;before\n")
    log = KernelLog(str(path))
    assert log.news() == Heard()
    with path.open("a") as kmsg:
        kmsg.write("6,1,2,-,caller=T1;one\n SUBSYSTEM=kvm\n DEVICE=c10:232\n4,2,3,-;two; and \\x09more")
        kmsg.flush()
        assert log.news() == Heard((Line("one", "T1"),))
        kmsg.write("\n6,3,4,-;in pie\n6,4,4,c;ces\n")
    assert log.news() == Heard((Line("two; and \tmore"), Line("in pieces")))
    assert log.news() == Heard()
    log.close()


def test_lines_that_were_lost_are_told(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.touch()
    log = KernelLog(str(path))
    path.write_text("6,10,1,-;one\n6,11,1,-;two\n")
    assert log.news() == Heard((Line("one"), Line("two")))
    with path.open("a") as kmsg:
        kmsg.write("6,14,1,-;five\n6,15,1,-;six\n")
    assert log.news() == Heard((Line("five"), Line("six")), lost=True)
    log.close()


def test_the_end_of_a_line_is_not_put_to_another_one(tmp_path: Path) -> None:
    """What it belongs to was lost."""
    path = tmp_path / "kmsg"
    path.touch()
    log = KernelLog(str(path))
    path.write_text("6,10,1,-;one\n6,12,1,c;the end of two\n")
    assert log.news() == Heard((Line("one"), Line("the end of two")), lost=True)
    log.close()


def test_what_was_overwritten_before_it_was_read_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says EPIPE once, and goes on with the oldest record that it has."""
    path = tmp_path / "kmsg"
    path.touch()
    log = KernelLog(str(path))
    path.write_text("6,10,1,-;one\n")
    answers = [EPIPE]
    reads = os.read

    def read(fd: int, size: int) -> bytes:
        if answers:
            raise OSError(answers.pop(), "")
        return reads(fd, size)

    monkeypatch.setattr("engines.real.kmsg.os.read", read)
    assert log.news() == Heard((Line("one"),), lost=True)
    assert log.news() == Heard()
    answers.append(EIO)
    with pytest.raises(OSError, match="Errno 5"):
        log.news()
    log.close()


def test_the_log_of_this_kernel_is_read_back() -> None:
    try:
        log = KernelLog()
        with open(KMSG, "wb", buffering=0) as kmsg:  # noqa: PTH123 - a device
            kmsg.write(b"<14>sameslots: a test looks for this line\n")
    except (Missing, OSError) as error:
        pytest.skip(f"needs to read and write {KMSG}: {error}")
    # The kernel may leave out what user space says too often: then there is nothing to be seen here.
    heard = log.news()
    assert log.news() == Heard()
    log.close()
    if not heard.lines:
        pytest.skip("needs a line in the kernel's log: printk_devkmsg keeps it out")
    assert "sameslots: a test looks for this line" in heard.lines[-1].text
    assert not heard.lost


def test_a_log_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="No such file or directory: expected the kernel's log, which root may read"):
        KernelLog(str(tmp_path / "kmsg"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["------------[ cut here ]------------", "WARNING: CPU: 1 PID: 7 at virt/kvm/kvm_main.c:12 f+0x1/0x2"],
            Symptoms(warnings=("f (virt/kvm/kvm_main.c:12)",)),
        ),
        (["WARNING: CPU: 1 PID: 7 at f+0x1/0x2"], Symptoms(warnings=("f",))),
        (["WARNING: virt/kvm/kvm_main.c:12 at f+0x1/0x2, CPU#1: python/7"], Symptoms(("f (virt/kvm/kvm_main.c:12)",))),
        (["BUG: KASAN: slab-use-after-free in f+0x1/0x2"], Symptoms(damage=("use-after-free",))),
        (["BUG: KASAN: use-after-free in f+0x1/0x2"] * 2, Symptoms(damage=("use-after-free",))),
        (["BUG: KASAN: double-free in f"], Symptoms(damage=("double-free",))),
        (["BUG: KASAN: invalid-free in f"], Symptoms(damage=("double-free",))),
        (["BUG: KASAN: slab-out-of-bounds in f"], Symptoms(damage=("out-of-bounds",))),
        (["BUG: KFENCE: out-of-bounds write in f"], Symptoms(damage=("out-of-bounds",))),
        (
            ["BUG: kernel NULL pointer dereference, address: 0000000000000010", "Oops: 0000 [#1] PREEMPT SMP KASAN"],
            Symptoms(
                oops="null-dereference", oops_text="BUG: kernel NULL pointer dereference, address: 0000000000000010"
            ),
        ),
        (
            [
                "general protection fault, probably for non-canonical address 0xdffffc0000000002: 0000 [#1] SMP KASAN",
                "KASAN: null-ptr-deref in range [0x0000000000000010-0x0000000000000017]",
            ],
            Symptoms(
                oops="null-dereference",
                oops_text="general protection fault, probably for non-canonical address 0xdffffc0000000002:"
                " 0000 [#1] SMP KASAN",
            ),
        ),
        (
            ["kernel BUG at virt/kvm/kvm_main.c:1515!", "invalid opcode: 0000 [#1] SMP"],
            Symptoms(oops="bug", oops_text="kernel BUG at virt/kvm/kvm_main.c:1515!"),
        ),
        (
            ["BUG: unable to handle page fault for address: ffffc90000000000"],
            Symptoms(oops="", oops_text="BUG: unable to handle page fault for address: ffffc90000000000"),
        ),
        (
            ["BUG: KASAN: use-after-free in f", "BUG: unable to handle page fault for address: ffffc90000000000"],
            Symptoms(
                damage=("use-after-free",),
                oops="use-after-free",
                oops_text="BUG: unable to handle page fault for address: ffffc90000000000",
            ),
        ),
        (["WARNING: possible recursive locking detected"], Symptoms(lockdep=("possible recursive locking detected",))),
        (
            ["WARNING: lock held when returning to user space!"],
            Symptoms(lockdep=("lock held when returning to user space",)),
        ),
        (["WARNING: python3/71 still has locks held!"], Symptoms(lockdep=("python3/71 still has locks held",))),
        (["WARNING: suspicious RCU usage"], Symptoms(lockdep=("suspicious RCU usage",))),
        (["WARNING: bad unlock balance detected!"], Symptoms(lockdep=("bad unlock balance detected",))),
        (
            ["INFO: task python:73 blocked for more than 20 seconds."],
            Symptoms(stuck=("INFO: task python:73 blocked for more than 20 seconds",)),
        ),
        (
            ["watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [python:73]"],
            Symptoms(stuck=("soft lockup - CPU#0",)),
        ),
        (
            ["rcu: INFO: rcu_sched detected stalls on CPUs/tasks:"],
            Symptoms(stuck=("rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",)),
        ),
        (["kvm: Nested Virtualization enabled", "WARNING: this firmware is old", "a BUG: or not"], Symptoms()),
    ],
)
def test_what_the_kernel_says_is_taken_for_what_it_means(lines: list[str], expected: Symptoms) -> None:
    assert symptoms_in(map(Line, lines)) == expected
    assert symptoms_in(map(Line, ["a line", *lines, "another"])) == expected


OLD = "WARNING: CPU: 1 PID: {} at virt/kvm/kvm_main.c:12 f+0x1/0x2 [kvm]"
BARE = "WARNING: CPU: 1 PID: {} at f+0x1/0x2 [kvm]"
NEW = "WARNING: virt/kvm/kvm_main.c:12 at f+0x1/0x2 [kvm], CPU#1: kworker/0:1/{}"
NEW_BARE = "WARNING: at f+0x1/0x2 [kvm], CPU#1: a name, CPU#2: /{}"
NAMELESS = "WARNING: virt/kvm/kvm_main.c:12 at f+0x1/0x2"


@pytest.mark.parametrize("form", [OLD, BARE, NEW, NEW_BARE])
@pytest.mark.parametrize(
    ("task", "caller", "who"),
    [
        (71, "", ""),
        (71, "T71", ""),
        (71, "C1", "an interrupt"),
        (17, "", "task 17"),
        (711, "T711", "task 711"),
        (0, "", "task 0"),
        (0, "C0", "an interrupt"),
    ],
)
def test_a_warn_is_whose_task_it_names(form: str, task: int, caller: str, who: str) -> None:
    lines = [Line(form.format(task), caller), Line("another line", "T17")]
    place = "f" if form in (BARE, NEW_BARE) else "f (virt/kvm/kvm_main.c:12)"
    found = symptoms_in(lines, 71)
    assert found == (Symptoms(foreign=(f"WARN of {who}: {place}",)) if who else Symptoms(warnings=(place,)))
    # Nobody knows what the task is called in the log: then it is the cause of all but interrupts.
    assert bool(symptoms_in(lines).warnings) == (not caller.startswith("C"))


@pytest.mark.parametrize(("caller", "ours"), [("", True), ("T71", True), ("T17", False), ("C0", False)])
def test_a_warn_that_names_no_task_is_its_caller_s_or_else_ours(caller: str, ours: bool) -> None:
    found = symptoms_in([Line(NAMELESS, caller)], 71)
    assert (len(found.warnings), len(found.foreign)) == ((1, 0) if ours else (0, 1))


def test_in_a_container_nobody_knows_what_the_log_calls_a_process(tmp_path: Path) -> None:
    namespace = tmp_path / "pid"
    namespace.symlink_to("pid:[4026531836]")
    assert known_as(71, namespace) == 71
    namespace.unlink()
    namespace.symlink_to("pid:[4026531837]")
    assert known_as(71, namespace) is None
    assert known_as(71, tmp_path / "none") is None


def test_whether_a_kernel_has_kasan_is_told_by_its_symbols(tmp_path: Path) -> None:
    symbols = tmp_path / "kallsyms"
    symbols.write_text("0 T kasan_report_invalid\n0 t no_kasan_report\n")
    assert not kasan_is_here(symbols)
    with_kasan = tmp_path / "with"
    with_kasan.write_text("0 T a\nffffffff81000000 T kasan_report\n")
    assert kasan_is_here(with_kasan)
    assert not kasan_is_here(tmp_path / "none")


def test_warnings_speak_once_more_where_that_can_be_said() -> None:
    with tempfile.TemporaryDirectory() as folder:
        switch = Path(folder) / "clear_warn_once"
        switch.touch()
        warn_once_more(switch)
        assert switch.read_text() == "1"
        switch.unlink()
        warn_once_more(Path(folder) / "none" / "clear_warn_once")
        assert os.listdir(folder) == []  # noqa: PTH208 - names alone
