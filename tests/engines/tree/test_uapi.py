# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl is read off a tree's own header, whatever its fields are called and wherever they lie."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from engines.tree.digests import Steps
from engines.tree.source import source_at
from engines.tree.tools import Unbuildable, tools
from engines.tree.uapi import ListIoctl, Uapi, read_uapi
from memslots.errors import BadInput
from tests.engines.tree.test_source import plain_tree

KVM_H = """
typedef unsigned char __u8; typedef unsigned int __u32; typedef unsigned long long __u64;
#define KVMIO 0xAE
#define _IOW(type, nr, arg) (1U << 30 | (unsigned int)sizeof(arg) << 16 | (type) << 8 | (nr))
struct kvm_userspace_memory_region {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 memory_size; /* bytes */
	__u64 userspace_addr;
};
"""
KVM_HOST_H = """
#include "../uapi/linux/kvm.h"
#define offsetof(type, member) __builtin_offsetof(type, member)
#define PAGE_SIZE 4096UL
#define KVM_USER_MEM_SLOTS 32764
#define KVM_ADDRESS_SPACE_NUM 2
#define __KVM_HAVE_READONLY_MEM
"""
RFC = """
struct kvm_userspace_memory_region_entry {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 memory_size;
	__u64 userspace_addr;
	__u8 invalidate_slot;
	__u8 padding[31];
};
struct kvm_userspace_memory_region_list {
	__u32 nent;
	__u32 flags;
	struct kvm_userspace_memory_region_entry entries[0];
};
#define KVM_SET_USER_MEMORY_REGION_LIST _IOW(KVMIO, 0x49, \\
					struct kvm_userspace_memory_region_list)
"""
POINTER = """
/* struct kvm_batch { __u8 of_no_use; }; */
struct kvm_batch {
	__u64 flags;
	__u64 regions;
	__u32 count; // of regions
	__u32 reserved;
};
#define KVM_SET_USER_MEMORY_REGION_LIST _IOW(KVMIO, 0xe0, struct kvm_batch)
"""
NESTED = """
struct kvm_change {
	__u8 invalidate_slot;
	__u8 pad[7];
	struct kvm_userspace_memory_region region;
};
struct kvm_changes {
	__u32 nr;
	__u32 zero;
	struct kvm_change entries[];
};
#define KVM_SET_USER_MEMORY_REGION_LIST _IOW(KVMIO, 0xe1, struct kvm_changes)
"""


def read(folder: Path, header: str = "", described: Path | None = None) -> Uapi:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc: apt-get install gcc binutils")
    tree = plain_tree(folder / "tree")
    (tree / "include/uapi/linux").mkdir(parents=True)
    (tree / "include/uapi/linux/kvm.h").write_text(KVM_H + header)
    (tree / "include/linux/kvm_host.h").write_text(KVM_HOST_H)
    (folder / "work").mkdir()
    return read_again(folder, Steps(folder / "work"), described)


def read_again(folder: Path, steps: Steps, described: Path | None) -> Uapi:
    tree = folder / "tree"
    return read_uapi(source_at(tree), folder / "work", [f"-I{tree}/include"], tools(), steps, described)


def test_what_a_vm_is_like(tmp_path: Path) -> None:
    machine = read(tmp_path).machine
    assert machine == {"address_spaces": 2, "page_size": 4096, "user_slots": 32764, "readonly": 1}


def test_a_tree_without_a_list_ioctl_has_none(tmp_path: Path) -> None:
    assert read(tmp_path).list is None


def test_the_layout_of_the_series(tmp_path: Path) -> None:
    listed = read(tmp_path, RFC).list
    assert listed is not None
    layout = listed.layout
    assert listed.ioctl == 0x4008AE49
    assert (layout["header_size"], layout["entry_size"]) == (8, 64)
    assert (layout["nent"], layout["header_flags"], layout["entries"]) == ([0, 4], [4, 4], [8, 0])
    assert (layout["userspace_addr"], layout["invalidate_slot"], layout["padding"]) == ([24, 8], [32, 1], [33, 31])


def test_a_pointer_to_plain_regions(tmp_path: Path) -> None:
    listed = read(tmp_path, POINTER).list
    assert listed is not None
    layout = listed.layout
    assert listed.ioctl == 0x4018AEE0
    assert (layout["header_size"], layout["entry_size"]) == (24, 32)
    assert (layout["nent"], layout["header_flags"], layout["entries"]) == ([16, 4], [0, 8], [8, 8])
    assert "invalidate_slot" not in layout


def test_a_region_within_an_entry(tmp_path: Path) -> None:
    listed = read(tmp_path, NESTED).list
    assert listed is not None
    layout = listed.layout
    assert layout["entry_size"] == 40
    assert (layout["slot"], layout["memory_size"]) == ([8, 4], [24, 8])
    assert (layout["invalidate_slot"], layout["padding"]) == ([0, 1], [1, 7])


def test_a_list_whose_length_has_no_known_name_is_to_be_described(tmp_path: Path) -> None:
    with pytest.raises(Unbuildable, match=r"has no nent by any name known; --layout FILE can describe it"):
        read(tmp_path, NESTED.replace("__u32 nr;", "__u32 how_often;"))


def test_an_ioctl_that_takes_no_struct_is_to_be_described(tmp_path: Path) -> None:
    with pytest.raises(Unbuildable, match="KVM_SET_USER_MEMORY_REGION_LIST: expected _IOW"):
        read(tmp_path, "#define KVM_SET_USER_MEMORY_REGION_LIST 0x4008ae49\n")


def test_entries_of_no_known_struct_are_to_be_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "KVM_H", KVM_H.replace("kvm_userspace_memory_region {", "kvm_area {"))
    with pytest.raises(Unbuildable, match=r"what its entries are is not said.*; --layout FILE can describe it"):
        read(tmp_path, POINTER)


LAYOUT: dict[str, int | list[int]] = {"header_size": 16, "entry_size": 32, "nent": [0, 8], "slot": [28, 4]}
DESCRIBED = {"ioctl": "0x4018aee0", **LAYOUT}


def test_a_file_describes_another_layout(tmp_path: Path) -> None:
    path = tmp_path / "layout.json"
    path.write_text(json.dumps(DESCRIBED))
    assert read(tmp_path, RFC, path).list == ListIoctl(0x4018AEE0, LAYOUT)


def test_what_a_library_is_made_of_includes_the_description(tmp_path: Path) -> None:
    """Or a build would say that nothing has changed, and go on with the layout of before."""
    path = tmp_path / "layout.json"
    read(tmp_path)
    contents: list[str] = []
    for words in (None, DESCRIBED, DESCRIBED | {"entry_size": 40}, DESCRIBED, None):
        path.write_text(json.dumps(words))
        steps = Steps(tmp_path / "work")
        read_again(tmp_path, steps, path if words else None)
        contents.append(steps.all())
    assert contents == [*contents[:3], contents[1], contents[0]]
    assert len(set(contents)) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected {"),
        ("{", "expected {"),
        (json.dumps(DESCRIBED | {"ioctl": "x"}), "expected {"),
        (json.dumps(DESCRIBED | {"nent": 4}), "expected {"),
        (json.dumps(DESCRIBED | {"length": [0, 4]}), "unknown 'length'"),
    ],
)
def test_a_bad_description_is_told_on_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "layout.json"
    path.write_text(text)
    with pytest.raises(BadInput) as failure:
        read(tmp_path, "", path)
    assert str(failure.value).startswith(str(path))
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_description_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a description of a list ioctl"):
        read(tmp_path, "", tmp_path / "nothing")
