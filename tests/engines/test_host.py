# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel is like is asked of it once, by a child that it may keep or kill; whoever wants to know goes on."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engines.catalogue import machine_of_engine
from engines.real import host as asking
from engines.real.device import KVM
from engines.real.host import Host, this_host
from engines.real.list_vm import ThisKvm
from engines.real.permission import GUEST
from fuzz.doctor import kvm
from memslots.errors import BadCase, Missing
from memslots.machine import machine_of
from tests.engines.wrecked_kernel import die, stuck


@pytest.fixture
def device(tmp_path: Path, host: Host) -> str:
    """A name of /dev/kvm by which nobody has asked yet."""
    path = tmp_path / "kvm"
    path.symlink_to(KVM)
    return str(path)


def askers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[int]]:
    """Notes who tries the list ioctl."""
    diary = tmp_path / "diary"
    diary.touch()

    def has_region_list(vm: object) -> bool:
        with diary.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return True

    monkeypatch.setattr(asking, "_has_region_list", has_region_list)
    return lambda: list(map(int, diary.read_text().split()))


ASKING: dict[str, Callable[[str], object]] = {
    "engine kvm, calibrate and witness": this_host,
    "engine kvm-list": lambda path: ThisKvm(path).host(),
    "doctor": kvm,
}


@pytest.mark.parametrize("who", ASKING)
def test_whoever_asks_for_the_list_ioctl_has_a_child_try_it_once(
    who: str, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GUEST, "1")
    callers = askers(monkeypatch, tmp_path)
    ASKING[who](device)
    ASKING[who](device)
    [pid] = callers()
    assert pid != os.getpid()
    assert this_host(device).region_list


def test_the_machine_of_both_engines_is_what_the_child_says(host: Host) -> None:
    assert machine_of_engine("kvm") == host.machine


@pytest.mark.parametrize(("wrong", "how"), [(stuck, "hangs"), (die, "crashes")])
def test_a_kernel_that_comes_to_harm_over_the_question_is_one_line(
    wrong: Callable[[], None], how: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(asking, "_has_region_list", lambda vm: wrong())
    with pytest.raises(Missing, match=f"{device}: this kernel {how} when its KVM is asked what it is like: restart it"):
        this_host(device)
    first, *_ = kvm(device)
    assert (first.there, first.remedy) == (False, "for engine kvm, calibrate and witness: restart it")


def test_numbers_that_no_kernel_has_are_told_in_this_process(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_max_gfn", lambda *_: 1 << 60)
    with pytest.raises(BadCase, match="max_gfn=0x1000000000000000: expected"):
        this_host(device)


def test_what_the_child_says_comes_whole(host: Host) -> None:
    assert host == replace(host, machine=machine_of(host.machine.profile, host.machine.overrides()))
    assert host.machine.page_shift == 12
