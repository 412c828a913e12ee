# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots tree build` says what is wrong on one line, and what is to be known of a library."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.build import Build, default_folder
from engines.tree.flags import Options
from engines.tree.tools import MOST_LINES, Unbuildable
from fuzz.tree_command import summary
from tests.engines.tree.test_source import plain_tree

Sameslots = Callable[..., subprocess.CompletedProcess[str]]
RECORD: dict[str, object] = {
    "release": "6.1.192",
    "list": {"ioctl": 0x4008AE49, "layout": {}, "says": ["as kvm.h has it", "Assumed: this"]},
    "list_handlers": ["do_batch", "do_more"],
    "kconfig_unmet": ["SMP=n came out as y"],
    "functions": ["kvm_set_memslot", "kvm_swap_active_memslots"],
    "unresolved": {"brand_new": ["kvm_set_memslot (virt/kvm/kvm_main.c:7)"]},
    "returns_zero_called_by": {"kvm_arch_new_hook": ["kvm_set_memslot (virt/kvm/kvm_main.c:9)"]},
    "blank": ["some_data"],
}


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line that it writes to stderr."""
    assert done.returncode == code, done.stderr
    assert not done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_folder_that_is_no_tree(sameslots: Sameslots, tmp_path: Path) -> None:
    assert "no Linux source tree: there is no Makefile" in complaint(sameslots("tree", "build", tmp_path), 2)
    assert "no Linux source tree" in complaint(sameslots("tree", "build", tmp_path / "nothing"), 2)


def test_a_tree_that_is_not_whole(sameslots: Sameslots, tmp_path: Path) -> None:
    tree = plain_tree(tmp_path / "tree")
    line = complaint(sameslots("tree", "build", tree, "--out", tmp_path / "out"), 2)
    assert "syscall_64.tbl: No such file or directory" in line


def test_a_folder_that_cannot_be_written_to(sameslots: Sameslots, tmp_path: Path) -> None:
    tree = plain_tree(tmp_path / "tree")
    (tmp_path / "file").write_text("")
    line = complaint(sameslots("tree", "build", tree, "--out", tmp_path / "file"), 2)
    assert f"{tmp_path / 'file'}" in line


def test_a_compiler_that_is_not_here(sameslots: Sameslots, tmp_path: Path) -> None:
    line = complaint(sameslots("tree", "build", plain_tree(tmp_path), CC="no-such-cc"), 3)
    assert "no-such-cc is not here: apt-get install gcc" in line


def test_what_is_to_be_known_of_a_library() -> None:
    assert summary(Build(Path("build/trees/mine"), RECORD, fresh=False)) == [
        "build/trees/mine: Linux 6.1.192, list ioctl 0x4008ae49; 2 functions of updates and what they call",
        "as kvm.h has it",
        "Assumed: this",
        "Called for it: do_batch, do_more",
        "Kconfig: SMP=n came out as y",
        "Unknown to the shims, and called by the memslot code; a case that gets there ends with its name:",
        "  brand_new: kvm_set_memslot (virt/kvm/kvm_main.c:7)",
        "Does nothing here and returns 0, which may be wrong:",
        "  kvm_arch_new_hook: kvm_set_memslot (virt/kvm/kvm_main.c:9)",
        "Read by the memslot code, and zeros here: some_data",
    ]


def test_a_list_ioctl_that_no_code_deals_with_is_told() -> None:
    lines = summary(Build(Path("mine"), RECORD | {"list_handlers": []}, fresh=True))
    assert lines[3] == "No function of virt/kvm/kvm_main.c is called for it"


def test_of_a_smooth_build_one_line_is_enough() -> None:
    nothing: dict[str, object] = {
        "kconfig_unmet": [],
        "unresolved": {},
        "returns_zero_called_by": {},
        "blank": [],
        "list": None,
    }
    assert summary(Build(Path("mine"), RECORD | nothing, fresh=True)) == [
        "mine: Linux 6.1.192, no list ioctl; nothing has changed"
    ]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (Options(), "linux"),
        (Options(asan=True), "linux-asan"),
        (Options(x86=True, coverage=True), "linux-coverage-x86"),
    ],
)
def test_a_build_with_options_goes_beside_the_one_without(options: Options, name: str, tmp_path: Path) -> None:
    (tmp_path / "linux").mkdir()
    assert default_folder(tmp_path / "linux", options) == Path("build/trees") / name


def test_a_failure_is_not_told_by_hundreds_of_lines() -> None:
    failure = Unbuildable("a.c: error", [f"a.c:{n}: error" for n in range(1000)])
    assert len(failure.lines) == MOST_LINES
