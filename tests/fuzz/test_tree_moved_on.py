# SPDX-License-Identifier: GPL-2.0-only
"""A tree that is no more what a build was made of is told of, and the build goes on as what it is."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.build import RECORD
from engines.tree.built import built_in, facts_of
from engines.tree.digests import file_digest
from engines.tree.since_build import changes_since
from engines.tree.source import KVM_MAIN
from engines.tree.sources import FILE, write_sources

Builds = Callable[..., Path]
Sameslots = Callable[..., subprocess.CompletedProcess[str]]
HEADER = "include/linux/kvm_host.h"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with two files."""
    for name in (KVM_MAIN, HEADER):
        (tmp_path / "linux" / name).parent.mkdir(parents=True)
        (tmp_path / "linux" / name).write_text("int x;\n" * 40)
    return tmp_path / "linux"


@pytest.fixture
def build(fake_tree: Builds, tree: Path, tmp_path: Path) -> Path:
    """A build that is said to be of it, with a description of its list ioctl."""
    build = Path(shutil.copytree(fake_tree(), tmp_path / "build"))
    layout = tmp_path / "my layout.json"
    layout.write_text("{}")
    facts = facts_of(build) | {"tree": str(tree), "layout": str(layout), "options": ["asan", "coverage"]}
    (build / RECORD).write_text(json.dumps(facts))
    (build / FILE).unlink()
    paths = (tree / KVM_MAIN, tree / HEADER, layout, tmp_path / "build/work/autoconf.h")
    write_sources(build, facts["content"], {str(path): file_digest(path) for path in paths}, tree, layout)
    return build


def test_a_tree_that_is_as_it_was_is_not_spoken_of(build: Path, tree: Path) -> None:
    (tree / KVM_MAIN).touch()
    (tree / "README").write_text("not read by the build")
    assert changes_since(built_in(build)) == ("", frozenset())


def test_an_edit_is_told_with_the_command_that_builds_again(build: Path, tree: Path, tmp_path: Path) -> None:
    for path in (tree / HEADER, tree / KVM_MAIN, tmp_path / "my layout.json"):
        path.write_text("int y;\n")
    changes = changes_since(built_in(build))
    assert changes.files == {KVM_MAIN, HEADER, f"{tmp_path}/my layout.json"}
    assert changes.says == (
        f"{tree} has changed since {build} was built: {KVM_MAIN}, {HEADER}, {tmp_path}/my layout.json:"
        f" `sameslots tree build {tree} --out {build} --asan --coverage --layout '{tmp_path}/my layout.json'`"
        " makes it again"
    )


def test_of_many_files_some_are_named(build: Path, tree: Path) -> None:
    sources = json.loads((build / FILE).read_text())
    sources["read"] |= {f"{tree}/include/{n}.h": "of something" for n in range(70)}
    (build / FILE).write_text(json.dumps(sources))
    says = changes_since(built_in(build)).says
    assert ": include/0.h, include/1.h, include/10.h and 67 more: `" in says


@pytest.mark.parametrize(
    "text", ["", "[]", '{"content": "fake", "read": 3}', '{"content": "another", "read": {}}', None]
)
def test_a_build_that_does_not_say_what_it_is_of_is_not_taken_for_new(text: str | None, build: Path) -> None:
    (build / FILE).unlink() if text is None else (build / FILE).write_text(text)
    assert "is not known: `sameslots tree build" in changes_since(built_in(build)).says


COMMANDS = {
    "fuzz": ["--runs", "20", "--seed", "1", "--backend", "random", "--out", "out", "--engine"],
    "enumerate": ["--entries", "1", "--slots", "1", "--out", "out", "--engine"],
    "replay": ["one.slots", "--engine"],
    "tree check": ["--ops", "200"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", ["edited", "gone"])
def test_it_is_said_at_the_start_and_in_the_end(
    what: str,
    command: str,
    build: Path,
    tree: Path,
    sameslots: Sameslots,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.slots").write_text("slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\n")
    if what == "gone":
        shutil.rmtree(tree)
        line = f"{tree} is gone, which build was built of: what it shows is of that tree"
    else:
        (tree / KVM_MAIN).write_text("int y;\n")
        line = changes_since(built_in(Path("build"))).says
        assert line.startswith(f"{tree} has changed since build was built: {KVM_MAIN}: `")
    engine = "build" if command == "tree check" else "tree:build"
    ran = sameslots(*command.split(), *COMMANDS[command], engine)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count(f"sameslots: {line}\n") == 1
    assert ran.stdout.count(f"\n{line}\n") == 1


def test_a_listing_of_other_lines_than_have_run_is_refused(build: Path, tree: Path, sameslots: Sameslots) -> None:
    (tree / KVM_MAIN).write_text("int y;\n")
    ran = sameslots("tree", "coverage", build, "--lists", "1")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert f"`sameslots tree build {tree} --out {build} --asan --coverage --layout" in ran.stderr
    shutil.rmtree(tree)
    ran = sameslots("tree", "coverage", build, "--lists", "1")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert f"{tree} is gone" in ran.stderr
