# SPDX-License-Identifier: GPL-2.0-only
"""What this machine offers sameslots, a line each, and what to do about what is not there."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from engines.guests.initramfs import static_busybox
from engines.real.device import API_VERSION, KVM
from engines.real.host import this_host
from memslots.errors import Missing, on_one_line

PYTHONS = (3, 11), (3, 14)
SOURCES = Path("/usr/src")
_KVM_MAIN = Path("virt/kvm/kvm_main.c")
_PATIENCE = 10.0
"""Seconds that a program may take to say its version."""
_ONCE_MORE = "it is there, but slow: ask again when this machine is less busy"


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


def atheris(interpreter: str = sys.executable) -> Offer:
    """The coverage-guided fuzzer, which is an extra. It is imported where a broken one breaks nothing else."""
    purpose = "for fuzz --backend atheris, and half of mixed"
    code = "import atheris; from importlib.metadata import version; print(version('atheris'))"
    there, said = _said([interpreter, "-c", code])
    if there:
        return Offer("atheris", True, f"{said}, {purpose}")
    if there is None:
        return Offer("atheris", False, said, f"{purpose}: {_ONCE_MORE}")
    remedy = f"{purpose}: make install (x86-64 Linux alone has it); --backend random does without"
    return Offer("atheris", False, said, remedy)


def kvm(path: str = KVM) -> list[Offer]:
    """/dev/kvm, and what the kernel behind it has."""
    try:
        host = this_host(path)
    except Missing as missing:
        found, _, remedy = str(missing).rpartition(": ")
        unknown = f"not known without {path}"
        return [
            Offer("kvm", False, found, f"for engine kvm, calibrate and witness: {remedy}"),
            Offer("region2", False, unknown, "see kvm"),
            Offer("list", False, unknown, "see kvm"),
        ]
    machine = host.machine
    spaces = f"{machine.address_spaces} address space{'s' if machine.address_spaces > 1 else ''}"
    numbers = f"{spaces}, {machine.user_slots} slots, last gfn {machine.max_gfn:#x}"
    readonly = "READONLY" if machine.readonly else "no READONLY"
    return [
        Offer("kvm", True, f"{path} of Linux {host.release}: API {API_VERSION}, {numbers}, {readonly}"),
        Offer("region2", True, "KVM_SET_USER_MEMORY_REGION2: slots are read back without a change")
        if host.region2
        else Offer(
            "region2",
            False,
            "KVM_SET_USER_MEMORY_REGION2 says nothing of slots (before Linux 6.8, or without guest_memfd for such VMs)",
            "nothing: slots are read back without it, too",
        ),
        Offer("list", True, "KVM_SET_USER_MEMORY_REGION_LIST, for engine kvm-list")
        if host.region_list
        else Offer(
            "list",
            False,
            "ENOTTY to KVM_SET_USER_MEMORY_REGION_LIST",
            "for engine kvm-list: boot a patched kernel, sameslots guest",
        ),
    ]


def program(name: str, programs: Iterable[str], purpose: str, remedy: str) -> Offer:
    """The first of some programs that is on PATH and says its version."""
    found = f"none of {', '.join(programs)} on PATH"
    for each in programs:
        path = shutil.which(each)
        if path is None:
            continue
        there, said = _said([path, "--version"])
        if there:
            return Offer(name, True, f"{said}, for {purpose}")
        if there is None:
            return Offer(name, False, f"{path} {said}", f"for {purpose}: {_ONCE_MORE}")
        found = f"{path} does not say its version: {said}"
    return Offer(name, False, found, f"for {purpose}: {remedy}")


def _said(command: list[str]) -> tuple[bool | None, str]:
    """The first line that a command prints; or False and why there is none: the last line of its complaint, if any.

    None where it is not known, for the command takes too long.
    """
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"did not answer within {_PATIENCE:g} s"
    except OSError as error:
        return False, on_one_line(str(error))
    if ran.returncode == 0 and ran.stdout.strip():
        return True, on_one_line(ran.stdout.strip().splitlines()[0])
    complaint = ran.stderr.strip().splitlines()
    return False, on_one_line(complaint[-1]) if complaint else f"exit code {ran.returncode}"


def busybox() -> Offer:
    """The one program that a guest needs before it has the host's files."""
    try:
        return Offer("busybox", True, f"{static_busybox()}, for guests")
    except Missing as missing:
        found, _, remedy = str(missing).rpartition(": ")
    except OSError as error:
        found, remedy = f"{error.filename}: {error.strerror}", "apt-get install busybox-static"
    return Offer("busybox", False, found, f"for guests: {remedy}")


def trees(places: Iterable[Path], sources: Path = SOURCES) -> Offer:
    """Linux source trees and archives: at `places`, or in them, and where Debian's packages put them.

    A place without any is what is missing: whoever names one wants to know of it.
    """
    found = {place: _trees_at(place) for place in (*places, sources)}
    shown = dict.fromkeys(each for inside in found.values() for each in inside)
    empty = [place for place in found if not found[place]]
    if shown and set(empty) <= {sources}:
        return Offer("trees", True, ", ".join(shown))
    remedy = "apt-get install linux-source-6.1 and unpack it, or name a folder with --tree"
    return Offer("trees", False, f"no Linux source in {', '.join(map(str, empty))}", remedy)


def _trees_at(place: Path) -> list[str]:
    try:
        inside = [place, *sorted(place.iterdir())] if place.is_dir() else [place]
        trees = [str(each) for each in inside if (each / _KVM_MAIN).is_file()]
        return trees + [f"{each} (to be unpacked)" for each in inside if _archive(each)]
    except OSError:
        return []


def _archive(path: Path) -> bool:
    return path.name.startswith("linux-source-") and ".tar" in path.name and path.is_file()


EXAMINED: tuple[Callable[[], list[Offer]], ...] = (
    lambda: [python()],
    lambda: [atheris()],
    kvm,
    lambda: [program("compiler", ("gcc", "clang"), "what reproduce prints", "apt-get install gcc")],
    lambda: [program("qemu", ("qemu-system-x86_64",), "guests", "apt-get install qemu-system-x86"), busybox()],
)


def examined(places: Iterable[Path]) -> list[Offer]:
    """Everything, in the order in which it is shown."""
    return [*(offer for examine in EXAMINED for offer in examine()), trees(places)]
