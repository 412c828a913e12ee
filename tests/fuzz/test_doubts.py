# SPDX-License-Identifier: GPL-2.0-only
"""What speaks against a build is said before its code is believed, and once more beside what it shows."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.build import RECORD
from engines.tree.built import built_in, facts_of, note
from memslots.errors import BadInput

Builds = Callable[..., Path]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]
SMALLEST = "slots 1\n# errno: serial 17, the tree 0\napply slot=0 size=0x1000\n"
DIFFERENCE = {"case": SMALLEST, "says": []}
PART = "its single ioctl and serial part"
UNCHECKED = "nobody has compared it with serial"


@pytest.fixture
def own(fake_tree: Builds, tmp_path: Path) -> Callable[..., Path]:
    """A build of one's own, of which the model check has said this."""

    def made(checked: object, *defines: str) -> Path:
        build = Path(shutil.copytree(fake_tree(*defines), tmp_path / "build"))
        (build / RECORD).write_text(json.dumps(facts_of(build) | {"checked": checked}))
        return build

    return made


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A case on which all agree."""
    path = tmp_path / "one.slots"
    path.write_text("slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\n")
    return path


def campaigns(build: Path, case: Path, tmp_path: Path) -> dict[str, list[str | Path]]:
    engine = f"tree:{build}"
    return {
        "fuzz": ["fuzz", "--engine", engine, "--runs", "20", "--seed", "1", "--backend", "random", "--out", tmp_path],
        "replay": ["replay", case, "--engine", engine],
        "enumerate": ["enumerate", "--engine", engine, "--entries", "1", "--slots", "1", "--out", tmp_path / "e"],
    }


@pytest.mark.parametrize("command", ["fuzz", "replay", "enumerate"])
def test_a_build_that_nobody_has_checked_is_checked_first(
    command: str, own: Callable[..., Path], case: Path, tmp_path: Path, sameslots: Sameslots
) -> None:
    build = own(None)
    ran = sameslots(*campaigns(build, case, tmp_path)[command])
    assert ran.returncode == 0, ran.stderr
    assert f"sameslots: {build}: {UNCHECKED}: that comes first\n" in ran.stderr
    assert "Linux 6.1.0-fake agrees with serial in every field" in ran.stderr
    assert built_in(build).checked
    assert built_in(build).strict
    assert "Not covered:\n" in ran.stdout
    assert UNCHECKED not in ran.stdout
    assert UNCHECKED not in sameslots(*campaigns(build, case, tmp_path)[command]).stderr


def test_what_that_check_finds_is_shown_before_anything_else_and_kept(
    own: Callable[..., Path], case: Path, tmp_path: Path, sameslots: Sameslots
) -> None:
    build = own(None, "OVERLAP_OFF_BY_ONE")
    ran = sameslots(*campaigns(build, case, tmp_path)["replay"])
    assert ran.returncode == 0
    assert "\n# errno: serial 17, the tree 0\n" in ran.stderr
    assert built_in(build).difference in ran.stderr
    assert f"{build}: {PART}" in ran.stdout


@pytest.mark.parametrize("command", ["fuzz", "replay", "enumerate"])
def test_a_stored_difference_is_said_at_the_start_and_beside_what_is_clean(
    command: str, own: Callable[..., Path], case: Path, tmp_path: Path, sameslots: Sameslots
) -> None:
    build = own({"strict": True, "difference": DIFFERENCE})
    ran = sameslots(*campaigns(build, case, tmp_path)[command])
    assert ran.returncode == 0, ran.stderr
    begins = ran.stderr.index(f"sameslots: {build}: {PART}")
    assert SMALLEST in ran.stderr[begins:]
    assert "Not covered:\n" in ran.stdout
    assert f"\n{build}: {PART}" in ran.stdout


def test_an_engine_that_a_file_names_is_looked_at_too(
    own: Callable[..., Path], case: Path, sameslots: Sameslots
) -> None:
    build = own({"strict": True, "difference": DIFFERENCE})
    case.write_text(f"{case.read_text()}expect tree:{build} agrees\n")
    ran = sameslots("replay", case, case)
    assert (ran.returncode, ran.stderr.count(PART), ran.stdout.count(PART)) == (0, 1, 1)


SINGLE = ("run", "show", "reduce", "explain", "report")


@pytest.mark.parametrize("command", SINGLE)
@pytest.mark.parametrize(
    ("checked", "said"), [(None, UNCHECKED), ({"difference": DIFFERENCE}, PART)], ids=["unchecked", "difference"]
)
def test_a_command_for_one_case_says_so_on_one_line(
    command: str, checked: object, said: str, own: Callable[..., Path], case: Path, sameslots: Sameslots
) -> None:
    build = own(checked)
    source = [] if command == "run" else [case]
    ran = sameslots(command, *source, "--engine", f"tree:{build}")
    assert ran.returncode == 0, ran.stderr
    assert [line for line in ran.stderr.splitlines() if said in line] == [
        line for line in ran.stderr.splitlines() if line.startswith("sameslots: ")
    ]
    assert ran.stderr.count(said) == 1
    assert said not in ran.stdout
    assert built_in(build).checked == (checked is not None), "it is not the time for that"


@pytest.mark.parametrize("command", [*SINGLE, "replay"])
def test_of_a_build_that_is_as_it_should_be_nothing_is_said(
    command: str, fake_tree: Builds, case: Path, sameslots: Sameslots
) -> None:
    source = [] if command == "run" else [case]
    ran = sameslots(command, *source, "--engine", f"tree:{fake_tree()}")
    assert "sameslots: " not in ran.stderr
    assert PART not in ran.stdout


def test_a_folder_that_nothing_can_be_written_to_ends_nothing(
    own: Callable[..., Path], case: Path, tmp_path: Path, sameslots: Sameslots
) -> None:
    build = own(None)
    build.chmod(0o555)
    # root may write everywhere, unless it lays its capabilities down.
    within = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
    for args in (campaigns(build, case, tmp_path)["replay"], ["tree", "check", build, "--ops", "2000"]):
        ran = sameslots(*args, within=within)
        assert ran.returncode == 0, ran.stderr
        told = [line for line in ran.stderr.splitlines() if "is not stored" in line]
        assert len(told) == 1
        assert told[0].startswith(f"sameslots: {build / RECORD}: Permission denied")
    assert facts_of(build)["checked"] is None
    assert [path.name for path in build.iterdir() if path.name.startswith("build.")] == [RECORD]


def test_what_was_checked_is_not_said_of_a_build_made_meanwhile(own: Callable[..., Path]) -> None:
    build = own(None)
    before = built_in(build)
    (build / RECORD).write_text(json.dumps(facts_of(build) | {"content": "another"}))
    with pytest.raises(BadInput, match="another build has been made here meanwhile"):
        note(before, checked={"strict": True, "difference": None})
    assert facts_of(build)["checked"] is None


@pytest.mark.parametrize("checked", [{"difference": 7}, [1], {"difference": {"says": []}}], ids=str)
def test_a_record_that_makes_no_sense_is_bad_input(
    checked: object, own: Callable[..., Path], case: Path, sameslots: Sameslots
) -> None:
    ran = sameslots("replay", case, "--engine", f"tree:{own(checked)}")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)
    assert "expected the facts of a build" in ran.stderr
