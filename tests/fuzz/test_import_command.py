# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots import`: the files that it writes, its exit codes, and one line for whatever cannot be read."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from memslots.textreader import read_case

Sameslots = Callable[..., subprocess.CompletedProcess[str]]

HUGE = 300 << 20
CREATED = """\
11 1795599764.000000 ioctl(3, KVM_CREATE_VM, 0) = 9
11 1795599764.100000 ioctl(9, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, memory_size=65536, \
userspace_addr=0x7f0012345000}) = 0
"""
GROWN = """\
11 1795599764.200000 ioctl(9, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, memory_size=0, \
userspace_addr=0x7f0012345000}) = 0
11 1795599764.200500 ioctl(9, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, memory_size=131072, \
userspace_addr=0x7f0012345000}) = 0
"""
REFUSED = """\
11 1795599764.300000 ioctl(9, KVM_SET_USER_MEMORY_REGION, {slot=1, flags=0, guest_phys_addr=0, memory_size=4096, \
userspace_addr=0x7f0022345000}) = -1 EEXIST (File exists)
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "vmm.strace"
    path.write_text(CREATED + GROWN)
    return path


def test_a_list_becomes_a_file_that_replays(recording: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    out = tmp_path / "lists"
    ran = sameslots("import", "strace", recording, "--out", out)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (
        ran.stdout == f"{recording}: 3 updates of 1 VM, 2 lists, 2 distinct in {out}/, 0 answers unlike the model's\n"
    )
    assert sorted(path.name for path in out.iterdir()) == ["vmm-001-create.slots", "vmm-002-grow.slots"]
    assert (
        (out / "vmm-002-grow.slots").read_text()
        == """\
slots 1
# grow: 1 deleted, 1 created.
# vmm.strace, lines 3 to 4, 0.100 s after the first update, within 0.5 ms.
given slot=0 gpa=0x0 size=0x10000 hva=0x100000001000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000001000
expect serial ok
expect rfc-v1 ok
expect rfc-v1 agrees
"""
    )
    replayed = sameslots("replay", out)
    assert (replayed.returncode, replayed.stdout) == (0, "2 replayed: 2 as expected, 0 not, 0 bad\n")


def test_requests_can_be_kept_as_they_were_recorded(recording: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    assert sameslots("import", "strace", recording, "--out", tmp_path, "--keep-hva", "--no-invalidate").returncode == 0
    assert read_case(tmp_path / "vmm-002-grow.slots").case.apply == read_case_of(
        """
        apply slot=0 size=0 hva=0x7f0012345000
        apply slot=0 size=0x20000 hva=0x7f0012345000
        """,
        tmp_path,
    )


def read_case_of(text: str, folder: Path) -> object:
    path = folder / "expected.slots"
    path.write_text(f"slots 1\n{text}")
    return read_case(path).case.apply


def test_a_list_that_is_sent_again_is_written_once_and_counted(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    path.write_text((CREATED + GROWN) * 3)  # the same descriptor, made three times
    ran = sameslots("import", "strace", path, "--out", tmp_path / "lists")
    assert "9 updates of 3 VMs, 6 lists, 2 distinct" in ran.stdout
    assert "# Sent 3 times in all, again from lines 7, 11.\n" in (tmp_path / "lists/vmm-002-grow.slots").read_text()
    assert sameslots("replay", tmp_path / "lists").returncode == 0


def test_a_refusal_is_kept_with_what_was_recorded(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    path.write_text(CREATED + REFUSED)
    assert sameslots("import", "strace", path, "--out", tmp_path / "lists").returncode == 0
    text = (tmp_path / "lists/vmm-002-refused.slots").read_text()
    assert (
        "apply slot=1 gpa=0x0 size=0x1000 hva=0x101000001000 # recorded: EEXIST\nexpect serial refused EEXIST at 0\n"
        in text
    )
    assert sameslots("replay", tmp_path / "lists").returncode == 0


def test_an_answer_unlike_the_models_is_a_finding(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    path.write_text(CREATED + REFUSED.replace("-1 EEXIST (File exists)", "0") * 12)
    ran = sameslots("import", "strace", path, "--out", tmp_path / "lists")
    assert ran.returncode == 1
    first, *_ = ran.stdout.splitlines()
    assert first == (f"{path}:3: recorded: ok, the model answers EEXIST: slot=1 gpa=0x0 size=0x1000 hva=0x101000001000")
    text = (tmp_path / "lists/vmm-002-refused.slots").read_text()
    assert "# recorded: ok, the model answers EEXIST\n" in text
    assert "# The recorded kernel and the model disagree: see the entries.\n" in text
    assert sameslots("replay", tmp_path / "lists").returncode == 0


def test_of_many_unlike_answers_ten_are_shown_and_all_are_counted(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    missing = REFUSED.replace("-1 EEXIST (File exists)", "0").replace("memory_size=4096", "memory_size=0")
    path.write_text(CREATED + missing * 12)
    ran = sameslots("import", "strace", path, "--out", tmp_path / "lists")
    *shown, more, summary = ran.stdout.splitlines()
    assert (ran.returncode, len(shown), more) == (1, 10, "... and 2 more")
    assert summary.endswith("12 answers unlike the model's")


def test_what_no_list_can_tell_is_left_out_and_named(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    path.write_text(CREATED + GROWN + REFUSED.replace("300000", "201000").replace("EEXIST (File exists)", "ENOMEM (x)"))
    ran = sameslots("import", "strace", path, "--out", tmp_path / "lists")
    assert (ran.returncode, "4 updates of 1 VM, 1 left out, 2 lists" in ran.stdout) == (0, True)
    text = (tmp_path / "lists/vmm-002-grow.slots").read_text()
    assert "# Left out: line 5, ENOMEM, slot=1 gpa=0x0 size=0x1000 hva=0x7f0022345000\n" in text
    assert "apply slot=1" not in text


def test_a_recording_that_ends_half_way_is_used_and_said(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    path.write_text((CREATED + GROWN)[:-20])
    ran = sameslots("import", "strace", path, "--out", tmp_path / "lists")
    assert ran.returncode == 0
    assert ran.stderr == f"sameslots: {path}:4: the last line is cut short, and passed over\n"
    assert "2 updates of 1 VM, 2 lists" in ran.stdout


def test_a_machine_with_one_address_space_or_little_memory_can_be_named(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "qemu.trace"
    head = "1@1795599764.1:kvm_set_user_memory"
    path.write_text(
        f"{head} AddrSpace#1 Slot#0 flags=0x0 gpa=0x0 size=0x1000 ua=0x7f0000000000 ret=-22\n"
        f"{head} AddrSpace#0 Slot#0 flags=0x0 gpa=0x10000000 size=0x1000 ua=0x7f0000000000 ret=-22\n"
    )
    assert sameslots("import", "qemu-trace", path, "--out", tmp_path / "a").returncode == 1
    there = ("--machine", "linux-6.18", "--max-gfn", "0xffff")
    assert sameslots("import", "qemu-trace", path, "--out", tmp_path / "b", *there).returncode == 0
    [made] = (tmp_path / "b").iterdir()
    assert "machine linux-6.18 max_gfn=0xffff\n" in made.read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected lines of strace with ioctl(FD, KVM_SET_USER_MEMORY_REGION, ...), found none"),
        (
            "\x7fELF\x00\xff\n" * 50,
            "expected lines of strace with ioctl(FD, KVM_SET_USER_MEMORY_REGION, ...), found none",
        ),
        (CREATED.replace("1795599764.100000 ", ""), ":2: no time, and no marker before it: expected a recording with"),
        (CREATED.replace("slot=0", "slot=x"), ":2: expected ioctl(FD, KVM_SET_USER_MEMORY_REGION, {slot=N, flags=N"),
        (CREATED.replace("flags=0", "flags=KVM_MEM_GUEST_MEMFD"), ":2: KVM_MEM_GUEST_MEMFD: not supported by this"),
    ],
)
def test_bad_input_is_one_line(text: str, why: str, tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    path.write_text(text)
    ran = sameslots("import", "strace", path, "--out", tmp_path / "lists")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith(f"sameslots: {path}")
    assert why in ran.stderr
    assert list(tmp_path.iterdir()) == [path], "nothing was written, nor a folder for it made"


def test_one_form_is_not_read_as_the_other(recording: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    ran = sameslots("import", "qemu-trace", recording, "--out", tmp_path / "lists")
    wanted = "expected lines of QEMU's trace event kvm_set_user_memory, found none"
    assert (ran.returncode, ran.stderr) == (2, f"sameslots: {recording}: {wanted}\n")
    assert not (tmp_path / "lists").exists()


def test_a_file_that_is_none_and_a_folder_that_is_in_use_are_said(
    recording: Path, tmp_path: Path, sameslots: Sameslots
) -> None:
    ran = sameslots("import", "strace", tmp_path / "no", "--out", tmp_path / "a")
    assert (ran.returncode, ran.stderr) == (
        2,
        f"sameslots: {tmp_path}/no: No such file or directory: expected a recording\n",
    )
    ran = sameslots("import", "strace", tmp_path, "--out", tmp_path / "b")
    assert (ran.returncode, ran.stderr) == (2, f"sameslots: {tmp_path}: Is a directory: expected a recording\n")
    ran = sameslots("import", "strace", recording, "--out", recording)
    assert (ran.returncode, ran.stderr) == (
        2,
        f"sameslots: {recording}: File exists: expected a folder to write case files to\n",
    )
    assert sameslots("import", "strace", recording, "--out", tmp_path / "c").returncode == 0
    ran = sameslots("import", "strace", recording, "--out", tmp_path / "c")
    assert (ran.returncode, ran.stderr) == (
        2,
        f"sameslots: {tmp_path}/c: there are case files in it already: expected a new folder, or an empty one\n",
    )


@pytest.mark.parametrize(
    "option",
    [
        ("--gap", "nan"),
        ("--gap", "-1"),
        ("--marker", ""),
        ("--max-gfn", "much"),
        ("--max-gfn", "-1"),
        ("--machine", "x"),
    ],
)
def test_bad_usage_is_one_line(option: tuple[str, str], recording: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    ran = sameslots("import", "strace", recording, "--out", tmp_path / "lists", *option)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert option[0] in ran.stderr
    assert not (tmp_path / "lists").exists()


def test_a_recording_of_any_size_is_read_in_little_memory(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "vmm.strace"
    with path.open("w") as stream:
        stream.write(CREATED)
        stream.truncate(HUGE)  # one line without an end, more than there is memory for
        stream.seek(HUGE)
        stream.write("\n" + "12 1795599764.150000 ioctl(13, KVM_RUN, 0) = 0\n" * 100_000 + GROWN)
    ran = sameslots("import", "strace", path, "--out", tmp_path / "lists")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "3 updates of 1 VM, 2 lists, 2 distinct" in ran.stdout
    assert "lines 100004 to 100005" in (tmp_path / "lists/vmm-002-grow.slots").read_text()
