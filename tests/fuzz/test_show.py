# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots show`: plain text as wide as it may be, with everything in it; `--json` gives the same case as a line."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from memslots.jsonl import case_from_line
from memslots.textreader import read_case

Sameslots = Callable[..., subprocess.CompletedProcess[str]]

GROW = """\
slots 1
# growing a slot into its neighbour
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000000000
"""
EVERYTHING = """\
slots 1
machine linux-6.1 max_gfn=0xfffff
given slot=1:5 gpa=0x1000 size=0x2000 hva=0x100000000000 flags=READONLY # a comment
list nent=3 header_flags=0x7
apply slot=1:5 size=0 invalidate padding=01
apply slot=7 gpa=0x1000 size=0x2000 hva=0x100000000000 flags=LOG_DIRTY_PAGES|0x80
fault slot=0
fault copy=1
expect serial refused EFAULT at 1
"""
EMPTY = "slots 1\nlist nent=0\n"


@pytest.fixture
def case(tmp_path: Path) -> Callable[[str], Path]:
    """The path of a case file that holds a text."""

    def case(text: str) -> Path:
        path = tmp_path / "x.slots"
        path.write_text(text)
        return path

    return case


Case = Callable[[str], Path]


def test_the_whole_story_is_told_in_plain_text(case: Case, sameslots: Sameslots) -> None:
    path = case(GROW)
    shown = sameslots("show", path, COLUMNS="160")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert lines[:4] == [
        str(path),
        "machine linux-6.1",
        "given 0 slot=0 gpa=0x0 size=0x10000 hva=0x100000000000",
        "given 1 slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000",
    ]
    assert "apply entry serial rfc-v1" in lines
    assert "0 slot=0 size=0 invalidate ok P1 DELETE ok; P2 DELETE ok" in lines
    [entry] = [line for line in lines if line.startswith("1 slot=0 gpa=0x0 size=0x20000 hva=0x100000000000 EEXIST ")]
    assert "refused EEXIST: overlap" in entry
    assert any(line.startswith("serial: EEXIST") for line in lines)
    assert any(line.startswith("rfc-v1: EEXIST") for line in lines)
    cells = [[cell.strip() for cell in line.split("|")] for line in shown.stdout.splitlines() if "|" in line]
    assert ["0x0..0xf", "slot 0", "-", "slot 0 INVALID", "-"] in cells
    assert ["0x10..0x1f", "slot 1", "slot 1", "slot 1", "slot 1"] in cells
    assert "address space 1" not in shown.stdout
    ran = sameslots("run", stdin=sameslots("show", "--json", path).stdout)
    buckets = [f"rfc-v1 {mismatch['bucket']}" for mismatch in json.loads(ran.stdout)["mismatches"]]
    assert lines[-len(buckets) - 1 :] == ["They part:", *buckets]


def test_engines_of_one_mind_part_nowhere(case: Case, sameslots: Sameslots) -> None:
    shown = sameslots("show", case("slots 1\napply slot=1:3 gpa=0x0 size=0x1000 hva=0x0\n"))
    assert shown.stdout.endswith("\nNo mismatch.\n")
    assert "address space 0" not in shown.stdout
    assert "address space 1" in shown.stdout


@pytest.mark.parametrize("text", [GROW, EVERYTHING, EMPTY], ids=["grow", "everything", "empty"])
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tables_fit_the_terminal_buckets_are_never_folded_and_no_line_ends_in_blanks(
    text: str, columns: int, case: Case, sameslots: Sameslots
) -> None:
    shown = sameslots("show", case(text), COLUMNS=str(columns))
    assert (shown.returncode, shown.stderr) == (0, "")
    for line in shown.stdout.splitlines():
        assert len(line) <= columns or "|" not in line
        assert line.isprintable()
        assert line == line.rstrip(" ")


def test_what_the_header_says_is_shown(case: Case, sameslots: Sameslots) -> None:
    shown = sameslots("show", case(EVERYTHING))
    assert "machine linux-6.1 max_gfn=0xfffff" in shown.stdout
    assert "nent=3" in shown.stdout


def test_a_long_list_is_folded(case: Case, sameslots: Sameslots) -> None:
    given = [f"given slot={i} gpa={i * 0x2000:#x} size=0x1000 hva={i * 0x1000:#x}" for i in range(100)]
    apply = [f"apply slot={i} size=0 invalidate" for i in range(99)]
    shown = sameslots("show", case("\n".join(["slots 1", *given, *apply, ""])))
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "and 52 more" in lines
    assert "and 51 more" in lines
    assert lines[-1] == "rfc-v1 visibility invalid-windows ok ok P1 UNKNOWN another-window"


def test_the_engine_and_the_policy_can_be_told(case: Case, sameslots: Sameslots) -> None:
    path = case("slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=1 gpa=0x0 size=0x1000 hva=0x0\n")
    assert "rfc-v1 final_slots" not in sameslots("show", path).stdout
    assert "rfc-v1 final_slots" in sameslots("show", path, "--policy", "prefix").stdout
    alone = sameslots("show", path, "--engine", "serial").stdout
    assert "rfc-v1" not in alone
    assert "No mismatch." in alone


@pytest.mark.parametrize("text", [GROW, EVERYTHING, EMPTY], ids=["grow", "everything", "empty"])
def test_json_is_the_same_case_as_a_line_that_run_accepts(text: str, case: Case, sameslots: Sameslots) -> None:
    path = case(text)
    shown = sameslots("show", "--json", path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.count("\n") == 1
    assert case_from_line(shown.stdout) == ("x", read_case(path).case)
    ran = sameslots("run", stdin=shown.stdout)
    assert ran.returncode in (0, 1)
    assert json.loads(ran.stdout)["id"] == "x"


def test_what_is_piped_has_no_edge(case: Case, sameslots: Sameslots) -> None:
    """Each entry on one line, so that it can be searched for, unless COLUMNS says otherwise."""
    long = "apply slot=1:5 gpa=0xfffffff000 size=0x10000 hva=0x7fffffff0000 flags=LOG_DIRTY_PAGES|READONLY invalidate"
    shown = sameslots("show", case(f"slots 1\n{long}\n"), COLUMNS=None)
    assert any(long.removeprefix("apply ") in line for line in shown.stdout.splitlines())


def test_entries_that_nent_names_beyond_the_list_are_rows(case: Case, sameslots: Sameslots) -> None:
    shown = sameslots(
        "show", case("slots 1\ngiven slot=0 gpa=0x0 size=0x1000 hva=0x0\nlist nent=131073\napply slot=1 size=0\n")
    )
    assert "(zero bytes) slot=0 size=0" in shown.stdout
    assert "before any entry: batch is NULL" in shown.stdout


def test_a_freed_object_that_is_still_linked_and_a_warn_are_said(case: Case, sameslots: Sameslots) -> None:
    text = """\
slots 1
machine linux-6.1 max_gfn=0xff
given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000
apply slot=0 gpa=0xff000 size=0x2000 hva=0x100000000000
"""
    assert "a freed object is still linked" in sameslots("show", case(text)).stdout
    warned = sameslots("show", case("slots 1\nlist nent=33554432\napply slot=0 size=0\n")).stdout
    assert "WARN" in warned
    assert "refused ENOMEM: too many entries" in warned


def test_show_says_whether_the_expect_lines_hold(case: Case, sameslots: Sameslots) -> None:
    good = "slots 1\napply slot=0 size=0\nexpect serial refused EINVAL at 0\nexpect rfc-v1 agrees\n"
    assert sameslots("show", case(good)).stdout.endswith("It comes out as its expect lines say.\n")
    bad = good.replace("EINVAL", "EEXIST")
    assert sameslots("show", case(bad)).stdout.endswith(
        "Unlike its expect lines:\n  expected serial refused EEXIST at 0, got serial refused EINVAL at 0\n"
    )


def test_an_engine_that_does_not_exist_is_bad_input_for_show_too(case: Case, sameslots: Sameslots) -> None:
    shown = sameslots("show", case("slots 1\napply slot=0 size=0\nexpect rfc-v9 ok\n"))
    assert shown.returncode == 2
    assert ":3: no such engine" in shown.stderr
