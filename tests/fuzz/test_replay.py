# SPDX-License-Identifier: GPL-2.0-only
"""Replay: whatever does not come out as a file says is said, both ways, and nothing else is."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from engines.catalogue import EXPECTED
from engines.real.host import Host
from fuzz.replay import case_paths, located, surprises
from memslots.errors import BadInput, RefusedHere, Unfit
from memslots.textreader import parse_case
from memslots.textwords import ORACLES
from oracles.judge import ORACLES as JUDGES
from oracles.policy import Policy

Sameslots = Callable[..., subprocess.CompletedProcess[str]]


GROW = """\
slots 1
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000000000
"""
"""Serial refuses entry 1 with EEXIST; rfc-v1 answers the same and leaves slot 0 INVALID."""


CREATE = "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\n"
"""All are of one mind: slot 0 is there."""


SLOT_0 = "active slot=0 base_gfn=0x0 npages=0x1 hva=0x0"


FLAGGED_NO_OP = """\
slots 1
given slot=0 gpa=0x0 size=0x1000 hva=0x0
apply slot=0 gpa=0x0 size=0x1000 hva=0x0 invalidate
"""
"""Serial answers 0, rfc-v1 answers 1."""


HANG = "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0 invalidate\n"
"""Serial creates slot 0, rfc-v1 never comes back."""


CRASH = """\
slots 1
given slot=0 gpa=0x0 size=0x1000 hva=0x0
apply slot=0 gpa=0x0 size=0x1000 hva=0x0
"""
"""Serial answers 0, rfc-v1 dereferences NULL."""


def replayed(text: str, *expect: str, reference: str = "serial", policy: Policy = Policy.ATOMIC) -> list[str]:
    lines = [*text.splitlines(), *(f"expect {line}" for line in expect)]
    return list(surprises(Path("x.slots"), parse_case(lines), reference, policy))


def on_record(text: str) -> list[str]:
    """The expect lines that put every mismatch of rfc-v1 on record."""
    return [line.removeprefix("not on record: ") for line in replayed(text) if line.startswith("not on record: rfc-v1")]


def test_what_comes_out_as_the_file_says_is_no_surprise() -> None:
    buckets = on_record(GROW)
    assert {bucket.split(" ")[1] for bucket in buckets} == {"invariants", "final_slots", "balance"}
    assert (
        replayed(
            GROW,
            "serial refused EEXIST at 1",
            "serial refused EEXIST",
            "serial active slot=1 base_gfn=0x10 npages=0x10 hva=0x100000010000",
            "rfc-v1 refused EEXIST",
            "rfc-v1 active slot=0 base_gfn=0x0 npages=0x10 hva=0x100000000000 flags=INVALID",
            "rfc-v1 active slot=1 base_gfn=0x10 npages=0x10 hva=0x100000010000",
            *buckets,
        )
        == []
    )
    assert replayed(CREATE, "serial ok", f"serial {SLOT_0}", "rfc-v1 ok", f"rfc-v1 {SLOT_0}", "rfc-v1 agrees") == []
    assert replayed(FLAGGED_NO_OP, "rfc-v1 returned 1", *on_record(FLAGGED_NO_OP)) == []
    assert replayed(HANG, "rfc-v1 hung", *on_record(HANG)) == []
    assert replayed(CRASH, "rfc-v1 crashed null-dereference", *on_record(CRASH)) == []


def test_each_mismatch_that_is_not_named_is_not_on_record() -> None:
    buckets = on_record(GROW)
    for missing in buckets:
        named = [bucket for bucket in buckets if bucket != missing]
        assert replayed(GROW, *named) == [f"not on record: {missing}"]


def test_a_file_that_agrees_names_no_mismatch_and_excuses_none() -> None:
    assert replayed(GROW, "rfc-v1 agrees") == [f"not on record: {bucket}" for bucket in on_record(GROW)]
    with pytest.raises(BadInput, match=r"^x\.slots: expect rfc-v1 agrees: there are mismatches expected of it too$"):
        replayed(GROW, "rfc-v1 agrees", *on_record(GROW))


def test_a_mismatch_that_does_not_come_out_has_vanished() -> None:
    gone = "rfc-v1 final_slots ok EINVAL P1 MOVE refuse"
    assert replayed(CREATE, gone) == [f"vanished: {gone}"]
    assert replayed(GROW, *on_record(GROW), gone) == [f"vanished: {gone}"]


def test_a_mismatch_of_the_reference_with_itself_has_vanished_too() -> None:
    gone = "serial final_slots ok EINVAL P1 MOVE refuse"
    assert replayed(CREATE, gone) == [f"vanished: {gone}"]
    assert replayed(CREATE, "serial agrees") == []


@pytest.mark.parametrize(
    ("text", "expected", "got"),
    [
        (CREATE, "serial refused EEXIST", "serial ok"),
        (CREATE, "serial refused EEXIST at 0", "serial ok"),
        (CREATE, "rfc-v1 hung", "rfc-v1 ok"),
        (CREATE, "rfc-v1 returned 1", "rfc-v1 ok"),
        (CREATE, "rfc-v1 crashed bug", "rfc-v1 ok"),
        (GROW, "serial ok", "serial refused EEXIST at 1"),
        (GROW, "serial refused EINVAL", "serial refused EEXIST at 1"),
        (GROW, "serial refused EINVAL at 1", "serial refused EEXIST at 1"),
        (GROW, "serial refused EEXIST at 0", "serial refused EEXIST at 1"),
        (GROW, "rfc-v1 refused EINVAL", "rfc-v1 refused EEXIST"),
        # It answers the list, and cannot be held to an entry.
        (GROW, "rfc-v1 refused EEXIST at 1", "rfc-v1 refused EEXIST"),
        (FLAGGED_NO_OP, "rfc-v1 ok", "rfc-v1 returned 1"),
        (HANG, "rfc-v1 ok", "rfc-v1 hung"),
        (HANG, "rfc-v1 looped", "rfc-v1 hung"),
        (HANG, "rfc-v1 crashed bug", "rfc-v1 hung"),
        (CRASH, "rfc-v1 hung", "rfc-v1 crashed null-dereference"),
        (CRASH, "rfc-v1 crashed bug", "rfc-v1 crashed null-dereference"),
    ],
)
def test_another_ending_is_a_surprise(text: str, expected: str, got: str) -> None:
    assert replayed(text, *on_record(text), expected) == [f"expected {expected}, got {got}"]


def test_a_wrong_active_slot_is_not_there_and_the_right_one_not_expected() -> None:
    wrong = "rfc-v1 active slot=0 base_gfn=0x0 npages=0x2 hva=0x0"
    assert replayed(CREATE, wrong) == [f"expected {wrong}, which is not there", f"not expected: rfc-v1 {SLOT_0}"]


@pytest.mark.parametrize("part", ["slot=1", "slot=1:0", "base_gfn=0x1", "npages=0x2", "hva=0x1000", "flags=INVALID"])
def test_every_part_of_an_active_slot_is_held_to(part: str) -> None:
    key, _ = part.split("=")
    words = [word for word in SLOT_0.split(" ") if not word.startswith(f"{key}=")]
    line = " ".join(["serial", *words, part])
    assert len(replayed(CREATE, line)) == 2


def test_an_active_slot_that_is_not_named_is_a_surprise_if_another_is() -> None:
    assert replayed(GROW.replace("apply slot=0 size=0 invalidate\n", ""), "serial ok", f"serial {SLOT_0}") != []
    one = "serial active slot=1 base_gfn=0x10 npages=0x10 hva=0x100000010000"
    other = "serial active slot=0 base_gfn=0x0 npages=0x10 hva=0x100000000000"
    two_slots = GROW.replace("apply slot=0 size=0 invalidate\n", "")
    buckets = on_record(two_slots)
    assert replayed(two_slots, *buckets, one, other) == []
    assert replayed(two_slots, *buckets, one) == [f"not expected: {other}"]


def test_none_active_means_none() -> None:
    delete = "slots 1\ngiven slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 size=0 invalidate\n"
    assert replayed(delete, "serial active none", "rfc-v1 active none") == []
    assert replayed(CREATE, "serial active none") == [f"not expected: serial {SLOT_0}"]
    with pytest.raises(
        BadInput, match=r"^x\.slots: expect serial active none: there are active slots expected of it too$"
    ):
        replayed(CREATE, "serial active none", f"serial {SLOT_0}")


def test_what_is_right_of_a_refused_list_is_up_to_the_policy() -> None:
    two = "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=1 gpa=0x0 size=0x1000 hva=0x0\n"
    atomic, prefix = (
        {line.split(" ")[4] for line in replayed(two, policy=policy) if line.startswith("not on record: rfc-v1 ")}
        for policy in Policy
    )
    assert "final_slots" not in atomic
    assert "final_slots" in prefix


def test_the_engines_that_a_file_names_are_run_and_the_list_ioctl_if_it_names_none() -> None:
    assert replayed(FLAGGED_NO_OP) == replayed(FLAGGED_NO_OP, "serial ok") != []
    assert replayed(FLAGGED_NO_OP, "serial ok", "rfc-v1 returned 1") == replayed(FLAGGED_NO_OP)
    [swapped] = replayed(FLAGGED_NO_OP, "serial ok", reference="rfc-v1")
    assert swapped.startswith("not on record: serial error_codes ")


def test_a_list_that_is_refused_before_any_entry_is_refused_at_none() -> None:
    long = CREATE.replace("apply", "list nent=65535\napply")
    assert replayed(long, "ideal refused E2BIG", "ideal agrees", "serial refused EINVAL at 1") != []
    assert replayed(long, "ideal refused E2BIG", "ideal agrees", "serial refused EINVAL at 2") == []
    assert replayed(long, "ideal refused E2BIG at 0", "ideal agrees") == [
        "expected ideal refused E2BIG at 0, got ideal refused E2BIG"
    ]


def test_an_engine_that_does_not_exist_is_bad_input() -> None:
    with pytest.raises(BadInput, match=rf"^x\.slots:3: no such engine, {EXPECTED}, found: expect xen ok"):
        replayed(CREATE, "xen ok")


def test_an_entry_that_an_engine_cannot_be_given_is_named_with_its_line() -> None:
    given = "slots 1\ngiven slot=0 gpa=0x0 size=0x1000 hva=0x0\n"
    with pytest.raises(Unfit, match=r"^x\.slots:4: entry 1: qemu-commit deletes what stands"):
        replayed(f"{given}apply slot=0 size=0\napply slot=1 size=0\nexpect qemu-commit ok")
    # What the header alone names has no line.
    with pytest.raises(Unfit, match=r"^x\.slots: entry 1: qemu-commit deletes what stands"):
        replayed(f"{given}list nent=2\napply slot=0 size=0\nexpect qemu-commit ok")


def test_a_given_region_that_serial_refuses_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"^x\.slots:3: given 1: the serial ioctl refuses it \(EEXIST\)"):
        replayed(GROW.replace("gpa=0x10000", "gpa=0x8000"))


def test_every_oracle_can_be_expected_of_an_engine() -> None:
    assert set(ORACLES) == set(JUDGES)


def test_folders_are_searched_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.slots", "b/a.slots", "b/b.slots", "b/notes.txt", "other.txt"):
        (tmp_path / name).touch()
    found = case_paths((tmp_path / "other.txt", tmp_path, tmp_path / "missing.slots"))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        *("other.txt", "b/a.slots", "b/b.slots", "z.slots", "missing.slots"),
    ]


def test_the_exit_code_is_0_if_all_is_as_expected_and_1_if_not(tmp_path: Path, sameslots: Sameslots) -> None:
    (tmp_path / "good").mkdir()
    good, bad = tmp_path / "good" / "create.slots", tmp_path / "no-op.slots"
    good.write_text(CREATE + "expect serial ok\nexpect rfc-v1 agrees\n")
    bad.write_text(FLAGGED_NO_OP)
    ran = sameslots("replay", tmp_path / "good")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "1 replayed: 1 as expected, 0 not, 0 bad\n", "")
    junit = tmp_path / "junit.xml"
    ran = sameslots("replay", tmp_path, "--junit", junit)
    surprise, summary = ran.stdout.splitlines()
    assert surprise == f"{bad}: {replayed(FLAGGED_NO_OP)[0]}"
    assert summary == "2 replayed: 1 as expected, 1 not, 0 bad"
    assert (ran.returncode, ran.stderr) == (1, "")
    first, second = ET.parse(junit).iter("testcase")
    assert (first.get("name"), len(first)) == (str(good), 0)
    assert (second.get("name"), second[0].get("message")) == (str(bad), replayed(FLAGGED_NO_OP)[0])


def test_what_a_kernel_cannot_be_given_is_left_out_by_name(host: Host, tmp_path: Path, sameslots: Sameslots) -> None:
    """It is no bad input: another engine can be given it. What is bad is still bad."""
    fit, unfit, bad = (tmp_path / f"{name}.slots" for name in ("a", "b", "c"))
    fit.write_text(CREATE)
    unfit.write_text(f"{CREATE}fault slot=0\n")
    junit = tmp_path / "junit.xml"
    ran = sameslots("replay", "--reference", "kvm", fit, unfit, "--junit", junit)
    assert (ran.returncode, ran.stderr) == (
        0,
        f"left out: {unfit}: fault slot: a real kernel fails when it likes\n",
    )
    assert ran.stdout == ("1 replayed: 1 as expected, 0 not, 0 bad; 1 left out, for an engine cannot be given them\n")
    assert [[child.tag for child in case] for case in ET.parse(junit).iter("testcase")] == [[], ["skipped"]]
    # What another engine makes of it is told nevertheless, whichever stands first.
    unfit.write_text(f"{CREATE}fault slot=0\nexpect kvm ok\nexpect rfc-v1 ok\n")
    ran = sameslots("replay", fit, unfit)
    assert ran.returncode == 1
    assert f"{unfit}: expected rfc-v1 ok, got rfc-v1 refused ENOMEM" in ran.stdout
    assert ran.stdout.endswith("2 replayed: 1 as expected, 1 not, 0 bad\n")
    bad.write_text("slots 2\n")
    ran = sameslots("replay", "--reference", "kvm", fit, unfit, bad)
    assert ran.returncode == 2
    assert "2 replayed: 1 as expected, 0 not, 1 bad; 1 left out" in ran.stdout


def test_what_the_kernel_alone_refuses_is_not_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.slots"
    error = located(path, parse_case(CREATE.splitlines()), RefusedHere(0, "ENOMEM"))
    assert type(error) is BadInput
    assert str(error).startswith(f"{path}: given 0: this kernel refuses it (ENOMEM)")
    error = located(path, parse_case(FLAGGED_NO_OP.splitlines()), RefusedHere(0, "ENOMEM"))
    assert str(error).startswith(f"{path}:2: given 0: this kernel refuses it (ENOMEM)")
    assert isinstance(located(path, parse_case(CREATE.splitlines()), Unfit("too long")), Unfit)


def test_the_policy_can_be_told(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "x.slots"
    path.write_text(
        "slots 1\ngiven slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 size=0\napply slot=9 size=0\n"
        "expect rfc-v1 invariants left-invalid EINVAL EINVAL P2 DELETE refuse\n"
    )
    results = [
        sameslots("replay", path, "--reference", "serial", "--policy", policy).stdout for policy in ("atomic", "prefix")
    ]
    # Slot 0 is left INVALID: neither the state before the list nor what serial leaves at its refusal.
    assert ["not on record: rfc-v1 final_slots" in out for out in results] == [True, True]
    path.write_text(
        "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=9 size=0\n"
        "expect rfc-v1 invariants sets-differ EINVAL EINVAL P2 DELETE refuse\n"
    )
    results = [
        sameslots("replay", path, "--reference", "serial", "--policy", policy).stdout for policy in ("atomic", "prefix")
    ]
    assert ["not on record: rfc-v1 final_slots" in out for out in results] == [False, True]


def test_what_is_no_serial_engine_is_no_reference(sameslots: Sameslots) -> None:
    """Only who shows what stood at the first refusal can say what is right."""
    ran = sameslots("replay", "x.slots", "--reference", "rfc-v1")
    assert ran.returncode == 2
    assert ran.stderr == (
        "sameslots: Invalid value for '--reference': 'rfc-v1' is not one of 'serial', 'serial-rfc-v1', 'qemu-commit',"
        " 'kvm', 'tree:DIR', 'tree-serial:DIR'.\n"
    )
