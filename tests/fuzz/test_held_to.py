# SPDX-License-Identifier: GPL-2.0-only
"""What reports, stories and maps say of the reference is what it did; what is right instead is told apart from that."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.catalogue import engine_named
from engines.simulated.engines import Serial
from fuzz.explain import told_of
from memslots.casefile import CaseFile
from memslots.jsonl import json_of_outcome, line_from_case
from memslots.textreader import parse_case, read_case
from oracles.policy import Policy
from reports.narrative import Told

Sameslots = Callable[..., subprocess.CompletedProcess[str]]

HOUSE = Path(__file__).parent.parent.parent
FAILING = [path for path in sorted((HOUSE / "corpus" / "mismatches").glob("*.slots")) if "\nfault " in path.read_text()]
OWN = """\
slots 1
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
apply slot=1 gpa=0x20000 size=0x10000 hva=0x100000020000
apply slot=0 size=0 invalidate
fault array=1
"""
ALONE = """\
slots 1
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000
apply slot=0 size=0 invalidate
apply slot=1 size=0 invalidate
apply slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
fault copy=2
"""
OTHERWISE = """\
slots 1
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
apply slot=0 size=0 invalidate
apply slot=1 gpa=0x0 size=0x1000 hva=0x0 invalidate
fault copy=1
"""
LATER = """\
slots 1
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
apply slot=7 size=0
apply slot=0 size=0 invalidate
fault invalid=0
"""
FORM = """\
slots 1
list header_flags=1
apply slot=0 gpa=0x0 size=0x1000 hva=0x0
"""
ENTRY_FORM = (
    "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=1 gpa=0x1000 size=0x1000 hva=0x0 padding=01\n"
)
ORDER = """\
slots 1
given slot=0 gpa=0x0 size=0x1000 hva=0x0
apply slot=1 gpa=0x0 size=0x1000 hva=0x0
apply slot=0 size=0
"""


def told(file: CaseFile, engine: str) -> Told:
    return told_of(file.case, Serial(), engine_named(engine), Policy.ATOMIC)[1]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "engine", "name", "why"),
    [
        (
            OWN,
            "rfc-v1",
            "the answer to the failure that rfc-v1 meets",
            "rfc-v1 meets the failure (array), serial meets none: the call is to answer ENOMEM and to change nothing.",
        ),
        (
            OTHERWISE,
            "rfc-v1",
            "the answer to the failure that rfc-v1 meets",
            "rfc-v1 meets the failure (copy), serial meets the failure (copy, at entry 1): the call is to answer"
            " EFAULT and to change nothing.",
        ),
        (
            ALONE,
            "rfc-v1",
            "serial without the failure",
            "serial alone meets the failure (copy, at entry 2), rfc-v1 does not.",
        ),
        (
            LATER,
            "rfc-v1",
            "serial without the failure",
            "rfc-v1 meets the failure (invalid, at entry 1), and an entry before that is to be refused, whatever"
            " fails.",
        ),
        (
            FORM,
            "ideal",
            "a refusal of the header",
            "the header has no meaning to a list ioctl, and serial does not look at it: ideal is to refuse it.",
        ),
        (
            ENTRY_FORM,
            "ideal",
            "a refusal of entry 1",
            "entry 1 has no meaning to a list ioctl, and serial does not look at it: ideal is to refuse it.",
        ),
        (
            ORDER,
            "qemu-commit",
            "serial, in the order of qemu-commit",
            "qemu-commit has an order of its own: what counts is what serial does with the list in that order.",
        ),
    ],
    ids=["own", "otherwise", "alone", "later", "header", "entry", "order"],
)
def test_what_is_right_instead_has_a_name_and_a_reason(text: str, engine: str, name: str, why: str) -> None:
    held = told(parse_case(text.splitlines()), engine).held
    assert held is not None
    assert (held.name, held.why) == (name, why)
    assert held.ran == name.startswith("serial")


@pytest.mark.parametrize("path", FAILING, ids=lambda path: path.stem)
def test_of_the_reference_nothing_is_told_that_it_did_not_do(path: Path) -> None:
    file = read_case(path)
    verdict, story = told_of(file.case, Serial(), engine_named("rfc-v1"), Policy.ATOMIC)
    assert story.reference == Serial().apply(file.case, record=True)
    # And what is told to be right is what was judged by.
    for field in ("value", "errno", "entry_errnos", "active", "at_first_refusal"):
        assert getattr(story.right, field) == getattr(verdict.reference, field)


def test_without_faults_the_reference_is_what_counts() -> None:
    assert told(parse_case(OWN.replace("fault array=1\n", "").splitlines()), "rfc-v1").held is None


@pytest.fixture
def case(tmp_path: Path) -> Callable[[str], Path]:
    def case(text: str) -> Path:
        path = tmp_path / "x.slots"
        path.write_text(text)
        return path

    return case


Case = Callable[[str], Path]


def test_a_failure_of_the_engine_alone_is_no_answer_of_the_reference(case: Case, sameslots: Sameslots) -> None:
    path = case(OWN)
    report = words(sameslots("report", path).stdout)
    assert "ENOMEM, 3 publications" not in report
    assert "shows no steps" not in report
    assert (
        "Expected (the answer to the failure that rfc-v1 meets): rfc-v1 meets the failure (array), serial meets none:"
        " the call is to answer ENOMEM and to change nothing. ENOMEM, refused. The list is to leave the state before"
        " it: slot 0, gfn 0x0..0xf, userspace_addr 0x100000000000 The case itself (serial): ok, 3 publications: slot 1,"
        " gfn 0x20..0x2f, userspace_addr 0x100000020000 Got (rfc-v1):"
    ) in report
    assert "serial: 1. entry 0, CREATE: publishes set B" in report
    explained = words(sameslots("explain", path).stdout)
    assert "serial: 1. entry 0, CREATE: publishes set B" in explained
    assert "the answer to the failure that rfc-v1 meets, which is right here: rfc-v1 meets the failure (array)" in (
        explained
    )


def test_a_failure_of_the_reference_alone_is_told_beside_what_is_right(case: Case, sameslots: Sameslots) -> None:
    path = case(ALONE)
    report = words(sameslots("report", path).stdout)
    assert "Expected (serial):" not in report
    assert (
        "Expected (serial without the failure): serial alone meets the failure (copy, at entry 2), rfc-v1 does not. ok,"
        " 5 publications. The slots that are right: slot 0, gfn 0x0..0xf, userspace_addr 0x100000000000 The case itself"
        " (serial): EFAULT, 4 publications: no slot"
    ) in report
    assert "3. entry 2: meets the failure that the case asks for (copy), refuses: EFAULT" in report
    shown = sameslots("show", path).stdout
    assert "serial: EFAULT, 4 publications\n" in shown
    assert "rfc-v1 is held to serial without the failure, ok, 5 publications: serial alone meets the failure" in shown
    assert "A refused list must leave" not in shown, "rfc-v1's is to be accepted"
    # The figure to beat is that of the list as it ought to go.
    costs = re.findall(r"^  (.+?): (\d) INVALID window", shown.partition("What it costs readers")[2], re.MULTILINE)
    assert costs == [("serial", "2"), ("serial without the failure", "2"), ("rfc-v1", "2")]


def test_show_says_of_each_engine_what_it_is_held_to(case: Case, sameslots: Sameslots) -> None:
    shown = sameslots("show", case(OWN), "--engine", "rfc-v1", "--engine", "serial-rfc-v1", "--engine", "ideal").stdout
    held = re.findall(r"^(\S+) is held to (.+?), ENOMEM: ", shown, re.MULTILINE)
    assert held == [(name, f"the answer to the failure that {name} meets") for name in ("rfc-v1", "ideal")]
    assert "serial: ok, 3 publications\n" in shown
    assert "A refused list must leave the state before it" in shown


@pytest.mark.parametrize(
    ("text", "engine", "basis", "errnos"),
    [
        (OWN, "rfc-v1", "failure", [0, 12]),
        (ALONE, "rfc-v1", "spared", [14, 0]),
        (LATER, "rfc-v1", "refused_before", [22, 22]),
        (FORM, "ideal", "form", [0, 22]),
        (ORDER, "qemu-commit", "own_order", [17, 0]),
    ],
)
def test_a_line_has_the_reference_as_it_ended_and_what_is_right_beside_it(
    text: str, engine: str, basis: str, errnos: list[int], sameslots: Sameslots
) -> None:
    case = parse_case(text.splitlines()).case
    ran = sameslots("run", "--engine", engine, "--published", stdin=line_from_case(case) + "\n")
    result = json.loads(ran.stdout)
    did = result["outcomes"]["serial"]
    assert {key: did[key] for key in json_of_outcome(Serial().apply(case))} == json_of_outcome(Serial().apply(case))
    right = result["held_to"][engine]
    assert right["basis"] == basis
    assert [did["errno"], right["errno"]] == errnos


def test_a_line_whose_reference_is_right_says_no_more(sameslots: Sameslots) -> None:
    line = line_from_case(parse_case(ALONE.replace("fault copy=2\n", "").splitlines()).case)
    assert "held_to" not in json.loads(sameslots("run", stdin=f"{line}\n").stdout)


@pytest.mark.parametrize(("text", "name"), [(OWN, "the answer to the failure that"), (ALONE, "serial without the")])
def test_a_map_draws_what_is_right_apart_from_what_the_reference_left(
    text: str, name: str, case: Case, tmp_path: Path, sameslots: Sameslots
) -> None:
    sameslots("show", case(text), "--svg", tmp_path / "x.svg")
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "x.svg").read_text())
    assert any(line.startswith(f"right for rfc-v1: {name}") for line in drawn), "the head says so"
    names = [line for line in drawn if line.startswith(("after ", "right for rfc-v1"))]
    assert names[-3:] == ["after serial", "right for rfc-v1", "after rfc-v1"]
    assert "this is right" not in drawn
    outcome = Serial().apply(parse_case(text.splitlines()).case)
    assert f"serial: {'EFAULT, 4' if outcome.errno else 'ok, 3'} publications" in drawn
