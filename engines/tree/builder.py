# SPDX-License-Identifier: GPL-2.0-only
"""The code that makes libraries: one that another release of it has made is made again."""

from pathlib import Path

from engines.tree.digests import digest_of

MODULES = (
    *("build", "builder", "described", "digests", "flags", "generated", "handlers", "kconfig", "library", "link"),
    *("list_header", "objects", "reach", "services", "sites", "source", "sources", "tools", "uapi"),
)
"""What `build.py` imports of this room, and what that does."""


def builder_digest(room: Path = Path(__file__).parent) -> str:
    """Changes when anything does that decides what a library becomes: these modules, or any file of the shim."""
    paths = [room / f"{name}.py" for name in MODULES]
    paths += sorted(path for path in (room / "shim").rglob("*") if path.is_file())
    return digest_of(*(part for path in paths for part in (str(path.relative_to(room)), path.read_bytes())))
