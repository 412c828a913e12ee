# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel build would generate is made outside the tree, and only made again when the tree has changed."""

import importlib.util
from pathlib import Path

import pytest

from engines.tree import generated, kconfig
from engines.tree.digests import Steps
from engines.tree.generated import autoconf, headers
from engines.tree.source import Source, source_at
from engines.tree.tools import Tools, Unbuildable
from memslots.errors import Missing
from tests.engines.tree.test_source import plain_tree

NO_TOOLS = Tools(("cc",), "ld", "nm", "objcopy", "objdump", "addr2line", "cc 1.0")
KCONFIG = """
config 64BIT
	bool "64 bit"
	modules
config SMP
	def_bool y
config KVM
	bool "KVM"
	depends on NOT_THERE
config NOT_THERE
	bool
config EVENTFD
	bool "eventfd"
	transitional
config OTHER
	bool "Something else"
	default y
config HZ
	int
	default 300
"""


@pytest.fixture
def tree(tmp_path: Path) -> Source:
    """A tree with a few answers to give."""
    folder = plain_tree(tmp_path / "tree")
    (folder / "Kconfig").write_text('source "virt/Kconfig"\n')
    (folder / "virt/Kconfig").write_text(KCONFIG)
    return source_at(folder)


def configured(tree: Source, out: Path) -> list[str]:
    if importlib.util.find_spec("kconfiglib") is None:
        pytest.skip("needs kconfiglib: pip install kconfiglib")
    out.mkdir(exist_ok=True)
    return autoconf(tree, out, NO_TOOLS, Steps(out))


def test_what_nobody_wishes_is_answered_with_no(tree: Source, tmp_path: Path) -> None:
    configured(tree, tmp_path / "out")
    header = (tmp_path / "out/generated/autoconf.h").read_text()
    assert "#define CONFIG_64BIT 1" in header
    assert "#define CONFIG_EVENTFD 1" in header
    assert "OTHER" not in header


def test_a_wish_that_is_not_granted_is_told(tree: Source, tmp_path: Path) -> None:
    assert configured(tree, tmp_path / "out") == ["SMP=n came out as y", "KVM=y came out as n"]


def test_a_wish_that_a_tree_does_not_know_is_none(tree: Source, tmp_path: Path) -> None:
    assert "PARAVIRT" in kconfig.WISHES
    assert not any("PARAVIRT" in told for told in configured(tree, tmp_path / "out"))


def test_a_second_is_some_jiffies(tree: Source, tmp_path: Path) -> None:
    configured(tree, tmp_path / "out")
    text = (tmp_path / "out/generated/timeconst.h").read_text()
    assert "#define HZ_TO_MSEC_NUM 10\n#define HZ_TO_MSEC_DEN 3\n" in text
    assert "#define NSEC_TO_HZ_NUM 3\n#define NSEC_TO_HZ_DEN 10000000\n" in text


def test_a_kconfig_is_read_again_only_when_it_has_changed(
    tree: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    before = configured(tree, out)
    with monkeypatch.context() as none:
        none.setattr(generated, "start", None)  # whoever calls it fails
        assert configured(tree, out) == before
    (tree.path / "virt/Kconfig").write_text(KCONFIG.replace("def_bool y", "def_bool n"))
    assert configured(tree, out) == ["KVM=y came out as n"]


def test_a_kconfig_that_cannot_be_read_is_told_with_file_and_line(tree: Source, tmp_path: Path) -> None:
    (tree.path / "virt/Kconfig").write_text("config A\n\tbool\nconfig\n")
    with pytest.raises(Unbuildable, match=r"virt/Kconfig:3"):
        configured(tree, tmp_path / "out")


def test_without_kconfiglib_one_line_says_what_to_do(
    tree: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kconfiglib.py").write_text("raise ModuleNotFoundError(\"No module named 'kconfiglib'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "out").mkdir()
    with pytest.raises(Missing, match="kconfiglib is not here: pip install kconfiglib"):
        autoconf(tree, tmp_path / "out", NO_TOOLS, Steps(tmp_path / "out"))


def test_a_generic_header_stands_in_for_one_that_x86_lacks(tree: Source, tmp_path: Path) -> None:
    for name in ("include/asm-generic/a.h", "include/asm-generic/b.h", "arch/x86/include/asm/b.h"):
        (tree.path / name).parent.mkdir(parents=True, exist_ok=True)
        (tree.path / name).write_text("")
    table = tree.path / "arch/x86/entry/syscalls/syscall_64.tbl"
    table.parent.mkdir(parents=True)
    table.write_text("# a comment\n0\tcommon\tread\tsys_read\n1 64 write sys_write\n512 x32 other sys_other\n")
    headers(tree, tmp_path / "out")
    assert (tmp_path / "out/asm/a.h").read_text() == "#include <asm-generic/a.h>\n"
    assert not (tmp_path / "out/asm/b.h").exists()
    assert (tmp_path / "out/uapi/asm/unistd_64.h").read_text() == "#define __NR_read 0\n#define __NR_write 1\n"


def test_a_wrapper_goes_when_the_tree_has_no_use_for_it(tree: Source, tmp_path: Path) -> None:
    """It would be found before the tree's own header, or hide that there is none."""
    generic, own = tree.path / "include/asm-generic", tree.path / "arch/x86/include/asm"
    table = tree.path / "arch/x86/entry/syscalls/syscall_64.tbl"
    for folder in (generic, own, table.parent):
        folder.mkdir(parents=True, exist_ok=True)
    table.write_text("0\tcommon\tread\tsys_read\n")
    for name in ("a.h", "b.h", "c.h"):
        (generic / name).write_text("")
    headers(tree, tmp_path / "out")
    (own / "a.h").write_text("")
    (generic / "b.h").unlink()
    headers(tree, tmp_path / "out")
    wrappers = {path.name for path in (tmp_path / "out/asm").iterdir()}
    assert {"a.h", "b.h", "c.h"} & wrappers == {"c.h"}
    assert "syscalls_64.h" in wrappers
    assert (tmp_path / "out/uapi/asm/unistd_64.h").exists()


def test_what_has_not_changed_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.h"
    generated.write(path, "a")
    path.chmod(0o444)
    before = path.stat()
    generated.write(path, "a")
    assert path.stat().st_mtime_ns == before.st_mtime_ns
