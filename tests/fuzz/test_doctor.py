# SPDX-License-Identifier: GPL-2.0-only
"""The doctor says what is there and what to do about what is not, whatever is missing, and never falls ill itself."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.real.host import Host
from fuzz import doctor
from fuzz.doctor import Offer, examined, kvm, program, python, trees

Sameslots = Callable[..., subprocess.CompletedProcess[str]]
NAMES = ["python", "atheris", "kvm", "region2", "list", "compiler", "qemu", "busybox", "trees"]


def test_every_offer_has_a_line_and_what_is_missing_a_remedy() -> None:
    offers = examined(())
    assert [offer.name for offer in offers] == NAMES
    for offer in offers:
        assert offer.found
        assert offer.there or offer.remedy, offer


@pytest.mark.parametrize(("found", "there"), [((3, 10), False), ((3, 11), True), ((3, 14), True), ((3, 15), False)])
def test_the_pythons_that_are_supported(found: tuple[int, int], there: bool) -> None:
    assert python(found).there == there
    assert ("3.11 to 3.14" in python(found).remedy) != there


@pytest.mark.parametrize(
    ("module", "found"),
    [
        ("raise ImportError('no libclang_rt')", "ImportError: no libclang_rt"),
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("import os; os.kill(os.getpid(), 4)", "exit code -4"),
        ("", "importlib.metadata.PackageNotFoundError: No package metadata was found for atheris"),
    ],
)
def test_an_atheris_that_cannot_be_imported_breaks_nothing(module: str, found: str, tmp_path: Path) -> None:
    """However it fails, and though it is there by its name."""
    (tmp_path / "atheris.py").write_text(module)
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\ncd {tmp_path} && exec {sys.executable} -S "$@"\n')
    interpreter.chmod(0o755)
    offer = doctor.atheris(str(interpreter))
    assert (offer.there, offer.found) == (False, found)
    assert "--backend random does without" in offer.remedy
    assert not doctor.atheris(str(tmp_path / "absent")).there


def test_what_is_only_slow_is_not_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(doctor, "_PATIENCE", 0.1)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    offers = doctor.atheris(str(slow)), program("compiler", ("slow",), "nothing", "apt-get install slow")
    for offer, found in zip(
        offers, ("did not answer within 0.1 s", f"{slow} did not answer within 0.1 s"), strict=True
    ):
        assert (offer.there, offer.found) == (False, found)
        assert offer.remedy.endswith(": it is there, but slow: ask again when this machine is less busy")


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("{}/kvm", "load kvm_amd or kvm_intel, or run inside `sameslots guest`"),
        ("{}", "expected KVM's device"),
        (os.devnull, "a Linux with KVM"),
    ],
)
def test_no_kvm_is_three_lines_with_the_reason_in_the_first(path: str, remedy: str, tmp_path: Path) -> None:
    first, *others = kvm(path.format(tmp_path))
    assert (first.there, first.remedy) == (False, f"for engine kvm, calibrate and witness: {remedy}")
    assert first.found
    assert [(offer.name, offer.there, offer.remedy) for offer in others] == [
        ("region2", False, "see kvm"),
        ("list", False, "see kvm"),
    ]


def test_a_kvm_that_is_not_for_us_says_whom_to_ask(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # for root nothing is forbidden; pytest's folders are for their owner alone
    try:
        first, *_ = kvm(str(device))
    finally:
        if root:
            os.seteuid(0)
    assert first.found == f"{device}: permission denied"
    assert first.remedy.endswith(f"run as root, or join the group of {device} (often kvm)")


def test_kvm_is_described_as_it_was_found(host: Host) -> None:
    first, region2, lists = kvm()
    assert f"Linux {host.release}" in first.found
    assert f"{host.machine.address_spaces} address space" in first.found
    assert (region2.there, lists.there) == (host.region2, host.region_list)


def test_a_program_is_the_first_that_says_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("broken", "exit 1"), ("mute", "kill -9 $$"), ("works", "echo works 1.0; echo more")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("x", ("absent", "broken", "mute", "works"), "tests", "r") == Offer("x", True, "works 1.0, for tests")
    broken = program("x", ("absent", "broken"), "tests", "r")
    assert broken == Offer("x", False, f"{tmp_path}/broken does not say its version: exit code 1", "for tests: r")
    assert program("x", ("absent",), "tests", "r").found == "none of absent on PATH"


def test_trees_are_found_by_what_is_in_them(tmp_path: Path) -> None:
    sources = tmp_path / "src"
    tree = tmp_path / "trees" / "linux"
    (tree / "virt" / "kvm").mkdir(parents=True)
    sources.mkdir()
    (sources / "linux-source-6.1.tar.xz").touch()
    (sources / "other.tar.xz").touch()
    assert not trees((), tmp_path / "none").there
    assert not trees((tree,), tmp_path / "none").there, "a folder without kvm_main.c is no tree"
    (tree / "virt" / "kvm" / "kvm_main.c").touch()
    for place in (tree, tree.parent):
        both = trees((place,), sources)
        assert (both.there, both.found) == (True, f"{tree}, {sources}/linux-source-6.1.tar.xz (to be unpacked)")
        assert trees((place,), tmp_path / "none").found == str(tree)
    named = trees((tree, tmp_path / "none"), sources)
    assert (named.there, named.found) == (False, f"no Linux source in {tmp_path}/none")


def test_whoever_asks_for_something_hears_by_the_exit_code(sameslots: Sameslots) -> None:
    every = sameslots("doctor")
    assert (every.returncode, every.stderr) == (0, "")
    assert [line.split()[0] for line in every.stdout.splitlines()] == NAMES
    there = sameslots("doctor", "python", "--json")
    assert there.returncode == 0
    assert json.loads(there.stdout)["there"] is True
    bad = sameslots("doctor", "xen")
    assert bad.returncode == 2
    assert bad.stderr.startswith("sameslots: nothing is called 'xen': expected one of python, atheris")


def test_with_nothing_on_path_it_still_answers() -> None:
    program_ = Path(sys.executable).parent / "sameslots"
    ran = subprocess.run(
        [program_, "doctor", "qemu", "compiler"], env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 3
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "compiler  NO   none of gcc, clang on PATH: for what reproduce prints: apt-get install gcc",
        "qemu      NO   none of qemu-system-x86_64 on PATH: for guests: apt-get install qemu-system-x86",
    ]


def test_a_guest_needs_a_busybox_without_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "busybox"
    path.write_bytes(b"\x7fELF static")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.busybox() == Offer("busybox", True, f"{path}, for guests")
    path.write_bytes(b"\x7fELF /lib64/ld-linux-x86-64.so.2")
    offer = doctor.busybox()
    assert (offer.there, offer.found) == (False, "a busybox without libraries is not installed")
    assert offer.remedy == "for guests: apt-get install busybox-static"
