# SPDX-License-Identifier: GPL-2.0-only
"""Whether the tree that a build is of is still what it was: people edit trees, and look at builds of before."""

import json
from pathlib import Path
from typing import NamedTuple

from engines.tree.built import Built
from engines.tree.digests import file_digest
from engines.tree.source import KVM_MAIN
from engines.tree.sources import FILE

_MOST_NAMED = 3


class Changes(NamedTuple):
    """What is not as it was: in one line, empty where all is, and by name."""

    says: str = ""
    files: frozenset[str] = frozenset()
    """Below the tree. kvm_main.c is one of them where nobody knows."""


def changes_since(built: Built) -> Changes:
    """What has become of the tree's files, and of the list's description, that the build was made of."""
    tree = Path(built.tree)
    was = _read(built)
    unknown = frozenset((KVM_MAIN,))
    if was is None:
        return Changes(
            f"{built.folder}: what {tree} was like when it was built is not known: `{built.again}` makes it again",
            unknown,
        )
    if was and not (tree / KVM_MAIN).is_file():
        return Changes(f"{tree} is gone, which {built.folder} was built of: what it shows is of that tree", unknown)
    changed = [_below(tree, path) for path, digest in sorted(was.items()) if file_digest(path) != digest]
    if not changed:
        return Changes()
    # What people edit comes first, and is short to say.
    changed.sort(key=lambda name: name != KVM_MAIN)
    more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
    return Changes(
        f"{tree} has changed since {built.folder} was built: {', '.join(changed[:_MOST_NAMED])}{more}:"
        f" `{built.again}` makes it again",
        frozenset(changed),
    )


def _below(tree: Path, path: str) -> str:
    return path.removeprefix(f"{tree}/")


def _read(built: Built) -> dict[str, str] | None:
    """The files with what they held; None where that is not known of this very build."""
    try:
        said = json.loads((built.folder / FILE).read_bytes())
        found = {str(path): str(digest) for path, digest in said["read"].items()}
        return found if said["content"] == built.content else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
