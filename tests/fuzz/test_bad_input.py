# SPDX-License-Identifier: GPL-2.0-only
"""Whatever is fed to the commands: one line that says what is wrong, exit code 2, and nothing else is lost."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from engines.catalogue import EXPECTED

Sameslots = Callable[..., subprocess.CompletedProcess[str]]

GOOD = "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\nexpect serial ok\nexpect rfc-v1 agrees\n"
HUGE = 100 << 20

BAD_TEXTS = {
    "empty.slots": ("", ": empty: expected 'slots 1' as the first line"),
    "truncated.slots": (GOOD[:24], ":2: 'gpa': expected key=value, found: apply slot=0 gpa"),
    "headless.slots": (GOOD[8:], ":1: expected 'slots 1' as the first line, found: apply slot=0 gpa="),
    "endless.slots": ("slots 1\ngiven slot=0\n", ": no list: expected an 'apply' line"),
    "nul.slots": (
        GOOD.replace("gpa", "g\0pa"),
        r":2: expected text, found a control character, found: apply slot=0 g\x00pa",
    ),
    "overflow.slots": (
        GOOD.replace("0x1000", "0x10000000000000000"),
        ":2: size: expected 0 to 0xffffffffffffffff, found: ",
    ),
    "key.slots": (GOOD.replace("gpa", "guest_phys_addr"), ":2: unknown key 'guest_phys_addr', expected one of slot, "),
    "given.slots": (
        "slots 1\ngiven slot=0 size=1\napply slot=0\n",
        ":2: given 0: the serial ioctl refuses it (EINVAL)",
    ),
    "then.slots": (GOOD + "then slot=0\n", ":5: 'then': not supported by this release, found: then slot=0"),
}
BAD_FILES = {
    "garbage.slots": ":1: expected UTF-8, found: \\x7fELFÿ",
    "huge.slots": ":2: expected at most 4096 bytes a line, found: ",
    "folder.slots": ": Is a directory: expected a case file (.slots)",
    "missing.slots": ": No such file or directory: expected a case file (.slots)",
    "loop.slots": ": Too many levels of symbolic links: expected a case file (.slots)",
    "eio.slots": ": Input/output error: expected a case file (.slots)",
    f"{'long' * 64}.slots": ": File name too long: expected a case file (.slots)",
}
COMPLAINTS = {name: complaint for name, (_, complaint) in BAD_TEXTS.items()} | BAD_FILES
ENGINE = "engine.slots"
"""Bad for a replay alone: nothing else needs the engine that it expects something of."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything bad, and good.slots."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "good.slots").write_text(GOOD)
    (folder / ENGINE).write_text(GOOD + "expect no-such ok\n")
    for name, (text, _) in BAD_TEXTS.items():
        (folder / name).write_text(text)
    (folder / "garbage.slots").write_bytes(b"\x7fELF\xff\x01\x01" + bytes(range(256)))
    with (folder / "huge.slots").open("wb") as stream:
        stream.write(b"slots 1\n")
        stream.truncate(HUGE)
    (folder / "folder.slots").mkdir()
    (folder / "loop.slots").symlink_to("loop.slots")
    # It can be opened, and nothing can be read from its beginning.
    (folder / "eio.slots").symlink_to("/proc/self/mem")
    return folder


@pytest.mark.parametrize("name", COMPLAINTS, ids=lambda name: name[:20])
def test_show_says_in_one_line_what_is_wrong(name: str, folder: Path, sameslots: Sameslots) -> None:
    shown = sameslots("show", folder / name)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"sameslots: {folder / name}{COMPLAINTS[name]}")
    assert shown.stderr.count("\n") == 1
    assert shown.stderr.endswith("\n")


def test_a_replay_names_every_bad_file_and_replays_the_others(
    folder: Path, tmp_path: Path, sameslots: Sameslots
) -> None:
    good = folder / "good.slots"
    bad = [folder / name for name in [*COMPLAINTS, ENGINE]]
    junit = tmp_path / "junit.xml"
    replayed = sameslots("replay", good, *bad[:5], good, *bad[5:], good, "--junit", junit)
    lines = replayed.stderr.splitlines()
    for path, line in zip(bad, lines, strict=True):
        complaint = COMPLAINTS.get(path.name, f":5: no such engine, {EXPECTED}, found: expect no-such ok")
        if path.name == "folder.slots":
            complaint = ": no case file (*.slots) in this folder"
        assert line.startswith(f"{path}{complaint}")
    assert replayed.stdout == f"{len(bad) + 3} replayed: 3 as expected, 0 not, {len(bad)} bad\n"
    assert replayed.returncode == 2
    assert [error.get("message") for error in ET.parse(junit).iter("error")] == lines


def test_a_file_that_may_not_be_read_is_bad_input_like_any_other(folder: Path, sameslots: Sameslots) -> None:
    secret = folder / "secret.slots"
    secret.write_text(GOOD)
    secret.chmod(0)
    # root may read everything, unless it lays its capabilities down.
    within = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
    complaint = f"{secret}: Permission denied: expected a case file (.slots)\n"
    replayed = sameslots("replay", secret, folder / "good.slots", within=within)
    assert (replayed.stderr, replayed.stdout) == (complaint, "2 replayed: 1 as expected, 0 not, 1 bad\n")
    shown = sameslots("show", secret, within=within)
    assert (shown.returncode, shown.stderr) == (2, f"sameslots: {complaint}")


def test_a_folder_without_cases_is_bad_and_the_others_are_replayed(tmp_path: Path, sameslots: Sameslots) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.slots").write_text(GOOD)
    replayed = sameslots("replay", tmp_path / "empty", tmp_path / "good.slots")
    assert replayed.stderr == f"{tmp_path}/empty: no case file (*.slots) in this folder\n"
    assert (replayed.returncode, replayed.stdout) == (2, "2 replayed: 1 as expected, 0 not, 1 bad\n")


def test_a_report_that_cannot_be_written_is_one_line(folder: Path, sameslots: Sameslots) -> None:
    replayed = sameslots("replay", folder / "good.slots", "--junit", folder / "no" / "junit.xml")
    assert replayed.returncode == 2
    assert replayed.stderr == (
        f"sameslots: {folder}/no/junit.xml: No such file or directory: expected a file to write JUnit XML to\n"
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.jsonl", "No such file or directory: expected a file of cases, one JSON object a line"),
        ("folder.slots", "Is a directory: expected a file of cases, one JSON object a line"),
        ("eio.slots", "Input/output error: expected a file of cases, one JSON object a line"),
    ],
)
def test_run_says_in_one_line_why_it_cannot_read(name: str, why: str, folder: Path, sameslots: Sameslots) -> None:
    ran = sameslots("run", "--jsonl", folder / name)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"sameslots: {folder / name}: {why}\n")


def test_run_without_a_line_has_nothing_to_say(folder: Path, sameslots: Sameslots) -> None:
    ran = sameslots("run", "--jsonl", folder / "empty.slots")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


BAD_LINES = {
    "\n": (None, "empty line: expected an object"),
    '{"id": "cut", "apply": [{"slot": 0}\n': (None, "not JSON: Expecting ',' delimiter"),
    '{"id": "nul", "apply": []}\0\n': (None, "not JSON: Extra data"),
    '{"id": "over", "apply": [{"memory_size": 18446744073709551616}]}\n': (
        "over",
        "apply[0].memory_size: expected a whole",
    ),
    '{"id": "key", "aply": []}\n': ("key", "unknown key 'aply', expected one of apply, "),
    '{"id": "given", "given": [{"memory_size": 1}], "apply": []}\n': (
        "given",
        "given 0: the serial ioctl refuses it (EINVAL)",
    ),
    '{"id": "then", "apply": [], "then": [{}]}\n': ("then", "then: not supported by this release"),
    '{"id": "deep", "apply": ' + "[" * 100_000 + "\n": (None, "not JSON: too deep"),
}


def test_run_answers_a_bad_line_in_its_place_and_the_lines_behind_it(tmp_path: Path, sameslots: Sameslots) -> None:
    path = tmp_path / "cases.jsonl"
    expected: list[tuple[str | None, str | None]] = []
    with path.open("wb") as stream:
        for line, (case_id, why) in BAD_LINES.items():
            stream.write(f'{{"id": "good {len(expected)}", "apply": []}}\n{line}'.encode())
            expected += [(f"good {len(expected)}", None), (case_id, why)]
        stream.write(b"\xff\xfe\n")
        stream.seek(HUGE, os.SEEK_CUR)
        stream.write(b'\n{"id": "last", "apply": []}\n\x7fELF')
    expected += [(None, "not JSON: expected UTF-8"), (None, "expected at most 16777216 bytes a line"), ("last", None)]
    expected.append((None, "not JSON: Expecting value"))
    ran = sameslots("run", "--jsonl", path)
    assert (ran.returncode, ran.stderr) == (2, "")
    results = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [result["id"] for result in results] == [case_id for case_id, _ in expected]
    for lineno, (result, (case_id, complaint)) in enumerate(zip(results, expected, strict=True), 1):
        if complaint is None:
            assert result.keys() == {"id", "outcomes", "mismatches"}
        else:
            assert result.keys() == {"id", "error"}
            # A line that carries no id is named by its number.
            where = f"line {lineno}: " if case_id is None else ""
            assert result["error"].startswith(where + complaint)
