# SPDX-License-Identifier: GPL-2.0-only
"""What counts as a kernel tree, and which tools are needed."""

from pathlib import Path

import pytest

from engines.tree.build import built, default_folder
from engines.tree.flags import Options
from engines.tree.source import source_at
from engines.tree.tools import Unbuildable, run, tools
from memslots.errors import BadInput, Missing

FILES = ("Makefile", "Kconfig", "virt/kvm/kvm_main.c", "arch/x86/kvm/Kconfig", "include/linux/kvm_host.h")


def plain_tree(folder: Path) -> Path:
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 192\nEXTRAVERSION = -rc1\nNAME = x\n")
    return folder


def test_a_tree_says_its_version(tmp_path: Path) -> None:
    assert source_at(plain_tree(tmp_path)).version == "6.1.192-rc1"


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_lacks_something_is_no_tree(name: str, tmp_path: Path) -> None:
    (plain_tree(tmp_path) / name).unlink()
    with pytest.raises(BadInput, match=f"no Linux source tree: there is no {name}"):
        source_at(tmp_path)


@pytest.mark.parametrize("out", [default_folder(Path(), Options()), Path("virt/kvm"), Path(), Path("link")])
def test_nothing_is_written_inside_a_tree(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = plain_tree(tmp_path / "linux")
    monkeypatch.chdir(tree)
    Path("link").symlink_to(tree / "arch", target_is_directory=True)
    before = sorted(tree.rglob("*"))
    with pytest.raises(BadInput, match=r"inside the tree, which is only read: expected --out DIR"):
        built(Path(), out, Options())
    assert sorted(tree.rglob("*")) == before


@pytest.mark.parametrize(("program", "package"), [("gcc", "gcc"), ("ld", "binutils"), ("objdump", "binutils")])
def test_a_missing_program_is_named_with_its_package(
    program: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gcc", "ld", "nm", "objcopy", "objdump", "addr2line"):
        if name != program:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "gcc")
    with pytest.raises(Missing, match=f"{program} is not here: apt-get install {package}"):
        tools()


def test_without_gcc_clang_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("clang", "ld", "nm", "objcopy", "objdump", "addr2line"):
        (tmp_path / name).write_text("#!/bin/sh\necho Debian clang version 14\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert tools().cc == ("clang",)
    assert tools().clang


def test_a_compiler_may_have_flags_and_a_cache_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "env LC_ALL=C gcc -m64")
    assert tools().cc == ("env", "LC_ALL=C", "gcc", "-m64")
    assert "gcc" in tools().version
    monkeypatch.setenv("CC", "gcc '")
    with pytest.raises(BadInput, match=r"CC=gcc ': No closing quotation: expected a compiler and its flags"):
        tools()


@pytest.mark.parametrize("program", ["gcc", "ld", "nm", "objcopy", "objdump"])
def test_another_version_of_a_program_is_another_set_of_tools(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "gcc")
    found = []
    for version in ("2.40", "2.41"):
        for name in ("gcc", "ld", "nm", "objcopy", "objdump", "addr2line"):
            (tmp_path / name).write_text(f"#!/bin/sh\necho {name} {version if name == program else '2.40'}\n")
            (tmp_path / name).chmod(0o755)
        found.append(tools())
    assert found[0] != found[1]


def test_a_failure_is_told_by_the_lines_that_say_error() -> None:
    script = "echo 'In file included from a.c:' >&2; echo 'a.c:3:5: error: no such member' >&2; exit 1"
    with pytest.raises(Unbuildable) as failure:
        run(["sh", "-c", script], "a.c")
    assert str(failure.value) == "a.c: a.c:3:5: error: no such member"
    assert failure.value.lines == ("a.c:3:5: error: no such member",)


def test_a_failure_without_a_word_is_told_by_its_exit_code() -> None:
    with pytest.raises(Unbuildable, match="objcopy: exit code 7"):
        run(["sh", "-c", "exit 7"], "objcopy")


@pytest.mark.parametrize("text", ['{"name": "mine"}', "not even JSON", "[]"])
def test_a_build_json_of_somebody_else_is_not_lost(text: str, tmp_path: Path) -> None:
    tree, out = plain_tree(tmp_path / "tree"), tmp_path / "out"
    out.mkdir()
    (out / "build.json").write_text(text)
    with pytest.raises(BadInput, match=r"build\.json: is of no build of a tree: expected --out DIR"):
        built(tree, out, Options())
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("build.json", text)]
