# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl is read off a tree's own header, whatever its fields are called and wherever they lie."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from engines.tree.digests import Steps
from engines.tree.list_header import IOCTL, constants_of, list_structs
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


def test_what_was_read_off_the_header_is_told(tmp_path: Path) -> None:
    listed = read(tmp_path, RFC).list
    assert listed is not None
    assert listed.names == (IOCTL,)
    assert listed.says == (
        "KVM_SET_USER_MEMORY_REGION_LIST, as include/uapi/linux/kvm.h has it: struct kvm_userspace_memory_region_list"
        " (8 bytes: nent, flags); behind it, struct kvm_userspace_memory_region_entry (64 bytes each: slot, flags,"
        " guest_phys_addr, memory_size, userspace_addr, invalidate_slot, padding)",
    )


def test_what_is_assumed_or_not_known_is_told(tmp_path: Path) -> None:
    listed = read(tmp_path, POINTER).list
    assert listed is not None
    read_off, assumed, unknown, lacking = listed.says
    assert "struct kvm_batch (24 bytes: count as nent, flags); where regions points, struct kvm_userspace_" in read_off
    assert assumed.startswith(
        "Assumed, for the header does not say it: kvm_batch.regions leads to entries of struct"
        " kvm_userspace_memory_region; --layout"
    )
    assert unknown == "Sent as zeros, for nobody here knows what they mean: kvm_batch.reserved"
    assert lacking == "Has no place in these, whatever a case says of it: invalidate_slot, padding"


ODD = """
struct kvm_change {
#define KVM_CHANGE_ODD	(1 << 0), 0
	union {
		__u32 as_id, slot;
	};
	__u32 flags:8, more:24;
	__u64 guest_phys_addr, memory_size, userspace_addr;
	struct kvm_userspace_memory_region was;
	__u16 spare[2][3];
};
struct kvm_changes {
	__u32 nr, what;
	__DECLARE_FLEX_ARRAY(struct kvm_change, entries);
};
#define __DECLARE_FLEX_ARRAY(type, name) type name[]
#define KVM_SET_USER_MEMORY_REGION_LIST _IOW(KVMIO, 0xe1, struct kvm_changes)
"""


def test_members_are_told_apart_however_they_are_declared() -> None:
    structs = list_structs(ODD.replace("	struct kvm_userspace_memory_region was;\n", ""))
    assert structs is not None
    assert (structs.in_header, structs.follow) == ({"nent": "nr", "entries": "entries"}, True)
    assert list(structs.in_entry) == ["slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr"]
    assert structs.unknown == ("kvm_changes.what", "kvm_change.as_id", "kvm_change.more", "kvm_change.spare")


def test_an_entry_that_has_two_of_a_name_says_which_one_is_not_used() -> None:
    structs = list_structs(KVM_H + ODD)
    assert structs is not None
    assert structs.in_entry["slot"] == "was.slot"
    assert "kvm_change.slot" in structs.unknown


@pytest.mark.parametrize("declared", ["__u64 regions[]", "struct kvm_elsewhere regions[]", "__u32 regions[4]"])
def test_entries_that_are_plainly_something_else_are_to_be_described(declared: str) -> None:
    header = KVM_H + POINTER.replace("__u64 regions;", f"{declared};")
    with pytest.raises(Unbuildable, match=r"its entries are .*; --layout FILE can describe it"):
        list_structs(header)


def test_bytes_that_follow_are_entries() -> None:
    structs = list_structs(KVM_H + POINTER.replace("__u64 regions;", "__u8 regions[];"))
    assert structs is not None
    assert (structs.follow, structs.entry) == (True, "kvm_userspace_memory_region")
    assert structs.assumed


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("__u32 regions;", "entries: 4 bytes: expected 8"),
        ("__u64 regions; __u8 nr[3];", "nent: 3 bytes: expected 1, 2"),
    ],
)
def test_what_no_list_can_be_like_is_to_be_described(instead: str, said: str, tmp_path: Path) -> None:
    header = POINTER.replace("__u64 regions;", instead)
    if "nr" in instead:
        header = header.replace("count", "much")
    with pytest.raises(Unbuildable, match=f"{said}.*; --layout FILE can describe it"):
        read(tmp_path, header)


def test_entries_that_follow_within_the_padding_of_the_header_are_to_be_described(tmp_path: Path) -> None:
    header = (
        NESTED.replace("__u32 nr;", "__u64 x; __u32 nr;")
        .replace("__u32 zero;\n", "")
        .replace("struct kvm_change entries", "__u8 entries")
    )
    with pytest.raises(Unbuildable, match="entries: follow the header at byte 12: expected at header_size, byte 16"):
        read(tmp_path, header)


def test_an_ioctl_goes_by_every_name_of_its_number() -> None:
    header = RFC + "#define KVM_OTHER _IO(KVMIO, 0x4a)\n#define KVM_SAME _IOWR( KVMIO, 73, struct kvm_x)\n"
    assert constants_of(header, 0x4010AE49) == [IOCTL, "KVM_SAME"]


def test_entries_of_no_known_struct_are_to_be_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "KVM_H", KVM_H.replace("kvm_userspace_memory_region {", "kvm_area {"))
    with pytest.raises(Unbuildable, match=r"what its entries are is not said.*; --layout FILE can describe it"):
        read(tmp_path, POINTER)


LAYOUT: dict[str, int | list[int]] = {
    "header_size": 16,
    "entry_size": 32,
    "nent": [0, 8],
    "entries": [8, 8],
    "slot": [28, 4],
    "guest_phys_addr": [0, 8],
    "memory_size": [8, 8],
    "userspace_addr": [16, 8],
}
DESCRIBED = {"ioctl": "0x4010ae49", **LAYOUT}


def test_a_file_describes_another_layout(tmp_path: Path) -> None:
    path = tmp_path / "layout.json"
    path.write_text(json.dumps(DESCRIBED))
    listed = read(tmp_path, RFC, path).list
    assert listed == ListIoctl(0x4010AE49, LAYOUT, (IOCTL,), listed.says if listed else ())
    assert listed.says == (
        f"List ioctl 0x4010ae49, as {path} has it: a header (16 bytes: nent); where entries points, entries"
        " (32 bytes each: slot, guest_phys_addr, memory_size, userspace_addr); all else is zeros",
    )


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
        ("[]", "expected an object"),
        (json.dumps(DESCRIBED | {"length": [0, 4]}), "length: unknown"),
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
