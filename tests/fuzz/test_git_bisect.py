# SPDX-License-Identifier: GPL-2.0-only
"""The exit codes of a step of a bisection: what is good, bad, to be skipped, and what ends it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.build import RECORD
from engines.tree.built import Built, built_in
from engines.tree.tools import Unbuildable
from fuzz.cli import main
from fuzz.git_bisect import bisected, code_of_step
from fuzz.rebuilt import rebuilt
from memslots.errors import BadInput, Missing
from tests.engines.tree.test_source import plain_tree

Builds = Callable[..., Path]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]
Git = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_code_of_a_campaign_is_that_of_the_step(code: int, fake_tree: Builds, tmp_path: Path) -> None:
    folders: list[Path] = []

    def campaign(folder: Path) -> int:
        folders.append(folder)
        return code

    assert bisected(f"tree:{fake_tree()}", "serial", tmp_path, campaign, built_in) == code
    assert folders == [tmp_path / built_in(fake_tree()).content[:12]]


def refused(error: Exception) -> Callable[[Path], Built]:
    def rebuild(_: Path) -> Built:
        raise error

    return rebuild


@pytest.mark.parametrize(
    "words",
    [
        ["--engine", "tree:/nowhere"],
        ["--engine", "tree:"],
        ["--engine", "rfc-v1"],
        ["--engine", "bogus"],
        ["--reference", "tree:/nowhere"],
        ["--bogus"],
        ["--runs", "none"],
        ["--time", "nan"],
        ["--stats"],
        ["one more"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_no_verdict(words: list[str], fake_tree: Builds, sameslots: Sameslots, tmp_path: Path) -> None:
    ran = sameslots(
        "fuzz", "--git-bisect", "--engine", f"tree:{fake_tree()}", "--runs", "1", "--out", tmp_path / "out", *words
    )
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (128, "", 1), ran.stderr


def test_a_misspelt_command_is_no_verdict(sameslots: Sameslots) -> None:
    assert sameslots("fuz", "--git-bisect").returncode == 128


@pytest.mark.parametrize(
    ("own", "of_step"), [(0, 0), (1, 1), (125, 125), (2, 128), (3, 128), (70, 128), (130, 130), (141, 141)]
)
def test_git_hears_of_a_verdict_or_of_the_end(own: int, of_step: int) -> None:
    assert code_of_step(["fuzz", "--git-bisect"], own) == of_step
    assert code_of_step(["fuzz"], own) == own


def test_a_fault_of_ours_is_no_mismatch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def faulty(*_: object) -> int:
        raise RuntimeError("ours")

    monkeypatch.setattr("fuzz.cli.cli.invoke", faulty)
    for arguments, code in ((["doctor"], 70), (["fuzz", "--git-bisect"], 128)):
        monkeypatch.setattr("sys.argv", ["sameslots", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code
        assert "RuntimeError: ours" in capsys.readouterr().err


def test_a_tree_that_cannot_be_built_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failure = Unbuildable("kvm_main.c", ["virt/kvm/kvm_main.c:7: error: expected ;"])
    assert bisected("tree:x", "serial", tmp_path, lambda _: 0, refused(failure)) == 125
    assert "kvm_main.c:7: error: expected ;" in capsys.readouterr().err


@pytest.mark.parametrize("error", [BadInput("x: no Linux source tree"), Missing("gcc is not here")])
def test_a_mistake_is_not_skipped(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        bisected("tree:x", "serial", tmp_path, lambda _: 0, refused(error))


def build_of(tree: Path, build: Path) -> Path:
    """A copy of a build, which is one of this tree."""
    facts = json.loads((build / RECORD).read_text())
    (build / RECORD).write_text(json.dumps(facts | {"tree": str(tree), "options": []}))
    return build


def test_a_tree_that_lacks_a_file_cannot_be_built(fake_tree: Builds, tmp_path: Path) -> None:
    tree = plain_tree(tmp_path / "tree")
    build = build_of(tree, shutil.copytree(fake_tree(), tmp_path / "build"))
    with pytest.raises(Unbuildable, match=r"syscall_64.tbl: No such file or directory"):
        rebuilt(build)


def test_a_build_that_cannot_be_written_to_is_no_fault_of_the_tree(fake_tree: Builds, tmp_path: Path) -> None:
    tree = plain_tree(tmp_path / "tree")
    build = build_of(tree, shutil.copytree(fake_tree(), tmp_path / "build"))
    (build / "work").write_text("in the way")
    with pytest.raises(BadInput, match="build/work") as failure:
        rebuilt(build)
    assert not isinstance(failure.value, Unbuildable)


@pytest.fixture
def differing(fake_tree: Builds, tmp_path: Path) -> Builds:
    """Make a build whose single ioctl is known to part from serial."""

    def make(*defines: str) -> Path:
        build = Path(shutil.copytree(fake_tree(*defines), tmp_path / "build"))
        facts = json.loads((build / RECORD).read_text())
        facts["checked"]["difference"] = {"case": "slots 1\napply slot=0 size=0\n"}
        (build / RECORD).write_text(json.dumps(facts))
        return build

    return make


def test_the_list_ioctl_of_a_commit_whose_single_one_is_wrong_is_not_judged(
    differing: Builds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bisected(f"tree:{differing()}", "serial", tmp_path, lambda _: 0, built_in) == 125
    assert "apply slot=0 size=0\n" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "defines"), [("tree-serial", ()), ("tree", ("NO_LIST",))])
def test_a_wrong_single_ioctl_is_bad_where_it_is_on_trial(
    kind: str, defines: tuple[str, ...], differing: Builds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = f"{kind}:{differing(*defines)}"
    assert bisected(engine, "serial", tmp_path, lambda _: 0, built_in) == 1
    assert "apply slot=0 size=0\n" in capsys.readouterr().out
    assert bisected(engine, "tree-serial:another", tmp_path, lambda _: 0, built_in) == 0


STEP = """
import shutil
import sys
from functools import partial
from pathlib import Path

import fuzz.search
from engines.tree.built import built_in
from engines.tree.tools import Unbuildable
from fuzz.__main__ import main
from fuzz.git_bisect import bisected


def rebuild(folder):
    kept = Path("kvm_main.c").read_text().split()[0]
    if kept == "broken":
        raise Unbuildable("kvm_main.c", ["kvm_main.c:1: error: broken"])
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return built_in(folder)


fuzz.search.bisected = partial(bisected, rebuild=rebuild)
main()
"""
"""`sameslots`, for which a tree is a file that says where its build is kept."""


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Run git in a repository of its own."""
    if shutil.which("git") is None:
        pytest.skip("needs git: apt-get install git")
    folder = tmp_path / "linux"
    folder.mkdir()

    def git(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *map(str, words)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    git("init", "--quiet")
    return git


def committed(git: Git, folder: Path, trees: list[object]) -> None:
    for number, tree in enumerate(trees):
        (folder / "kvm_main.c").write_text(f"{tree} {number}\n")
        git("add", "kvm_main.c")
        assert git("commit", "--quiet", "--message", f"number {number}").returncode == 0
    assert git("bisect", "start", "HEAD", f"HEAD~{len(trees) - 1}").returncode == 0


def test_git_finds_the_commit_that_broke_the_list_ioctl(git: Git, fake_tree: Builds, tmp_path: Path) -> None:
    good, bad = fake_tree(), fake_tree("NAIVE")
    committed(git, tmp_path / "linux", [good, good, "broken", good, good, bad, bad, "broken", bad])
    build = shutil.copytree(good, tmp_path / "build")
    (tmp_path / "step.py").write_text(STEP)
    words = ("fuzz", "--engine", f"tree:{build}", "--git-bisect", "--runs", "300", "--seed", "3", "--backend", "random")
    ran = git("bisect", "run", sys.executable, tmp_path / "step.py", *words, "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "is the first bad commit" in ran.stdout
    assert git("show", "--no-patch", "--format=%s", "refs/bisect/bad").stdout == "number 5\n"


def test_a_commit_of_which_nothing_was_tried_is_not_judged(git: Git, fake_tree: Builds, tmp_path: Path) -> None:
    bad = fake_tree("NAIVE")
    committed(git, tmp_path / "linux", [bad] * 5)
    build = shutil.copytree(bad, tmp_path / "build")
    (tmp_path / "step.py").write_text(STEP)
    words = ("fuzz", "--engine", f"tree:{build}", "--git-bisect", "--time", "0", "--backend", "random")
    ran = git("bisect", "run", sys.executable, tmp_path / "step.py", *words, "--out", tmp_path / "out")
    assert ran.returncode != 0
    assert "no list was tried, which says nothing of the commit: expected more --time" in ran.stdout + ran.stderr
    assert "exit code 128" in ran.stdout + ran.stderr


def test_git_hears_that_it_was_told_nonsense(git: Git, fake_tree: Builds, tmp_path: Path) -> None:
    committed(git, tmp_path / "linux", [fake_tree()] * 5)
    before = git("bisect", "log").stdout
    ran = git("bisect", "run", sys.executable, "-m", "fuzz", "fuzz", "--engine", "tree:/nowhere", "--git-bisect")
    assert ran.returncode != 0
    assert "exit code 128" in ran.stdout + ran.stderr
    assert git("bisect", "log").stdout == before
