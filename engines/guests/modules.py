# SPDX-License-Identifier: GPL-2.0-only
"""The modules that a guest needs, as files of the kernel have them, each behind those that it depends on.

What a module depends on stands in the module itself: neither depmod nor modprobe takes part.
"""

import gzip
import lzma
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from memslots.errors import BadInput

FOR_EVERY_GUEST = ("9p", "9pnet_virtio", "virtio_pci", "virtio_console")
"""The files of this machine, and the port that requests and answers go through."""
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def modules_in_order(folder: Path | None, wanted: Iterable[str]) -> dict[str, bytes]:
    """Each module of `wanted` that lies below `folder`, and what it needs, by name in the order of loading.

    One that is not there is taken to be built in. Raises BadInput for a module that cannot be read.
    """
    files = {} if folder is None else {_name(path): path for path in folder.rglob("*.ko*")}
    found: dict[str, bytes] = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun or name not in files:
            return
        begun.add(name)
        content = _content(files[name])
        for needed in _needed_by(content):
            visit(needed)
        found[name] = content

    for name in wanted:
        visit(name.replace("-", "_"))
    return found


def unknown_module(folder: Path | None, wanted: Iterable[str]) -> str | None:
    """The first of `wanted` that neither lies below `folder` nor is built in, as far as the kernel's files tell."""
    known: set[str] = set()
    if folder is not None:
        known = {_name(path) for path in folder.rglob("*.ko*")}
        with suppress(OSError):
            known |= {_name(Path(line)) for line in (folder / "modules.builtin").read_text().splitlines()}
    return next((name for name in wanted if name.replace("-", "_") not in known), None)


def _name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _needed_by(content: bytes) -> Iterator[str]:
    match = _DEPENDS.search(content)
    if match is not None and match[1]:
        yield from (name.replace("-", "_") for name in match[1].decode("ascii", "replace").split(","))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if path.suffix == ".xz":
            return lzma.decompress(content)
        if path.suffix == ".gz":
            return gzip.decompress(content)
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise BadInput(f"{path}: {error}: expected a module of the kernel") from None
    if path.suffix != ".ko":
        raise BadInput(f"{path}: expected .ko, .ko.xz or .ko.gz: unpack the modules first")
    return content
