# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots reproduce`: the same text each time, short lines, and one line for a case that no kernel may be given."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Sameslots = Callable[..., subprocess.CompletedProcess[str]]

GROW = """\
slots 1
# growing a slot into its neighbour
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000 # in the way
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000000000
"""


@pytest.fixture
def grow(tmp_path: Path) -> Path:
    path = tmp_path / "grow.slots"
    path.write_text(GROW)
    return path


@pytest.mark.parametrize("ioctl", ["serial", "list"])
def test_the_text_is_the_same_each_time_and_reads_like_the_kernels(
    ioctl: str, grow: Path, sameslots: Sameslots
) -> None:
    made = [sameslots("reproduce", grow, "--ioctl", ioctl) for _ in range(2)]
    assert made[0].stdout == made[1].stdout
    assert (made[0].returncode, made[0].stderr) == (0, "")
    lines = made[0].stdout.splitlines()
    assert lines[0] == "// SPDX-License-Identifier: GPL-2.0-only"
    assert lines[2].startswith(" * gcc -Wall -Wextra -o grow grow.c && ./grow")
    assert " * growing a slot into its neighbour" in lines
    assert "\t{ 1, 0, 0x10000, 0x10000, 0x100000010000 }, /* in the way */" in lines
    assert all(line == line.rstrip() and not line.startswith(" " * 2) for line in lines)
    # Strings are not broken, so that they can be searched for.
    assert [line for line in lines if len(line.expandtabs(8)) > 80 and '"' not in line] == []
    assert "$" not in made[0].stdout


def test_the_head_says_what_is_right_and_what_was_seen(grow: Path, sameslots: Sameslots) -> None:
    text = " ".join(sameslots("reproduce", grow, "--ioctl", "list").stdout.replace("\n * ", " ").split())
    assert "IT MAY HANG OR CRASH THE KERNEL" in text
    assert "entry 1 refused with EEXIST; the list is to leave the state before it (policy atomic)." in text
    assert "Seen, in a simulation of the series of 9 September 2022: EEXIST, leaked 1 object" in text
    assert "P2 refuses a CREATE, and undoes nothing; " in text
    assert "Active then: slot=0 gpa=0x0 size=0x10000 hva=0x100000000000 flags=INVALID" in text


def test_the_policy_says_what_a_refused_list_leaves(grow: Path, sameslots: Sameslots) -> None:
    numbers = {}
    for policy in ("atomic", "prefix"):
        text = sameslots("reproduce", grow, "--ioctl", "list", "--policy", policy).stdout
        [numbers[policy]] = [line for line in text.splitlines() if line.startswith("#define NR_AFTER")]
    assert numbers == {"atomic": "#define NR_AFTER\t2", "prefix": "#define NR_AFTER\t1"}


def test_it_can_go_to_a_file_of_any_name(grow: Path, sameslots: Sameslots) -> None:
    out = grow.parent / "-it's a.c"
    made = sameslots("reproduce", grow, "--out", out)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    command = out.read_text().splitlines()[2].removeprefix(" * ")
    built, _, run = command.partition(" && ")
    assert run == """\'./-it'"'"'s a\'"""
    assert built == """gcc -Wall -Wextra -o './-it'"'"'s a' './-it'"'"'s a.c'"""


@pytest.mark.parametrize("out", ["grow", "grow.slots", "missing/grow.c"])
def test_a_file_that_cannot_be_a_program_is_bad_usage(out: str, grow: Path, sameslots: Sameslots) -> None:
    made = sameslots("reproduce", grow, "--out", grow.parent / out)
    assert made.returncode == 2
    assert made.stderr.count("\n") == 1
    assert grow.read_text() == GROW


@pytest.mark.parametrize(
    ("ioctl", "text", "complaint"),
    [
        ("serial", "apply slot=0 size=0\nfault slot=0", "fault slot: a real kernel fails when it likes"),
        ("serial", "machine linux-6.1 page_size=0x4000\napply slot=0 size=0", "page_size=0x4000: expected 0x1000"),
        (
            "serial",
            "given slot=0 size=0x401000\napply slot=0 size=0",
            "given 0: memory_size=0x401000: expected at most",
        ),
        (
            "serial",
            "apply slot=9 size=0x7fffffff000",
            "entry 0: memory_size=0x7fffffff000: expected at most 1024 pages",
        ),
        ("list", "apply slot=9 size=0x401000", "entry 0: memory_size=0x401000: expected at most 1024 pages"),
        # The single ioctl refuses it for its overlap; whether the list does is the question.
        ("list", "given slot=0 size=0x1000\napply slot=9 size=0x401000", "entry 0: memory_size=0x401000: expected"),
        # As many as the engine kvm-list may hand over: 16 MiB with the batch.
        ("list", "list nent=174763\napply slot=0 size=0", "nent=174763: the kernel would allocate 16 MiB for it"),
        ("serial", "given slot=0 size=1\napply slot=0 size=0", "the serial ioctl refuses it (EINVAL)"),
    ],
)
def test_what_a_real_kernel_must_not_be_given_is_refused_in_one_line(
    ioctl: str, text: str, complaint: str, tmp_path: Path, sameslots: Sameslots
) -> None:
    path = tmp_path / "x.slots"
    path.write_text(f"slots 1\n{text}\n")
    made = sameslots("reproduce", path, "--ioctl", ioctl)
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith(f"sameslots: {path}:")
    assert complaint in made.stderr
    assert made.stderr.count("\n") == 1


def test_the_longest_list_that_a_real_kernel_may_be_given_is_printed(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "x.slots"
    path.write_text("slots 1\nlist nent=174762\napply slot=0 size=0\n")
    made = sameslots("reproduce", path, "--ioctl", "list")
    assert made.returncode == 0, made.stderr
    assert "174762" in made.stdout


def test_a_case_that_leaves_no_slot_id_cannot_be_probed(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "x.slots"
    path.write_text("slots 1\nmachine linux-6.1 user_slots=2\napply slot=1 size=0\n")
    made = sameslots("reproduce", path)
    assert made.returncode == 2
    assert "the case uses every slot id" in made.stderr
