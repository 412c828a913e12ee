# SPDX-License-Identifier: GPL-2.0-only
"""Builds of a kernel tree that is none: the Python side is tested for real where there is a compiler and no tree."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from engines.tree.built import FACTS, LIBRARY

SOURCE = Path(__file__).with_suffix(".c")
SHIM = Path(__file__).parent.parent / "engines" / "tree" / "shim"
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
    if (build / FACTS).exists():
        return build
    build.mkdir(parents=True)
    options = ["-shared", "-fPIC", "-O1", f"-I{SHIM}", *(f"-D{name}" for name in defines)]
    subprocess.run([compiler, *options, str(SOURCE), "-o", str(build / LIBRARY)], check=True)
    facts = {
        "tree": "linux-fake",
        "version": "6.1.0-fake",
        "content": "-".join(("fake", *defines)),
        "options": {"asan": False, "coverage": True, "x86": False},
        "silent": {"kvm_flush_remote_tlbs": ["kvm_set_memslot, virt/kvm/kvm_main.c:1"]},
        "checked": {"strict": True},
    }
    (build / FACTS).write_text(json.dumps(facts))
    return build
