# SPDX-License-Identifier: GPL-2.0-only
"""A Linux source tree: where it is, and which version it says it is. It is only ever read."""

import re
from dataclasses import dataclass
from pathlib import Path

from memslots.errors import BadInput

KVM_MAIN = "virt/kvm/kvm_main.c"
_NEEDED = ("Makefile", "Kconfig", KVM_MAIN, "arch/x86/kvm/Kconfig", "include/linux/kvm_host.h")


@dataclass(frozen=True, slots=True)
class Source:
    """`path` is absolute; `version` is what the Makefile says, as in 6.1.192."""

    path: Path
    version: str


def source_at(path: Path) -> Source:
    """The tree at `path`. Raises BadInput where there is none."""
    for name in _NEEDED:
        if not (path / name).is_file():
            raise BadInput(f"{path}: no Linux source tree: there is no {name}")
    return Source(path.resolve(), _version((path / "Makefile").read_text(errors="replace")))


def _version(makefile: str) -> str:
    words: dict[str, str] = dict(
        re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)", makefile, re.MULTILINE)
    )
    numbers = [words.get(name, "") for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    return ".".join(number for number in numbers if number) + words.get("EXTRAVERSION", "")
