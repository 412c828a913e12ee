# SPDX-License-Identifier: GPL-2.0-only
"""Kernel trees for the tests that need one: `make test-tree` fetches them; without they are skipped by name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

TREES = "SAMESLOTS_TREES"
"""A folder of unpacked trees: linux-source-6.1 or linux-6.1, and so on."""
KVM_MAIN = "virt/kvm/kvm_main.c"


def tree_of(series: str) -> Path:
    """The tree of a series, or the test is skipped."""
    if TREES not in os.environ:
        pytest.skip(f"needs a Linux source tree: make test-tree, or {TREES}=folder with linux-{series} in it")
    for name in (f"linux-source-{series}", f"linux-{series}"):
        path = Path(os.environ[TREES]).resolve() / name
        if (path / KVM_MAIN).is_file():
            return path
    pytest.skip(f"there is no linux-{series} in {os.environ[TREES]}: tests/engines/tree/prepare says why")


def linked(tree: Path, folder: Path, own: set[tuple[str, ...]]) -> None:
    """Links to all that is in a tree, but copies of the files whose paths are given in parts."""
    folder.mkdir(exist_ok=True)
    for entry in tree.iterdir():
        within = {path[1:] for path in own if path[0] == entry.name}
        if not within:
            (folder / entry.name).symlink_to(entry)
        elif () in within:
            (folder / entry.name).write_bytes(entry.read_bytes())
        else:
            linked(entry, folder / entry.name, within)


class Copy:
    """A tree whose kvm_main.c can be changed; all else are links into another one."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.path = folder
        linked(tree, folder, {Path(KVM_MAIN).parts})
        self._kvm_main = folder / KVM_MAIN
        self.original = self._kvm_main.read_text()

    def change(self, changed: Callable[[str], str]) -> None:
        """Make kvm_main.c what it was, but for this."""
        self._kvm_main.write_text(changed(self.original))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of Linux 6.1."""
    return Copy(tree_of("6.1"), tmp_path_factory.mktemp("tree"))
