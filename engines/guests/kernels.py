# SPDX-License-Identifier: GPL-2.0-only
"""Which kernel is meant, and where its modules lie: a bzImage, a folder, or a Debian package."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from memslots.errors import BadInput, Missing

_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_IN_FOLDER = ("arch/x86/boot/bzImage", "boot/vmlinuz-*", "vmlinuz-*", "bzImage")
_PACKAGE = re.compile(r"linux-image-[a-z0-9.+~-]+")


@dataclass(frozen=True, slots=True)
class KernelFiles:
    """A bzImage, and the folder below which its modules lie: None if it has none."""

    image: Path
    modules: Path | None


def kernel_named(name: str) -> KernelFiles:
    """The kernel that `name` means. Raises Missing if it is not here, BadInput if it is no kernel."""
    path = Path(name)
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        if path.suffix == ".deb":
            return _in_folder(unpacked(path))
        return KernelFiles(_checked(path), None)
    if _PACKAGE.fullmatch(name):
        found = sorted(each for folder in (Path(), cache()) for each in folder.glob(f"{name}_*.deb"))
        if found:
            return _in_folder(unpacked(found[-1]))
        raise Missing(f"{name}: not downloaded: apt-get download {name}, here or in {cache()}")
    raise Missing(f"{name}: not there: expected a bzImage, a folder with a kernel in it, or a Debian package of one")


def cache() -> Path:
    """The folder where packages are unpacked."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sameslots" / "guests"


def unpacked(package: Path) -> Path:
    """The folder with what is in a Debian package, unpacked once for each content. Raises BadInput, Missing."""
    with package.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    folder = cache() / digest[:16]
    if folder.is_dir():
        return folder
    if shutil.which("dpkg-deb") is None:
        raise Missing(f"{package}: dpkg-deb is not installed: unpack it elsewhere, and give the folder")
    try:
        cache().mkdir(parents=True, exist_ok=True)
        # Complete or not there: whoever is second finds the first one's.
        with tempfile.TemporaryDirectory(dir=cache(), prefix="unpacking-") as partial:
            done = subprocess.run(
                ["dpkg-deb", "--extract", str(package), f"{partial}/tree"], capture_output=True, text=True, check=False
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
                raise BadInput(f"{package}: dpkg-deb cannot unpack it: {last}")
            if not folder.is_dir():
                Path(partial, "tree").rename(folder)
    except OSError as error:
        raise BadInput(f"{cache()}: {error.strerror}: expected a folder to unpack kernels in") from None
    return folder


def _in_folder(folder: Path) -> KernelFiles:
    images = list(_images(folder))
    if not images:
        raise BadInput(f"{folder}: no kernel in it: expected one of {', '.join(_IN_FOLDER)}")
    if len(images) > 1:
        raise BadInput(f"{folder}: several kernels in it, expected one: {', '.join(each.name for each in images)}")
    version = images[0].name.removeprefix("vmlinuz-")
    of_version = [each for each in (folder / "lib/modules" / version, folder / "modules" / version) if each.is_dir()]
    return KernelFiles(_checked(images[0]), of_version[0] if of_version else folder)


def _images(folder: Path) -> Iterator[Path]:
    for pattern in _IN_FOLDER:
        found = sorted(folder.glob(pattern))
        yield from found
        if found:
            return


def _checked(image: Path) -> Path:
    try:
        with image.open("rb") as stream:
            start = stream.read(_MAGIC_AT + len(_MAGIC))
    except OSError as error:
        raise BadInput(f"{image}: {error.strerror}: expected a kernel") from None
    if start[_MAGIC_AT:] != _MAGIC:
        raise BadInput(f"{image}: no bzImage: expected a kernel for x86 (arch/x86/boot/bzImage)")
    return image.resolve()
