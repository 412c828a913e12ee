# SPDX-License-Identifier: GPL-2.0-only
"""Every command that takes an engine takes a build of a kernel tree, here one without a kernel (fake_tree.c)."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.link import LIBRARY
from tests.engines.tree.test_source import plain_tree
from tests.fuzz.campaigns import SAMESLOTS
from tests.fuzz.test_campaign_ends import wait_until

Builds = Callable[..., Path]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]
TORN = "apply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=1 gpa=0x0 size=0x1000 hva=0x0\n"
SPARE = "apply slot=2 gpa=0x100000 size=0x1000 hva=0x0\n"
BUCKET = "final_slots EEXIST EEXIST CREATE refuse"


@pytest.fixture
def naive(fake_tree: Builds) -> str:
    return f"tree:{fake_tree('NAIVE')}"


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    path = tmp_path / "torn.slots"
    path.write_text(f"slots 1\n{SPARE}{TORN}")
    return path


def test_run_gives_its_outcomes_and_mismatches(naive: str, torn: Path, sameslots: Sameslots) -> None:
    line = sameslots("show", torn, "--json").stdout
    (torn.parent / "cases.jsonl").write_text(line)
    ran = sameslots("run", "--engine", naive, "--jsonl", torn.parent / "cases.jsonl")
    assert ran.returncode == 1
    result = json.loads(ran.stdout)
    assert result["outcomes"][naive]["errno"] == 17
    assert [each["bucket"] for each in result["mismatches"]] == [BUCKET]


def test_reduce_makes_a_file_that_replays(naive: str, torn: Path, sameslots: Sameslots) -> None:
    small = torn.parent / "small.slots"
    assert sameslots("reduce", torn, "--engine", naive, "--out", small).returncode == 0
    text = small.read_text()
    assert text.count("\napply ") == 2
    assert f"expect {naive} {BUCKET}\n" in text
    assert "# The call is refused, and undoes nothing, where a CREATE is refused.\n" in text
    assert sameslots("replay", small).returncode == 0


def test_replay_with_an_engine_tries_that_one_alone(
    naive: str, torn: Path, fake_tree: Builds, sameslots: Sameslots
) -> None:
    torn.write_text(f"slots 1\n{TORN}expect rfc-v1 looped\nexpect serial refused EEXIST at 1\n")
    ran = sameslots("replay", torn, "--engine", naive)
    assert ran.returncode == 1
    assert f"not on record: {naive} {BUCKET}" in ran.stdout
    assert "rfc-v1" not in ran.stdout
    ran = sameslots("replay", torn, "--engine", f"tree:{fake_tree()}")
    assert ran.returncode == 0
    assert "Not covered:\n  concurrency" in ran.stdout


def test_explain_tells_what_the_list_did(naive: str, torn: Path, sameslots: Sameslots) -> None:
    ran = sameslots("explain", torn, "--engine", naive)
    assert ran.returncode == 0
    assert "1. the list: publishes set B (readers see: slot 0 is new at 0x0" in " ".join(ran.stdout.split())
    assert "undoes nothing" in ran.stdout


def test_report_writes_the_bug_up(naive: str, torn: Path, sameslots: Sameslots) -> None:
    ran = sameslots("report", torn, "--engine", naive)
    assert ran.returncode == 0
    assert "undoes nothing" in ran.stdout


def test_show_draws_it(naive: str, torn: Path, sameslots: Sameslots) -> None:
    ran = sameslots("show", torn, "--engine", naive)
    assert ran.returncode == 0
    assert BUCKET in ran.stdout


def test_a_case_file_remembers_the_tree_that_it_was_found_with(naive: str, torn: Path, sameslots: Sameslots) -> None:
    found = torn.parent / "found.slots"
    sameslots("reduce", torn, "--engine", naive, "--out", found)
    assert f"{naive} {BUCKET}" in sameslots("show", found).stdout
    assert "undoes nothing" in sameslots("explain", found).stdout
    assert "undoes nothing" in sameslots("report", found).stdout
    assert f"expect {naive} {BUCKET}\n" in sameslots("reduce", found).stdout
    assert "rfc-v1" in sameslots("show", found, "--engine", "rfc-v1").stdout


@pytest.mark.parametrize("command", ["show", "explain", "report", "reduce", "replay"])
def test_a_case_file_of_a_tree_that_is_gone_says_so(command: str, torn: Path, sameslots: Sameslots) -> None:
    torn.write_text(f"{torn.read_text()}expect tree:/nowhere {BUCKET}\n")
    ran = sameslots(command, torn)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert f"{torn}: /nowhere: no such folder: expected a build of a kernel tree" in ran.stderr


@pytest.mark.parametrize("name", ["a b", "a#b"])
def test_a_build_that_no_case_file_can_name_is_not_fuzzed(
    name: str, fake_tree: Builds, tmp_path: Path, sameslots: Sameslots
) -> None:
    build = shutil.copytree(fake_tree(), tmp_path / name)
    ran = sameslots("fuzz", "--engine", f"tree:{build}", "--runs", "1", "--out", tmp_path / "out")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert f"{build}: a case file cannot name it" in ran.stderr


@pytest.mark.parametrize("backend", ["random", "mixed"])
def test_a_campaign_finds_a_list_that_undoes_nothing(
    backend: str, naive: str, tmp_path: Path, sameslots: Sameslots
) -> None:
    if backend == "mixed":
        pytest.importorskip("atheris")
    ran = sameslots(
        "fuzz", "--engine", naive, "--runs", "300", "--seed", "3", "--backend", backend, "--out", tmp_path / "out"
    )
    assert ran.returncode == 1, ran.stderr
    assert BUCKET in ran.stdout


def test_a_single_ioctl_of_a_tree_can_say_what_is_right(
    naive: str, torn: Path, fake_tree: Builds, sameslots: Sameslots
) -> None:
    right = f"tree-serial:{fake_tree()}"
    ran = sameslots("reduce", torn, "--engine", naive, "--reference", right)
    assert ran.returncode == 0
    assert f"expect {right} refused EEXIST at 1\n" in ran.stdout


def test_a_list_ioctl_cannot_say_what_is_right(naive: str, torn: Path, sameslots: Sameslots) -> None:
    ran = sameslots("reduce", torn, "--reference", naive)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "is a list ioctl" in ran.stderr


@pytest.mark.parametrize(
    ("where", "why", "what_helps"),
    [
        ("", "tree:: expected tree:DIR", "sameslots tree build PATH"),
        ("file", "file: a file: expected a build of a kernel tree", "sameslots tree build PATH --out DIR"),
        (
            "nowhere",
            "nowhere: no such folder: expected a build",
            "sameslots tree build PATH --out DIR",
        ),
        ("folder", "build.json: No such file or directory: expected a build", "sameslots tree build PATH --out"),
        ("linux", "linux: the source of a kernel: expected a build", "linux, and then tree:build/trees/linux"),
    ],
)
def test_a_campaign_on_what_is_no_build_makes_no_folder(
    where: str, why: str, what_helps: str, tmp_path: Path, sameslots: Sameslots
) -> None:
    plain_tree(tmp_path / "linux")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    engine = f"tree:{tmp_path / where}" if where else "tree:"
    ran = sameslots("fuzz", "--engine", engine, "--runs", "1", "--out", tmp_path / "out")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert why in ran.stderr
    assert what_helps in ran.stderr
    assert not (tmp_path / "out").exists()


def written_over(library: Path, other: Path) -> None:
    library.write_bytes(other.read_bytes())


def replaced(library: Path, other: Path) -> None:
    shutil.copyfile(other, library.with_name("new")).replace(library)


def removed(library: Path, _: Path) -> None:
    shutil.rmtree(library.parent)


@pytest.mark.parametrize("backend", ["random", "atheris"])
@pytest.mark.parametrize("harm", [removed, replaced, written_over])
def test_a_campaign_ends_with_the_build_that_it_began_with(
    harm: Callable[[Path, Path], None], backend: str, fake_tree: Builds, tmp_path: Path
) -> None:
    if backend == "atheris":
        pytest.importorskip("atheris")
    library = Path(shutil.copytree(fake_tree("NAIVE"), tmp_path / "build")) / LIBRARY
    words = ["--engine", f"tree:{library.parent}", "--backend", backend, "--time", "60", "--seed", "5", "--out", "out"]
    with subprocess.Popen(
        [SAMESLOTS, "fuzz", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(lambda: list((tmp_path / "out").glob("*.slots")) != [])
            harm(library, fake_tree() / LIBRARY)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 2
    assert "minimal list (! flagged)" in out
    assert f"{library}: removed or written anew" in err.splitlines()[-1]
    assert "Traceback" not in (tmp_path / "out" / f"{backend}.log").read_text()
