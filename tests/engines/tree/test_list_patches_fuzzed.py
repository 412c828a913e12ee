# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctls of examples/, compiled from a patched Linux 6.1 and fuzzed: one is right, and one is found out."""

import subprocess
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from engines.simulated.engines import Serial
from engines.tree.build import built
from engines.tree.built import built_in
from engines.tree.engine import TreeList
from engines.tree.flags import Options
from fuzz.model_check import check_and_note
from fuzz.trial import Trial
from memslots.textreader import parse_case
from tests.engines.drawn_verdicts import drawn_verdicts
from tests.engines.tree.conftest import linked, tree_of
from tests.examples.test_list_patches import PATCHES, hunks

LISTS = 15_000
ListIoctl = Callable[[str, Options], TreeList]


@pytest.fixture(scope="module")
def list_ioctl(tmp_path_factory: pytest.TempPathFactory) -> ListIoctl:
    """The list ioctl of Linux 6.1 with a patch of examples/, built once."""

    @cache
    def engine(name: str, options: Options) -> TreeList:
        folder = tmp_path_factory.mktemp(name)
        patch = PATCHES[name]
        tree = folder / "tree"
        linked(tree_of("6.1"), tree, {Path(path).parts for path in hunks(patch)})
        subprocess.run(["patch", "-s", "-p1", "-i", patch], cwd=tree, check=True)
        built(tree, folder / "build", options)
        check_and_note(built_in(folder / "build"))  # which says that it is strict, too
        return TreeList("tree:x", built_in(folder / "build"))

    return engine


def buckets(engine: TreeList, lists: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """How often each bucket shows in so many drawn lists, and how often each kind of failure was met."""
    shown: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for verdict in drawn_verdicts(Trial(Serial(), engine), lists, seed):
        shown.update(finding.bucket for finding in verdict.findings)
        failed.update(verdict.outcome.failed)
    return shown, failed


def test_naive_is_found_out(list_ioctl: ListIoctl) -> None:
    shown, _ = buckets(list_ioctl("naive", Options()), 2_000, 1)
    assert shown["final_slots EEXIST EEXIST CREATE refuse"], shown
    assert any(bucket.startswith("visibility ") for bucket in shown), shown


@pytest.mark.parametrize("options", [Options(), Options(asan=True)], ids=["plain", "asan"])
def test_atomic_comes_out_clean(options: Options, list_ioctl: ListIoctl) -> None:
    shown, failed = buckets(list_ioctl("atomic", options), LISTS, 5)
    assert not shown
    # INVALID copies are allocated before slots_arch_lock is taken: to the shim they are slots like the others.
    assert set(failed) == {"copy", "array", "slot", "bitmap", "prepare"}


@pytest.mark.parametrize("fault", ["slot=0", "slot=2", "bitmap=0", "prepare=2", "prepare=5", "array=0", "copy=1"])
def test_atomic_undoes_everything_when_something_fails(fault: str, list_ioctl: ListIoctl) -> None:
    text = """slots 1
given slot=0 gpa=0x0 size=0x4000 hva=0x10000
given slot=1 gpa=0x8000 size=0x2000 hva=0x20000
apply slot=0 size=0
apply slot=1 gpa=0x0 size=0x2000 hva=0x20000
apply slot=2 gpa=0x2000 size=0x2000 hva=0x12000 flags=LOG_DIRTY_PAGES
"""
    engine = list_ioctl("atomic", Options(asan=True))
    case = parse_case([*text.splitlines(), f"fault {fault}"]).case
    outcome = engine.apply(case)
    assert outcome.failed == (fault.partition("=")[0],)
    assert outcome.active == outcome.before
    assert [event.kind for event in outcome.mishaps or ()] == ["injected"]
    assert not Trial(Serial(), engine).verdict(case).findings
