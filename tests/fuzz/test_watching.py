# SPDX-License-Identifier: GPL-2.0-only
"""A developer's loop: each save brings a build, the known cases and lists anew, and what is wrong is told."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

import fuzz.watching
from engines.tree.built import Built, built_in
from engines.tree.tools import Unbuildable
from fuzz.watching import Saved, Saves, rounds, stamp_of
from memslots.case import Case
from memslots.textreader import parse_case
from tests.conftest import children

Builds = Callable[..., Path]
TORN = """slots 1
apply slot=0 gpa=0x0 size=0x1000 hva=0x0
apply slot=1 gpa=0x0 size=0x1000 hva=0x0
"""


def known() -> Iterator[Case]:
    yield parse_case(TORN.splitlines()).case


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at each time, and waiting takes no time."""
    monkeypatch.setattr(fuzz.watching, "_LOOK_SECONDS", 0)


def saves_after(looks: int) -> Saves:
    """Something is saved at every so many looks."""
    numbers = iter(range(10_000_000))
    return Saves(lambda: next(numbers) // looks)


@pytest.mark.usefixtures("at_once")
def test_each_save_brings_a_round_with_what_is_wrong_by_then(fake_tree: Builds, tmp_path: Path) -> None:
    builds = iter((built_in(fake_tree("NAIVE")), built_in(fake_tree()), built_in(fake_tree("NAIVE"))))
    told: list[str] = []
    for _ in islice(rounds(tmp_path, lambda _: next(builds), saves_after(400), known, told.append), 3):
        told.append("--")
    first, second, third = "\n".join(told).split("--")[:3]
    for text in (first, third):
        assert "# final_slots EEXIST EEXIST CREATE refuse\n" in text
        assert "# The call is refused, and undoes nothing, where a CREATE is refused.\n" in text
        assert "apply slot=1 gpa=0x0 size=0x1000 hva=0x0\n" in text
    assert "final_slots" not in second
    assert "0 buckets; saved: once more" in second


@pytest.mark.usefixtures("at_once")
def test_a_tree_that_cannot_be_built_waits_for_the_next_save(fake_tree: Builds, tmp_path: Path) -> None:
    answers = iter((Unbuildable("kvm_main.c does not compile", ["virt/kvm/kvm_main.c:7: error: x"]), None))

    def rebuild(_: Path) -> Built:
        error = next(answers)
        if error is not None:
            raise error
        return built_in(fake_tree())

    told: list[str] = []
    list(islice(rounds(tmp_path, rebuild, saves_after(30), known, told.append), 2))
    assert "virt/kvm/kvm_main.c:7: error: x" in told[0]
    assert "built and checked" in told[1]


@pytest.mark.usefixtures("at_once")
def test_ctrl_c_leaves_no_process(fake_tree: Builds, tmp_path: Path) -> None:
    numbers = iter(range(100))

    def stamp() -> object:
        if next(numbers) > 50:
            raise KeyboardInterrupt
        return 0

    before = children()
    with pytest.raises(KeyboardInterrupt):
        list(rounds(tmp_path, lambda _: built_in(fake_tree()), Saves(stamp), known, lambda _: None))
    assert children() == before


@pytest.mark.usefixtures("at_once")
def test_a_change_of_a_kvm_file_is_a_save_and_no_other_is(tmp_path: Path) -> None:
    kvm_main = tmp_path / "virt" / "kvm" / "kvm_main.c"
    kvm_main.parent.mkdir(parents=True)
    kvm_main.write_text("one")
    saves = Saves(stamp_of(tmp_path))
    (tmp_path / "Makefile").write_text("x")
    saves.look()
    kvm_main.write_text("two lines")
    with pytest.raises(Saved):
        saves.look()
    saves.look()
