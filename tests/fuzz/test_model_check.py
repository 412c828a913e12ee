# SPDX-License-Identifier: GPL-2.0-only
"""A build beside the model: what is right passes, what is wrong is told by its smallest case, and kept in the build."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.tree.built import built_in, facts_of, note
from fuzz.difference import difference_text
from fuzz.model_check import HEAD, checked
from tests.conftest import children

Sameslots = Callable[..., subprocess.CompletedProcess[str]]
Builds = Callable[..., Path]


@pytest.fixture
def copied(fake_tree: Builds, tmp_path: Path) -> Callable[..., Path]:
    """A build of one's own, to be written to."""
    return lambda *defines: Path(shutil.copytree(fake_tree(*defines), tmp_path / "build"))


def test_a_right_library_has_no_difference(fake_tree: Builds) -> None:
    found = checked(built_in(fake_tree()), requests=1500, seconds=None, seed=4)
    assert found.difference is None
    assert found.requests >= 1500
    assert found.strict


def test_an_overlap_test_off_by_one_is_found_and_made_small(fake_tree: Builds) -> None:
    found = checked(built_in(fake_tree("OVERLAP_OFF_BY_ONE")), requests=20_000, seconds=None, seed=4)
    assert found.difference is not None
    assert len(found.difference.case.apply) == 2
    assert "active" in found.difference.fields
    assert "# errno: serial 17, the tree 0\n" in difference_text(found.difference, HEAD)


def test_a_tree_without_a_list_ioctl_is_held_to_no_form(fake_tree: Builds) -> None:
    assert not checked(built_in(fake_tree("NO_LIST")), requests=10, seed=1).strict


@pytest.mark.parametrize("defines", [(), ("OVERLAP_OFF_BY_ONE",)])
def test_a_check_leaves_no_process(defines: tuple[str, ...], fake_tree: Builds) -> None:
    """`tree watch` checks a build at each save, for hours."""
    before = children()
    checked(built_in(fake_tree(*defines)), requests=2_000, seconds=None, seed=4)
    assert children() == before


def test_the_command_keeps_what_it_finds_in_the_build(sameslots: Sameslots, copied: Callable[..., Path]) -> None:
    build = copied("OVERLAP_OFF_BY_ONE")
    ran = sameslots("tree", "check", build, "--ops", "20000", "--seed", "4")
    assert ran.returncode == 1
    assert "the smallest case that shows it:\nslots 1\n" in ran.stdout
    noted = facts_of(build)["checked"]
    assert noted["difference"]["case"] in ran.stdout
    assert noted["seed"] == 4


def test_a_clean_result_says_what_it_does_not_speak_of(sameslots: Sameslots, copied: Callable[..., Path]) -> None:
    ran = sameslots("tree", "check", copied(), "--ops", "500")
    assert ran.returncode == 0
    told = ran.stdout.partition("Not covered:\n")[2]
    assert "concurrency" in told
    assert "do nothing here and return 0: kvm_flush_remote_tlbs" in told


def test_a_folder_that_is_no_build_is_bad_usage(sameslots: Sameslots, tmp_path: Path) -> None:
    ran = sameslots("tree", "check", tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert "expected a build of a kernel tree" in ran.stderr


def test_what_was_found_stays_found_however_short_the_next_check_is(
    sameslots: Sameslots, copied: Callable[..., Path]
) -> None:
    build = copied("OVERLAP_OFF_BY_ONE")
    assert sameslots("tree", "check", build, "--ops", "20000", "--seed", "4").returncode == 1
    first = built_in(build).difference
    for words in (["--time", "0"], ["--ops", "1", "--seed", "2"]):
        ran = sameslots("tree", "check", build, *words)
        assert ran.returncode == 1
        assert "the smallest case that shows it:\nslots 1\n" in ran.stdout
        assert built_in(build).difference == first


def test_a_difference_that_is_none_any_more_goes(sameslots: Sameslots, copied: Callable[..., Path]) -> None:
    """The model has been mended, say."""
    build = copied()
    case = "slots 1\n# errno: serial 17, the tree 0\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\n"
    note(built_in(build), checked={"strict": True, "difference": {"case": case, "says": []}})
    assert built_in(build).difference == case
    assert sameslots("tree", "check", build, "--ops", "1").returncode == 0
    assert built_in(build).difference == case
    assert sameslots("tree", "check", build, "--time", "0").returncode == 0
    assert built_in(build).difference == ""


def test_a_few_requests_do_not_vouch_for_a_build(sameslots: Sameslots, copied: Callable[..., Path]) -> None:
    build = copied()
    note(built_in(build), checked=None)
    ran = sameslots("tree", "check", build, "--ops", "3")
    assert ran.returncode == 0
    assert "Too few to vouch for the build, which stays as it was: expected 1,000." in ran.stdout
    assert not built_in(build).checked
    assert sameslots("tree", "check", build, "--time", "0").returncode == 0
    assert built_in(build).checked
    assert facts_of(build)["checked"]["requests"] >= 1000
