# SPDX-License-Identifier: GPL-2.0-only
"""Builds of a kernel tree that is none: the Python side is tested for real where there is a compiler and no tree."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from engines.tree.build import RECORD
from engines.tree.library import ABI
from engines.tree.link import LIBRARY
from engines.tree.sites import FILE as SITES
from engines.tree.sources import FILE as SOURCES

SOURCE = Path(__file__).with_suffix(".c")
SHIM = Path(__file__).parent.parent / "engines" / "tree" / "shim"
LAYOUT: dict[str, int | list[int]] = {
    "header_size": 8,
    "entry_size": 64,
    "nent": [0, 4],
    "header_flags": [4, 4],
    "entries": [8, 0],
    "slot": [0, 4],
    "flags": [4, 4],
    "guest_phys_addr": [8, 8],
    "memory_size": [16, 8],
    "userspace_addr": [24, 8],
    "invalidate_slot": [32, 1],
    "padding": [33, 31],
}
ODDITIES = (
    *("warns", "bugs", "oopses", "waits", "loops", "unknown", "dies", "stays", "leaks", "frees twice", "overruns"),
    *("keeps lock", "in place"),
)


def odd(name: str) -> str:
    """The userspace_addr that makes the fake do this when a slot is created."""
    return hex(0xDEAD0000 + 0x1000 * (ODDITIES.index(name) + 1))


def fake_build(folder: Path, *defines: str) -> Path:
    """A build made of `fake_tree.c`, in a folder of its own below `folder`."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler: apt-get install gcc")
    build = folder / "-".join(("fake", *defines))
    if (build / RECORD).exists():
        return build
    build.mkdir(parents=True)
    options = ["-shared", "-fPIC", "-O1", f"-I{SHIM}", *(f"-D{name}" for name in defines)]
    subprocess.run([compiler, *options, str(SOURCE), "-o", str(build / LIBRARY)], check=True)
    facts = {
        "abi": ABI,
        "tree": "linux-fake",
        "release": "6.1.0-fake",
        "content": "-".join(("fake", *defines)),
        "options": ["coverage"],
        "machine": {"address_spaces": 2, "page_size": 4096, "user_slots": 32764, "readonly": 1},
        "list": None if "NO_LIST" in defines else {"ioctl": 0x4008AE49, "layout": LAYOUT},
        "environment": {},
        "returns_zero": ["kvm_flush_remote_tlbs"],
        "checked": {"strict": True, "difference": None},
    }
    (build / SOURCES).write_text(json.dumps({"content": facts["content"], "read": {}}))
    # As many as there are counters; they are nowhere in the library.
    (build / SITES).write_bytes(bytes(4 * 64))
    (build / RECORD).write_text(json.dumps(facts))
    return build
