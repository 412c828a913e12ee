# SPDX-License-Identifier: GPL-2.0-only
"""A library of Debian's kernel sources: what it says, when it is made again, and how a broken tree is told."""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from errno import EINVAL, ENOTTY
from pathlib import Path

import pytest

from engines.simulated.engines import Serial
from engines.tree.build import Build, built
from engines.tree.built import Built, built_in
from engines.tree.engine import TreeSerial, engine_of
from engines.tree.flags import Options
from engines.tree.since_build import changes_since
from engines.tree.source import KVM_MAIN
from engines.tree.tools import Unbuildable, tools
from fuzz.model_check import checked
from fuzz.rebuilt import rebuilt
from memslots.case import Case
from memslots.errors import BadInput, Unfit
from memslots.region import Region
from memslots.textreader import parse_case
from tests.engines.tree.conftest import Copy, tree_of

REQUESTS = 5_000
CREATE = ("slots 1", "apply slot=0 size=0x1000")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the copy's library goes."""
    return tmp_path_factory.mktemp("build")


def build(copy: Copy, folder: Path, changed: Callable[[str], str] = str) -> Build:
    copy.change(changed)
    return built(copy.path, folder, Options())


def objects(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "work").glob("*.o")}


@pytest.mark.parametrize("options", [Options(), Options(asan=True, coverage=True), Options(x86=True)], ids=str)
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_a_stock_tree_agrees_with_the_model(series: str, options: Options, tmp_path: Path) -> None:
    made = built(tree_of(series), tmp_path, options)
    assert str(made.record["release"]).startswith(f"{series}.")
    assert not made.unresolved
    assert not made.unmet
    found = checked(built_in(tmp_path), seconds=None, requests=REQUESTS, seed=2)
    assert found.difference is None, found.difference.words()


@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_arrays_of_x86_as_long_as_a_slot_object_are_none(series: str, tmp_path: Path) -> None:
    """And are not lost where they stay: rmaps are of 8 bytes a page, page tracks of 2."""
    built(tree_of(series), tmp_path, Options(x86=True))
    build = built_in(tmp_path)
    engines = (Serial(), TreeSerial("tree-serial", build))
    for npages in range(1, 200):
        case = Case((Region(0, 0, 0, npages * build.vm.page_size, 1 << 32),), machine=build.vm)
        model, tree = (engine.apply(case, record=True) for engine in engines)
        assert (tree.leaked, tree.active) == (0, model.active), npages
        assert [event.kind for event in tree.events or () if event.detail == "a slot"] == ["alloc"], npages


def test_an_ioctl_that_nobody_knows_is_answered_as_such(copy: Copy, tmp_path: Path) -> None:
    """Not as one that has done its work."""
    copy.change(lambda text: text)
    layout = {"ioctl": "0x4008aeff", "header_size": 8, "entry_size": 64, "nent": [0, 4], "entries": [8, 0]}
    places = {"slot": [0, 4], "guest_phys_addr": [8, 8], "memory_size": [16, 8], "userspace_addr": [24, 8]}
    (tmp_path / "layout.json").write_text(json.dumps(layout | places))
    built(copy.path, tmp_path / "build", Options(), tmp_path / "layout.json")
    build = built_in(tmp_path / "build")
    case = Case((Region(0, 0, 0, build.vm.page_size, 1 << 32),), machine=build.vm)
    assert engine_of("tree:x", build).apply(case).errno == ENOTTY


def test_an_open_bracket_is_thought_of_where_only_the_shim_has_errors(copy: Copy, tmp_path: Path) -> None:
    copy.change(lambda text: text.rstrip().removesuffix("}"))
    with pytest.raises(Unbuildable, match=r"is a bracket open where kvm_main\.c ends\?"):
        built(copy.path, tmp_path / "build", Options())
    copy.change(lambda text: text.replace("kvm_swap_active_memslots(kvm, as_id);", "kvm_swap_active_memslots(kvm", 1))
    with pytest.raises(Unbuildable, match=r"kvm_main\.c:\d+:\d+: error: (?!.*bracket)"):
        built(copy.path, tmp_path / "build", Options())


def test_x86_refuses_what_lies_above_its_last_gfn(tmp_path: Path) -> None:
    built(tree_of("6.1"), tmp_path, Options(x86=True))
    build = built_in(tmp_path)
    top = Region(0, 0, (build.most_gfn + 1) * build.vm.page_size, build.vm.page_size, 1 << 32)
    tree = TreeSerial("tree-serial", build)
    assert tree.apply(Case((top,), machine=build.vm)).errno == EINVAL
    with pytest.raises(Unfit, match="x86's own hook takes no gfn above 0xffffffffff"):
        tree.apply(Case((top,), machine=replace(build.vm, max_gfn=build.most_gfn + 1)))


def test_what_has_not_changed_is_not_made_again(copy: Copy, folder: Path) -> None:
    build(copy, folder)
    before = objects(folder)
    assert build(copy, folder).fresh
    assert objects(folder) == before


def test_a_tree_that_cannot_be_linked_leaves_the_build_that_was(copy: Copy, folder: Path) -> None:
    before = build(copy, folder).record
    with pytest.raises(Unbuildable, match="ld -r"):
        build(copy, folder, lambda text: text + '\nasm(".globl rb_insert_color\\nrb_insert_color: nop");\n')
    assert built_in(folder).content == before["content"]


@pytest.mark.parametrize("what", ["the builder", "binutils"])
def test_what_another_builder_or_linker_has_made_is_linked_again(
    what: str, copy: Copy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(copy, folder)
    before = objects(folder)
    module = sys.modules[built.__module__]
    if what == "binutils":
        monkeypatch.setattr(module, "tools", lambda: replace(tools(), binutils="GNU ld 9.99"))
    else:
        monkeypatch.setattr(module, "builder_digest", lambda: "another")
    made = build(copy, folder)
    assert not made.fresh
    assert made.record["checked"] is None
    assert {name for name, when in objects(folder).items() if before[name] != when} == {"whole.o", "kernel.o"}
    assert build(copy, folder).fresh


def test_a_tree_that_has_been_edited_is_told_from_what_was_built(copy: Copy, folder: Path) -> None:
    build(copy, folder)
    known = built_in(folder)
    begin = time.monotonic()
    assert changes_since(known).says == ""
    assert time.monotonic() - begin < 1
    copy.change(lambda text: f"{text}\n#error here\n")
    assert changes_since(known).files == {KVM_MAIN}
    with pytest.raises(Unbuildable):
        built(copy.path, folder, Options())
    assert changes_since(built_in(folder)).files == {KVM_MAIN}, "the library of before is still there"
    copy.change(str)
    assert changes_since(built_in(folder)).says == ""


def test_after_an_edit_only_what_reads_the_file_is_compiled(copy: Copy, folder: Path) -> None:
    build(copy, folder)
    before = objects(folder)
    made = build(copy, folder, lambda text: text.replace("KVM_MEM_MAX_NR_PAGES", "(1UL << 20)", 1))
    assert not made.fresh
    assert made.record["checked"] is None
    changed = {name for name, when in objects(folder).items() if before[name] != when}
    assert changed == {"inside.o", "whole.o", "kernel.o"}


def test_a_build_is_made_again_with_what_describes_its_list(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.change(str)
    layout, folder = tmp_path / "layout.json", tmp_path / "build"
    described: dict[str, object] = {"ioctl": "0x4010aee0", "header_size": 16, "entry_size": 32, "nent": [0, 8]}
    described |= {"slot": [28, 4], "guest_phys_addr": [0, 8], "memory_size": [8, 8], "userspace_addr": [16, 8]}
    layout.write_text(json.dumps(described))
    made = built(Path(os.path.relpath(copy.path)), folder, Options(), layout)
    assert made.list_ioctl == 0x4010AEE0
    assert made.record["tree"] == str(copy.path), "or it would not be found from elsewhere"
    layout.write_text(json.dumps(described | {"ioctl": "0x4010aee1"}))
    assert rebuilt(folder).list_ioctl == 0x4010AEE1
    monkeypatch.chdir(tmp_path)
    assert rebuilt(copy.path, layout).list_ioctl == 0x4010AEE1
    layout.unlink()
    with pytest.raises(BadInput, match=r"layout\.json: No such file"):
        rebuilt(folder)


def test_a_tree_is_only_read(copy: Copy, folder: Path) -> None:
    copy.change(str)
    before = {path: path.stat().st_mtime_ns for path in copy.path.rglob("*") if not path.is_symlink()}
    built(copy.path, folder, Options())
    assert {path: path.stat().st_mtime_ns for path in copy.path.rglob("*") if not path.is_symlink()} == before


def test_a_compiler_error_is_told_with_file_and_line(copy: Copy, folder: Path) -> None:
    line = copy.original[: copy.original.index("kvm->nr_memslot_pages -=")].count("\n") + 1
    with pytest.raises(Unbuildable) as failure:
        build(copy, folder, lambda text: text.replace("kvm->nr_memslot_pages -=", "kvm->nr_memslot_pgaes -="))
    assert any(said.startswith(f"{copy.path}/virt/kvm/kvm_main.c:{line}:") for said in failure.value.lines)
    assert "nr_memslot_pgaes" in str(failure.value)
    assert not build(copy, folder).fresh


def test_a_function_that_nobody_declares_is_an_error(copy: Copy, folder: Path) -> None:
    with pytest.raises(Unbuildable, match="kvm_never_declared"):
        build(copy, folder, lambda text: text.replace("synchronize_srcu_expedited(", "kvm_never_declared("))


def test_a_helper_new_to_the_shims_is_named_with_its_caller_and_line(copy: Copy, folder: Path) -> None:
    def changed(text: str) -> str:
        return text.replace("static void kvm_swap_active", "int new_helper(int);\nstatic void kvm_swap_active").replace(
            "synchronize_srcu_expedited(&kvm->srcu);", "synchronize_srcu_expedited(&kvm->srcu); new_helper(1);"
        )

    made = build(copy, folder, changed)
    line = changed(copy.original)[: changed(copy.original).index("new_helper(1)")].count("\n") + 1
    assert made.unresolved == {"new_helper": [f"kvm_swap_active_memslots (virt/kvm/kvm_main.c:{line})"]}


def test_a_case_that_gets_to_such_a_helper_ends_with_its_name(copy: Copy, folder: Path) -> None:
    test_a_helper_new_to_the_shims_is_named_with_its_caller_and_line(copy, folder)
    outcome = TreeSerial("tree-serial", built_in(folder)).apply(parse_case(CREATE).case)
    assert outcome.ended == "crashed"
    assert any("new_helper" in event.detail for event in outcome.mishaps or ())


def test_a_list_ioctl_is_read_off_the_trees_header(tmp_path: Path) -> None:
    for name in ("linux-6.1-naive", "linux-6.1-atomic"):
        tree = Path(os.environ.get("SAMESLOTS_TREES", "")) / name
        if not tree.is_dir():
            pytest.skip(f"there is no {name}: a tree with the patch in examples/")
        made = built(tree, tmp_path / name, Options())
        facts: Built = built_in(tmp_path / name)
        assert made.list_ioctl == facts.list_ioctl == 0x4008AE49
        assert len(made.list_says) == 2
        assert made.list_says[1] == "Called for it: kvm_vm_ioctl_set_memory_region_list"


def test_what_a_list_ioctl_reaches_is_found_whatever_its_handler_is_called(tmp_path: Path) -> None:
    naive = Path(os.environ.get("SAMESLOTS_TREES", "")) / "linux-6.1-naive"
    if not naive.is_dir():
        pytest.skip("there is no linux-6.1-naive: a tree with the patch in examples/")
    copy = Copy(naive, tmp_path / "tree")

    def changed(text: str) -> str:
        text = text.replace("kvm_vm_ioctl_set_memory_region_list", "do_batch")
        head = re.search(r"static \w+ do_batch\([^{;]*\n\{\n", text)
        assert head is not None
        inside = f"{head[0]}\tkvm_arch_brand_new();\n\tother_new();\n"
        declared = "void kvm_arch_brand_new(void);\nvoid other_new(void);\n"
        return text.replace(head[0], declared + inside)

    copy.change(changed)
    made = built(copy.path, tmp_path / "build", Options())
    assert made.list_says[1] == "Called for it: do_batch"
    assert "do_batch" in made.functions
    assert "kvm_arch_brand_new" in made.returns_zero
    assert "other_new" in made.unresolved
