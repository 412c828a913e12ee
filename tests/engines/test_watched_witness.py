# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that keeps, kills or contradicts a witness is a finding: it is told how, and the witness ends."""

import ctypes
import hashlib
import os
import platform
from collections.abc import Callable
from errno import ENOMEM, EPERM
from functools import partial
from pathlib import Path

import pytest

from engines.protocol import RefusedGiven
from engines.real.host import Host
from engines.real.testimony import HOLE, Witnessed
from engines.real.updater import WAYS, OneAtATime, Way
from engines.real.vcpu import Access, Vcpu
from engines.real.vm import Vm
from engines.real.watched import Failed
from engines.real.watched_witness import WatchedWitness
from memslots.case import Case
from memslots.errors import Missing, RefusedHere, Unfit
from memslots.region import Region

GROW = (
    "given slot=0 gpa=0x100000 size=0x2000 hva=0x100000000000",
    "apply slot=1 gpa=0x102000 size=0x2000 hva=0x200000000000",
)
SOON = 0.5
_EXIT = {"x86_64": 60, "aarch64": 93}
OOPS = "BUG: kernel NULL pointer dereference, address: 0000000000000008"


class GoesWrong:
    """A way that does to its caller what a kernel may do, the second time if nothing else is said."""

    keeps_prefix = True
    inhibits = False

    def __init__(self, goes_wrong: Callable[[], int | None], rounds_before: int = 1) -> None:
        self._goes_wrong = goes_wrong
        self._rounds_before = rounds_before
        self._serial = OneAtATime(inhibited=False)
        self._calls = 0

    def apply(self, vm: Vm, case: Case) -> int:
        self._calls += 1
        answer = self._goes_wrong() if self._calls > self._rounds_before else None
        return self._serial.apply(vm, case) if answer is None else answer


def waits(*_ignored: object) -> int | None:
    """Wait for ever, in the kernel."""
    end, _ = os.pipe()
    os.read(end, 1)
    return None


def works() -> int | None:
    """Work for ever, where Python cannot see it."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
    return None


def dies() -> int | None:
    """End this thread as an oops ends it: Python never hears of it."""
    ctypes.CDLL(None).syscall(_EXIT[platform.machine()], 0)
    return None


def seen(case: Case, way: Way, log: str = "/nowhere", go_on: Callable[[Witnessed], bool] = lambda _: True) -> Witnessed:
    """What comes of it; no descriptor is left behind."""
    fds = sorted(Path("/proc/self/fd").iterdir())
    with WatchedWitness(case, way, go_on, patience=SOON, log=log) as witness:
        testimony = witness.watch(lambda _: None)
    assert sorted(Path("/proc/self/fd").iterdir()) == fds
    return testimony


def test_what_goes_well_is_told_as_without_a_process_of_its_own(host: Host, case_of: Callable[..., Case]) -> None:
    heard: list[int] = []
    with WatchedWitness(case_of(*GROW), WAYS["serial"](), lambda t: t.rounds < 50, log="/nowhere") as witness:
        testimony = witness.watch(lambda t: heard.append(t.rounds))
    assert testimony.rounds >= 50
    assert (testimony.finding, testimony.bugs) == ("", 0)
    assert sum(testimony.counts.values()) > 0
    assert heard == sorted(heard)
    assert heard


@pytest.mark.parametrize(
    ("goes_wrong", "how"),
    [
        (waits, "hung over the list: the kernel has not come back for"),
        (works, "looped over the list: the kernel has worked for"),
        (dies, "crashed over the list: its caller has died in the kernel"),
    ],
)
def test_a_kernel_that_keeps_the_list_is_a_finding_and_not_the_end(
    host: Host, case_of: Callable[..., Case], goes_wrong: Callable[[], int | None], how: str
) -> None:
    testimony = seen(case_of(*GROW), GoesWrong(goes_wrong))
    assert testimony.finding.startswith(how)
    assert testimony.rounds == 1
    assert testimony.outside + sum(testimony.counts.values()) > 0, "what was seen before is kept"


def test_a_time_that_is_up_does_not_hide_it(host: Host, case_of: Callable[..., Case]) -> None:
    """The list hangs, and nobody wants to see any more."""
    testimony = seen(case_of(*GROW), GoesWrong(waits, 0), go_on=lambda t: not t.counts["read", HOLE])
    assert testimony.finding.startswith("hung over the list")
    assert testimony.rounds == 0


def test_a_crash_is_told_in_the_kernel_s_own_words(host: Host, case_of: Callable[..., Case], tmp_path: Path) -> None:
    """Who oopses while it holds what its own end needs is kept: that is a crash, too."""
    log = tmp_path / "kmsg"

    def oopses(and_then: Callable[[], int | None]) -> int | None:
        with log.open("a") as file:
            file.write(f"1,7,7,-;{OOPS}\n")
        return and_then()

    for and_then, said in ((dies, "crashed over the list: its caller has died in the kernel"), (waits, "crashed")):
        log.write_text(f"1,1,1,-;{OOPS} of somebody else's\n")
        testimony = seen(case_of(*GROW), GoesWrong(partial(oopses, and_then)), str(log))
        assert testimony.finding == f"{said}: {OOPS}"


def test_a_vcpu_that_kvm_does_not_let_go_is_a_finding(
    host: Host, case_of: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one is that meets a slot which stays INVALID: KVM lets it try again and again."""

    def stays(*_: object) -> Access:
        works()
        raise AssertionError("it has come back")

    monkeypatch.setattr(Vcpu, "fetch", stays)
    for way in ("serial", "inhibited"):
        assert seen(case_of(*GROW), WAYS[way]()).finding.startswith("looped over a fetch of gfn 0x100: the kernel has")


@pytest.mark.parametrize(
    ("answer", "said"), [(1, "the list returns 1; the model says"), (-EPERM, "the list is refused (EPERM); the model")]
)
def test_another_answer_than_the_model_s_is_a_finding(
    host: Host, case_of: Callable[..., Case], answer: int, said: str
) -> None:
    testimony = seen(case_of(*GROW), GoesWrong(lambda: answer))
    assert testimony.finding.startswith(said)
    assert testimony.finding.endswith("that it is accepted")


def test_so_it_is_one_at_a_time(host: Host, case_of: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    real = Vm.set_memory_region

    def refuses(vm: Vm, region: Region) -> int:
        return EPERM if region.slot == 1 else real(vm, region)

    monkeypatch.setattr(Vm, "set_memory_region", refuses)
    finding = seen(case_of(*GROW), WAYS["serial"]()).finding
    assert finding == "the list is refused (EPERM); the model says that it is accepted"
    monkeypatch.setattr(Vm, "set_memory_region", lambda vm, region: 0)
    finding = seen(case_of(GROW[1]), WAYS["serial"]()).finding
    assert finding == "to delete slot 1, which must stand behind the list, is refused (EINVAL)"
    finding = seen(case_of(GROW[1], "apply slot=1 gpa=0x102000 size=0x2000 hva=0x0"), WAYS["serial"]()).finding
    assert finding == "the list is accepted; the model says that it is refused (EINVAL)"


def test_what_cannot_be_witnessed_is_raised_to_who_asks(
    host: Host, case_of: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unfit, match="reaches 0x100000000 bytes"):
        seen(case_of("apply slot=0 gpa=0x100000000 size=0x1000 hva=0x0"), WAYS["serial"]())
    with pytest.raises(RefusedGiven, match=r"given 0: .*EINVAL") as refused:
        seen(case_of("given slot=0 size=0", *GROW[1:]), WAYS["serial"]())
    assert (refused.value.index, refused.value.errno_name) == (0, "EINVAL")
    monkeypatch.setattr(Vm, "set_memory_region", lambda *_: ENOMEM)
    with pytest.raises(RefusedHere, match=r"given 0: this kernel refuses it \(ENOMEM\)"):
        seen(case_of(*GROW), WAYS["serial"]())
    monkeypatch.setattr(Vcpu, "emulated", waits)
    with pytest.raises(Missing, match="makes no vCPU: hung: its process has said nothing for 0"):
        seen(case_of(*GROW), WAYS["serial"]())
    with pytest.raises(Missing, match="nowhere/kvm"):
        WatchedWitness(case_of(*GROW), WAYS["serial"](), lambda _: True, path="/nowhere/kvm")


def test_a_fault_of_ours_is_none_of_the_kernel_s(host: Host, case_of: Callable[..., Case]) -> None:
    def fails() -> int:
        raise ZeroDivisionError

    with pytest.raises(Failed, match=r"in fails\n.*ZeroDivisionError"):
        seen(case_of(*GROW), GoesWrong(fails))


def test_its_process_ends_with_whoever_is_interrupted(host: Host, case_of: Callable[..., Case]) -> None:
    def interrupted(_: Witnessed) -> None:
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        WatchedWitness(case_of(*GROW), WAYS["serial"](), lambda _: True, log="/nowhere") as witness,
    ):
        witness.watch(interrupted)


def test_a_process_that_is_shot_has_crashed(host: Host, case_of: Callable[..., Case]) -> None:

    def shot() -> int:
        os.kill(os.getpid(), 9)
        return 0

    assert seen(case_of(*GROW), GoesWrong(shot)).finding == "crashed: its process has died"
