# SPDX-License-Identifier: GPL-2.0-only
"""The patches of examples/: what they add is the RFC's interface, they quote little of Linux, and they apply to it.

What they do is tried elsewhere: by `make kernel`, and by the engine that compiles a tree.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engines.real.host import SET_USER_MEMORY_REGION_LIST
from memslots.uapi import ENTRY_BYTES

HOUSE = Path(__file__).parents[2]
PATCHES = {"naive": HOUSE / "examples/naive.patch", "atomic": HOUSE / "examples/atomic.patch"}
TREES = "SAMESLOTS_TREES"
"""A folder of unpacked trees: set by `make test-tree` and `make kernel`."""
UAPI = "include/uapi/linux/kvm.h"
OFFSETS = {
    "slot": 0,
    "flags": 4,
    "guest_phys_addr": 8,
    "memory_size": 16,
    "userspace_addr": 24,
    "invalidate_slot": 32,
    "padding": 33,
}
Hunk = tuple[str, ...]


@pytest.fixture(params=PATCHES)
def patch(request: pytest.FixtureRequest) -> Path:
    return PATCHES[str(request.param)]


def hunks(patch: Path) -> dict[str, list[Hunk]]:
    """By file, each with its @@ line first."""
    found: dict[str, list[Hunk]] = {}
    for part in re.split(r"^--- a/", patch.read_text(), flags=re.MULTILINE)[1:]:
        name, rest = part.split("\n", 1)
        found[name] = [tuple(hunk.splitlines()) for hunk in re.split(r"^(?=@@ )", rest, flags=re.MULTILINE)[1:]]
    return found


def added(patch: Path, name: str) -> str:
    return "\n".join(line[1:] for hunk in hunks(patch)[name] for line in hunk if line.startswith("+"))


def test_what_user_space_includes_is_the_interface_of_the_rfc(patch: Path, tmp_path: Path) -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("compiles C: needs gcc")
    entry, header = "struct kvm_userspace_memory_region_entry", "struct kvm_userspace_memory_region_list"
    numbers = [
        "KVM_SET_USER_MEMORY_REGION_LIST",
        f"sizeof({entry})",
        f"sizeof({header})",
        *(f"offsetof({header}, {field})" for field in ("nent", "flags", "entries")),
        *(f"offsetof({entry}, {field})" for field in OFFSETS),
    ]
    printed = "".join(f'printf("%lu\\n", (unsigned long){number});' for number in numbers)
    source = tmp_path / "uapi.c"
    source.write_text(
        "#include <linux/ioctl.h>\n#include <linux/types.h>\n#include <stddef.h>\n#include <stdio.h>\n"
        f"#define KVMIO 0xAE\n{added(patch, UAPI)}\nint main(void) {{ {printed} }}\n"
    )
    subprocess.run([gcc, "-o", tmp_path / "uapi", source], check=True)
    said = subprocess.run([tmp_path / "uapi"], capture_output=True, text=True, check=True).stdout.split()
    assert list(map(int, said)) == [SET_USER_MEMORY_REGION_LIST, ENTRY_BYTES, 8, 0, 4, 8, *OFFSETS.values()]


def test_a_patch_quotes_no_more_of_linux_than_it_must(patch: Path) -> None:
    """No line but those that it takes away, and the ones right beside a change."""
    quoted = removed = 0
    for file in hunks(patch).values():
        for _, *lines in file:
            for i, line in enumerate(lines):
                beside = "".join(each[:1] for each in lines[max(i - 1, 0) : i + 2])
                assert line[0] != " " or {"+", "-"} & set(beside), f"{patch.name}: quoted for nothing: {line}"
                quoted += line[0] == " "
                removed += line[0] == "-"
    assert quoted <= 40
    assert removed <= 5


def test_a_hunk_has_as_many_lines_as_it_says(patch: Path) -> None:
    for file in hunks(patch).values():
        for head, *lines in file:
            counts = re.fullmatch(r"@@ -\d+,(\d+) \+\d+,(\d+) @@", head)
            assert counts is not None, head
            assert sum(line[0] in " -" for line in lines) == int(counts[1])
            assert sum(line[0] in " +" for line in lines) == int(counts[2])


@pytest.fixture
def linux() -> Path:
    """The tree that the patches are made for, or a skip."""
    for name in ("linux-source-6.1", "linux-6.1"):
        tree = Path(os.environ.get(TREES, "/nowhere")) / name
        if (tree / UAPI).is_file():
            return tree.resolve()
    pytest.skip(f"needs the source of Linux 6.1: make test-tree, or {TREES}=folder with linux-6.1 in it")


def test_a_patch_applies_without_fuzz(patch: Path, linux: Path, tmp_path: Path) -> None:
    if shutil.which("patch") is None:
        pytest.skip("needs patch")
    for name in hunks(patch):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copyfile(linux / name, tmp_path / name)
    done = subprocess.run(
        ["patch", "-p1", "--fuzz=0", "-i", patch], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "offset" not in done.stdout
    for name in hunks(patch):
        assert "KVM_SET_USER_MEMORY_REGION_LIST" in (tmp_path / name).read_text()


def test_checkpatch_has_neither_errors_nor_warnings(patch: Path, linux: Path) -> None:
    if shutil.which("perl") is None:
        pytest.skip("checkpatch.pl needs perl")
    # Who sends a patch signs it.
    checkpatch = ("perl", str(linux / "scripts/checkpatch.pl"), f"--root={linux}", "--no-signoff", str(patch))
    said = subprocess.run(checkpatch, capture_output=True, text=True, check=False).stdout
    assert "total: 0 errors, 0 warnings" in said, said
