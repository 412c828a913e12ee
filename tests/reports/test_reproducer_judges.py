# SPDX-License-Identifier: GPL-2.0-only
"""A reproducer exits with 1 for whatever a kernel does wrong, 4 where it cannot tell, and never hangs itself."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.real.host import Host
from fuzz.reproduce import program_of
from memslots.textreader import parse_case
from oracles.policy import Policy

Build = Callable[..., Path]
Ran = Callable[..., tuple[int, tuple[bool | None, ...], str]]

DISPOSABLE = "--this-machine-is-disposable"
TEXT = """\
slots 1
given slot=0 gpa=0x1000 size=0x4000 hva=0x100000000000
given slot=1 gpa=0x5000 size=0x1000 hva=0x200000000000 flags=READONLY
apply slot=0 gpa=0x1000 size=0x4000 hva=0x100000000000
apply slot=1 size=0 invalidate
apply slot=1 gpa=0x4000 size=0x2000 hva=0x200000000000
"""
REQUESTS = 5
"""How many single ioctls there are before the slots are read back."""
TAMPERED = (
    "a-slot-more",
    "a-slot-less",
    "moved",
    "moved-down",
    "shorter",
    "other-memory",
    "other-log",
    "other-readonly",
)
WELL = (True, True, True, True, True)
WELL_AT_ONCE = (True, True, True, True)


@pytest.fixture(scope="module")
def serial(build: Build) -> Path:
    return build(program_of(parse_case(TEXT.splitlines()), "case.c", "serial", Policy.ATOMIC))


@pytest.fixture(scope="module")
def at_once(build: Build) -> Path:
    return build(program_of(parse_case(TEXT.splitlines()), "case.c", "list", Policy.ATOMIC))


def test_a_sound_kernel_comes_out_well(serial: Path, at_once: Path, ran: Ran) -> None:
    assert ran(serial, DOUBLE="sound")[:2] == (0, WELL)
    assert ran(at_once, DISPOSABLE, DOUBLE="sound")[:2] == (0, WELL_AT_ONCE)


@pytest.mark.parametrize("wrong", TAMPERED)
def test_any_other_final_state_is_seen(wrong: str, serial: Path, at_once: Path, ran: Ran) -> None:
    code, points, printed = ran(serial, DOUBLE=wrong, MEDDLE_AT=REQUESTS)
    assert (code, points) == (1, (*WELL[:4], False)), printed
    code, points, printed = ran(at_once, DISPOSABLE, DOUBLE=wrong)
    assert (code, points[:2], points[3]) == (1, WELL[:2], False), printed


@pytest.mark.parametrize(
    ("wrong", "points", "said"),
    [
        ("no-op-refused", (True, False, None, None, False), "not ok 2 entry 0: EINVAL, expected 0"),
        ("overlap-is-einval", (True, True, True, False, False), "not ok 4 entry 2: EINVAL, expected EEXIST"),
        ("overlap-allowed", (True, True, True, False, False), "not ok 4 entry 2: 0, expected EEXIST"),
    ],
)
def test_another_answer_of_the_single_ioctl_is_a_mismatch(
    wrong: str, points: tuple[bool | None, ...], said: str, serial: Path, ran: Ran
) -> None:
    code, got, printed = ran(serial, DOUBLE=wrong)
    assert (code, got[:4]) == (1, points[:4]), printed
    assert said in printed.splitlines()


def test_what_is_given_and_refused_is_a_mismatch(serial: Path, at_once: Path, ran: Ran) -> None:
    """A kernel without READONLY that says it has it."""
    code, points, printed = ran(serial, DOUBLE="readonly-unknown")
    assert (code, points[:4]) == (1, (False, None, None, None)), printed
    code, points, printed = ran(at_once, DISPOSABLE, DOUBLE="readonly-unknown")
    assert (code, points) == (1, (False,)), printed
    assert printed.endswith("Bail out!\n")


@pytest.mark.parametrize(
    ("wrong", "points", "said"),
    [
        ("prefix", (True, True, True, False), "# after: missing slot=0:1 "),
        ("list-answers-1", (True, False, True, True), "# the list answers 1, expected EEXIST"),
        ("list-says-ok", (True, False, True, True), "# the list answers 0, expected EEXIST"),
        ("list-says-enomem", (True, False, True, True), "# the list answers ENOMEM, expected EEXIST"),
        ("list-is-killed", (True, False, None, None), "not ok 2 killed: see dmesg"),
        ("list-hangs", (True, False, None, None), "not ok 2 does not return: see dmesg"),
        ("slots-lock-lost", (True, True, False, None), "not ok 3 does not return: see dmesg"),
        ("arch-lock-lost", (True, True, True, False), "not ok 4 does not return: see dmesg"),
    ],
)
def test_whatever_becomes_of_the_list_is_told(
    wrong: str, points: tuple[bool | None, ...], said: str, at_once: Path, ran: Ran
) -> None:
    """Where a lock is lost the double heeds no SIGKILL, as a task that waits for it would not."""
    code, got, printed = ran(at_once, DISPOSABLE, DOUBLE=wrong)
    assert (code, got) == (1, points), printed
    assert any(line.startswith(said) for line in printed.splitlines()), printed


def test_a_list_that_is_done_and_answers_1_is_a_mismatch(build: Build, ran: Ran) -> None:
    file = parse_case(["slots 1", "apply slot=0 gpa=0x0 size=0x1000 hva=0x0"])
    program = build(program_of(file, "case.c", "list", Policy.ATOMIC))
    code, points, printed = ran(program, DISPOSABLE, DOUBLE="list-answers-1-when-done")
    assert (code, points) == (1, (True, False, True, True))
    assert "# the list answers 1, expected 0" in printed.splitlines()


def test_it_waits_for_its_child_where_nobody_else_does(at_once: Path, ran: Ran) -> None:
    """Whoever starts it may ignore SIGCHLD, which it would inherit: the exit code of the child would be lost."""
    ignored = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    ignoring = f"import os, signal, sys; {ignored}; os.execv(sys.argv[1], sys.argv[1:])"
    code, points, printed = ran(Path(sys.executable), "-c", ignoring, str(at_once), DISPOSABLE, DOUBLE="sound")
    assert (code, points) == (0, WELL_AT_ONCE), printed


def test_what_is_there_instead_is_shown(at_once: Path, ran: Ran) -> None:
    """The list is not refused, and slot 1 is longer: it lies across slot 0."""
    _, _, printed = ran(at_once, DISPOSABLE, DOUBLE="list-allows-overlap")
    lines = printed.splitlines()
    assert "# after: missing slot=0:1 flags=0x2 gpa=0x5000 size=0x1000 hva=0x200000000000" in lines
    assert "# after: unexpected slot=0:1 flags=0x0 gpa=0x4000 size=0x2000 hva=0x200000000000" in lines


@pytest.mark.parametrize(
    ("kernel", "machine", "why"),
    [
        ("no-device", {}, "/dev/kvm: No such file or directory"),
        ("no-permission", {}, "/dev/kvm: Permission denied"),
        ("sound", {"READONLY": 0}, "KVM_MEM_READONLY: known to the case, not to this host"),
    ],
)
def test_where_it_cannot_run_it_is_skipped(
    kernel: str, machine: dict[str, int], why: str, serial: Path, at_once: Path, ran: Ran
) -> None:
    for program, arguments in ((serial, ()), (at_once, (DISPOSABLE,))):
        code, points, printed = ran(program, *arguments, DOUBLE=kernel, **machine)
        assert (code, points) == (4, ())
        assert printed == f"TAP version 13\n1..0 # SKIP {why}\n"


@pytest.mark.parametrize(
    ("text", "machines"),
    [
        ("apply slot=1:0 gpa=0x0 size=0x1000 hva=0x0", [({"SPACES": 2}, 0), ({"SPACES": 1}, 4)]),
        ("machine linux-6.18\napply slot=1:0 gpa=0x0 size=0x1000", [({"SPACES": 2}, 4), ({"SPACES": 1}, 0)]),
        ("apply slot=600 size=0x1000", [({}, 0), ({"SLOTS": 509}, 4)]),
        ("apply slot=0 gpa=0xfffffffff000 size=0x1000", [({}, 0), ({"MAX_GFN": 0xFFFFFFFFF}, 0), ({"MAX_GFN": 99}, 4)]),
        (
            "machine linux-6.1 max_gfn=99\napply slot=0 gpa=0x64000 size=0x1000",
            [({"MAX_GFN": 99}, 0), ({"MAX_GFN": 100}, 4)],
        ),
        ("apply slot=0 size=0x1000 hva=0x7ffffffff000", [({}, 0), ({"USER_END": 1 << 63}, 4)]),
    ],
)
def test_a_host_that_would_answer_otherwise_by_right_is_not_judged(
    text: str, machines: list[tuple[dict[str, int], int]], build: Build, ran: Ran
) -> None:
    program = build(program_of(parse_case(["slots 1", *text.splitlines()]), "case.c", "serial", Policy.ATOMIC))
    for machine, expected in machines:
        code, _, printed = ran(program, DOUBLE="sound", **{"SPACES": 2, **machine})
        assert code == expected, (machine, printed)


def test_the_list_is_not_sent_before_somebody_says_that_it_may(at_once: Path, ran: Ran) -> None:
    for arguments in ((), ("--yes",), (DISPOSABLE, "more")):
        code, _, printed = ran(at_once, *arguments, DOUBLE="list-is-killed")
        assert code == 4
        assert printed.endswith("1..0 # SKIP the list may hang or crash the kernel: say --this-machine-is-disposable\n")


def test_this_kernel_does_not_have_the_list_ioctl(at_once: Path, ran: Ran, host: Host) -> None:
    if host.region_list:
        pytest.skip("needs a kernel without the list ioctl, or one that may be lost")
    code, _, printed = ran(at_once, DISPOSABLE)
    assert (code, printed.splitlines()[-1]) == (
        4,
        "1..0 # SKIP KVM_SET_USER_MEMORY_REGION_LIST: this kernel does not have it",
    )


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("{ 0, 0, EEXIST }", "{ 0, 0, EINVAL }"),
        ("after[NR_AFTER] = {", "after[NR_AFTER] = { { 3, 0, 0x9000, 0x1000, 0 },"),
        ("0x4000, 0x100000000000 },\n};\n\n/* A page", "0x3000, 0x100000000000 },\n};\n\n/* A page"),
    ],
    ids=["answer", "slot", "size"],
)
def test_a_false_expectation_fails_on_the_kernel_of_this_machine(
    found: str, instead: str, build: Build, ran: Ran, host: Host
) -> None:
    text = program_of(parse_case(TEXT.splitlines()), "case.c", "serial", Policy.ATOMIC)
    assert text.count(found) == 1
    false = text.replace(found, instead)
    if "NR_AFTER" in found:
        false = false.replace("#define NR_AFTER\t1", "#define NR_AFTER\t2")
    code, points, printed = ran(build(false))
    assert code == 1, printed
    assert not all(points)
