# SPDX-License-Identifier: GPL-2.0-only
"""What the memslot code can call and nobody supplies is named, with where it is called; the rest is not spoken of."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from engines.tree.flags import Options, as_written
from engines.tree.link import LIBRARY, Linked, linked
from engines.tree.objects import Unit
from engines.tree.reach import Graph
from engines.tree.services import may_be_silent
from engines.tree.sites import write_sites
from engines.tree.source_lines import SourceLines
from engines.tree.tools import Tools, Unbuildable, tools

INSIDE = """
#pragma GCC visibility push(hidden)
int brand_new_helper(int);
int kvm_arch_brand_new(int);
int somewhere_else(int);
int kvm_arch_of_lists(int);
int counted(int);
extern int nobody_has_it;
int kept = 3;
static int deeper(int n)
{
	return brand_new_helper(n) + kvm_arch_brand_new(n) + nobody_has_it;
}
int kvm_set_memslot(int n)
{
	if (n == 5)
		return kept++;
	return n ? deeper(n) : counted(n);
}
int kvm_vcpu_does_other_things(int n)
{
	return somewhere_else(n) + 1;
}
int do_batch(int n)
{
	return kvm_arch_of_lists(n) + 1;
}
int ms_create(int n)
{
	if (n == 8)
		return do_batch(n);
	return n == 7 ? kvm_vcpu_does_other_things(n) : kvm_set_memslot(n);
}
int never_used(int n)
{
	return n;
}
"""
SHIM = """
extern char begins[] __asm__("__start_kdata"), ends[] __asm__("__stop_kdata");
int k_ms_create(int);
int k_counted(int n) { return 40; }
static const char *said = "";
static void *out[5];
void ms_unresolved(const char *name) { said = name; __builtin_longjmp(out, 1); }
int entered(int n) { return __builtin_setjmp(out) ? -1 : k_ms_create(n); }
const char *words(void) { return said; }
long data(void) { return ends - begins; }
"""


@pytest.fixture(scope="module")
def programs() -> Tools:
    """gcc and binutils, or the test is skipped."""
    if shutil.which("gcc") is None or shutil.which("ld") is None:
        pytest.skip("needs gcc and binutils: apt-get install gcc binutils")
    return tools()


def compiled(folder: Path, programs: Tools, inside: str, *flags: str) -> list[Unit]:
    units = []
    for name, text, more in (
        ("inside", inside, ["-ffunction-sections", "-fdata-sections", "-g", *as_written(programs), *flags]),
        ("sets", "int ms_walk;\n", []),
        ("shim-a", SHIM, []),
    ):
        source = folder / f"{name}.c"
        source.write_text(text)
        command = [*programs.cc, "-O2", "-fPIC", *more, "-c", str(source), "-o", str(folder / f"{name}.o")]
        subprocess.run(command, check=True)
        units.append(Unit(source, folder / f"{name}.o", [], name in ("inside", "sets")))
    return units


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, programs: Tools) -> tuple[Path, Linked]:
    """A library of the code above, and what is said of it."""
    folder = tmp_path_factory.mktemp("link")
    return folder, linked(compiled(folder, programs, INSIDE), folder, Options(), programs)


def test_functions_of_updates_and_what_they_call_are_listed(library: tuple[Path, Linked]) -> None:
    assert library[1].functions == ["deeper", "kvm_set_memslot"]


def test_what_is_called_for_an_ioctl_counts_whatever_its_name_is(tmp_path: Path, programs: Tools) -> None:
    units = compiled(tmp_path, programs, INSIDE)
    link = linked(units, tmp_path, Options(), programs, frozenset(), frozenset(("do_batch", "sizeof")))
    assert link.functions == ["deeper", "do_batch", "kvm_set_memslot"]
    assert list(link.silent) == ["kvm_arch_brand_new", "kvm_arch_of_lists"]
    assert link.list_handlers == ["do_batch"]


def test_a_helper_that_nobody_has_is_named_with_its_line(library: tuple[Path, Linked]) -> None:
    folder, link = library
    line = INSIDE[: INSIDE.index("return brand_new_helper")].count("\n") + 1
    assert link.unresolved == {"brand_new_helper": [f"deeper ({folder}/inside.c:{line})"]}


def test_a_service_that_does_nothing_is_listed(library: tuple[Path, Linked]) -> None:
    assert list(library[1].silent) == ["kvm_arch_brand_new"]


def test_data_that_nobody_has_is_zeros_and_listed(library: tuple[Path, Linked]) -> None:
    assert library[1].blank == ["nobody_has_it"]


def test_what_is_missing_elsewhere_is_not_spoken_of(library: tuple[Path, Linked]) -> None:
    link = library[1]
    assert "somewhere_else" not in {*link.unresolved, *link.silent}


def test_a_call_of_what_is_missing_says_its_name(library: tuple[Path, Linked]) -> None:
    loaded = ctypes.CDLL(str(library[0] / LIBRARY))
    loaded.words.restype = ctypes.c_char_p
    assert loaded.entered(0) == 40
    assert loaded.words() == b""
    assert loaded.entered(1) == -1
    assert loaded.words() == b"brand_new_helper"
    assert loaded.entered(7) == -1
    assert loaded.words() == b"somewhere_else"


def test_the_kernels_data_is_in_one_piece(library: tuple[Path, Linked]) -> None:
    loaded = ctypes.CDLL(str(library[0] / LIBRARY))
    loaded.data.restype = ctypes.c_long
    assert 0 < loaded.data() < 64


def test_no_name_of_the_kernels_meets_one_of_libcs(library: tuple[Path, Linked], programs: Tools) -> None:
    command = [programs.nm, "-D", "--defined-only", str(library[0] / LIBRARY)]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "entered" in names
    assert "kvm_set_memslot" not in names


def test_what_cannot_be_linked_is_told_with_its_name(tmp_path: Path, programs: Tools) -> None:
    units = compiled(tmp_path, programs, INSIDE)
    (tmp_path / "more.c").write_text("int kvm_set_memslot(int n) { return n; }\n")
    subprocess.run([*programs.cc, "-c", "-o", tmp_path / "more.o", tmp_path / "more.c"], check=True)
    twice = [*units, Unit(tmp_path / "more.c", tmp_path / "more.o", [], True)]
    with pytest.raises(Unbuildable, match="kvm_set_memslot"):
        linked(twice, tmp_path, Options(), programs)


def test_every_basic_block_has_a_site(tmp_path: Path, programs: Tools) -> None:
    options = Options(coverage=True)
    counter = "\nvoid __sanitizer_cov_trace_pc(void) { }\n"
    units = compiled(tmp_path, programs, INSIDE, "-fsanitize-coverage=trace-pc")
    (tmp_path / "counter.c").write_text(counter)
    subprocess.run([*programs.cc, "-fPIC", "-c", "-o", tmp_path / "counter.o", tmp_path / "counter.c"], check=True)
    units.append(Unit(tmp_path / "counter.c", tmp_path / "counter.o", [], False))
    linked(units, tmp_path, options, programs)
    n = write_sites(tmp_path / LIBRARY, tmp_path, programs)
    graph = Graph(tmp_path / "kernel.o", programs)
    calls = graph.named_by(["kvm_set_memslot", "deeper", "kvm_vcpu_does_other_things", "do_batch", "ms_create"])
    assert n == len(calls["__sanitizer_cov_trace_pc"]) >= 6
    raw = (tmp_path / "sites").read_bytes()
    sites = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]
    assert sites == sorted(set(sites))
    command = [programs.addr2line, "-f", "-e", str(tmp_path / LIBRARY), *(hex(site - 1) for site in sites)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "kvm_set_memslot" in said
    assert "inside.c:" in said


@pytest.mark.parametrize("name", ["kvm_arch_flush_remote_tlbs", "mmu_notifier_register", "debugfs_create_dir"])
def test_hooks_and_notifications_may_be_silent(name: str) -> None:
    assert may_be_silent(name)


@pytest.mark.parametrize("name", ["rb_insert_color", "kmalloc_array", "mutex_lock", "my_debugfs_thing", "kvm_arch"])
def test_what_does_something_may_not_be_silent(name: str) -> None:
    assert not may_be_silent(name)


def test_what_a_header_inlines_is_told_at_the_line_that_uses_it(tmp_path: Path) -> None:
    folder = tmp_path / "virt" / "kvm"
    folder.mkdir(parents=True)
    header, source, made = folder / "inside.h", folder / "main.c", tmp_path / "main.so"
    header.write_text(
        "int next(void);\n__attribute__((always_inline)) static inline int twice(void)\n{\n\treturn next() + 1;\n}\n"
    )
    source.write_text(
        '#include "inside.h"\nint used(void)\n{\n\treturn twice();\n}\nint next(void)\n{\n\treturn 2;\n}\n'
    )
    programs = tools()
    subprocess.run(
        [
            *programs.cc,
            "-O1",
            "-g",
            "-fno-inline-small-functions",
            "-fno-inline-functions-called-once",
            "-fPIC",
            "-shared",
            "-o",
            made,
            source,
        ],
        check=True,
    )
    listed = subprocess.run([programs.objdump, "-d", made], capture_output=True, text=True, check=True).stdout
    body = listed.partition("<used>:\n")[2].partition("\n\n")[0].splitlines()
    behind = next(i for i, line in enumerate(body) if "call" in line) + 1
    offset = int(body[behind].partition(":")[0], 16)
    assert SourceLines(made).of(offset) == "used, virt/kvm/main.c:4"
