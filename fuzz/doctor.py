# SPDX-License-Identifier: GPL-2.0-only
"""What this machine offers sameslots, a line each, and what to do about what is not there."""

import importlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from engines.real.device import KVM
from engines.real.host import this_host
from memslots.errors import Missing

PYTHONS = (3, 11), (3, 14)
SOURCES = Path("/usr/src")
_KVM_MAIN = Path("virt/kvm/kvm_main.c")
_PATIENCE = 10.0
"""Seconds that a program may take to say its version."""


class Offer(NamedTuple):
    """One thing: whether it is there, what it is or what is wrong with it, and what to do if it is not there."""

    name: str
    there: bool
    found: str
    remedy: str = ""


def python(found: tuple[int, int] = sys.version_info[:2]) -> Offer:
    """The Python that runs this."""
    least, most = PYTHONS
    text = f"{platform.python_implementation()} {platform.python_version()}"
    if least <= found <= most:
        return Offer("python", True, text)
    wanted = f"{least[0]}.{least[1]} to {most[0]}.{most[1]}"
    return Offer("python", False, text, f"make clean install PYTHON=python3.12 (tested: {wanted})")


def atheris() -> Offer:
    """The coverage-guided fuzzer, which is an extra."""
    try:
        importlib.import_module("atheris")
        return Offer("atheris", True, f"{version('atheris')}, for fuzz --backend atheris and mixed")
    except (ImportError, PackageNotFoundError) as error:
        remedy = "make install (x86-64 Linux alone has it); --backend random does without"
        return Offer("atheris", False, str(error), remedy)


def kvm(path: str = KVM) -> list[Offer]:
    """/dev/kvm, and what the kernel behind it has."""
    try:
        host = this_host(path)
    except Missing as missing:
        found, _, remedy = str(missing).rpartition(": ")
        unknown = f"not known without {path}"
        return [
            Offer("kvm", False, found, remedy),
            Offer("region2", False, unknown, "see kvm"),
            Offer("list", False, unknown, "see kvm"),
        ]
    machine = host.machine
    spaces = f"{machine.address_spaces} address space{'s' if machine.address_spaces > 1 else ''}"
    numbers = f"{spaces}, {machine.user_slots} slots, last gfn {machine.max_gfn:#x}"
    readonly = "READONLY" if machine.readonly else "no READONLY"
    return [
        Offer("kvm", True, f"{path} of Linux {host.release}: API 12, {numbers}, {readonly}"),
        Offer("region2", True, "KVM_SET_USER_MEMORY_REGION2: slots are read back without a change")
        if host.region2
        else Offer(
            "region2",
            False,
            "ENOTTY to KVM_SET_USER_MEMORY_REGION2 (Linux 6.8 and later have it)",
            "nothing: slots are read back without it, too",
        ),
        Offer("list", True, "KVM_SET_USER_MEMORY_REGION_LIST, for engine kvm-list")
        if host.region_list
        else Offer(
            "list", False, "ENOTTY to KVM_SET_USER_MEMORY_REGION_LIST", "boot a patched kernel: sameslots guest"
        ),
    ]


def program(name: str, programs: Iterable[str], purpose: str, remedy: str) -> Offer:
    """The first of some programs that is on PATH and says its version."""
    found = f"none of {', '.join(programs)} on PATH"
    for each in programs:
        path = shutil.which(each)
        if path is None:
            continue
        try:
            said = subprocess.run(
                [path, "--version"], capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            found = f"{path} does not say its version: {type(error).__name__}"
            continue
        first = (said.stdout or said.stderr).strip().partition("\n")[0]
        return Offer(name, True, f"{first}, for {purpose}")
    return Offer(name, False, found, remedy)


def trees(places: Iterable[Path], sources: Path = SOURCES) -> Offer:
    """Linux source trees and archives: at `places`, or in them, and where Debian's packages put them."""
    found: list[str] = []
    for place in (*places, sources):
        try:
            inside = [place, *sorted(place.iterdir())] if place.is_dir() else [place]
            found += [str(each) for each in inside if (each / _KVM_MAIN).is_file() or _archive(each)]
        except OSError:
            continue
    if found:
        return Offer("trees", True, ", ".join(dict.fromkeys(found)))
    return Offer("trees", False, f"no Linux source in {sources}", "apt install linux-source-6.1, or name a folder")


def _archive(path: Path) -> bool:
    return path.name.startswith("linux-source-") and ".tar" in path.name and path.is_file()


EXAMINED: tuple[Callable[[], list[Offer]], ...] = (
    lambda: [python()],
    lambda: [atheris()],
    kvm,
    lambda: [program("compiler", ("gcc", "clang"), "what reproduce prints", "apt install gcc")],
    lambda: [program("qemu", ("qemu-system-x86_64",), "guests", "apt install qemu-system-x86")],
)


def examined(places: Iterable[Path]) -> list[Offer]:
    """Everything, in the order in which it is shown."""
    return [*(offer for examine in EXAMINED for offer in examine()), trees(places)]
