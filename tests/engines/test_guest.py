# SPDX-License-Identifier: GPL-2.0-only
"""A guest seen from outside: booted by a QEMU that is none, answering, and lost in every way."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engines.guests.boot import boot, ready
from engines.guests.command import run_in
from engines.guests.frames import Frame, Kind
from engines.guests.guest import Guest, Lost
from engines.guests.plan import Plan, plan_named
from memslots.errors import BadInput, Missing

if TYPE_CHECKING:
    from tests.conftest import FakeKernel

Kernels = Callable[..., "FakeKernel"]
SOON = 30.0


@pytest.fixture
def descriptors() -> Iterator[None]:
    """No descriptor may be left open."""
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    yield
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


class Ran:
    """What a command in a guest did."""

    def __init__(self, guest: Guest, *words: str, stdin: int | None = None, timeout: float = SOON) -> None:
        out, err = io.BytesIO(), io.BytesIO()
        self.code = run_in(guest, words, timeout, stdin, out, err)
        self.out, self.err = out.getvalue(), err.getvalue()


@pytest.mark.usefixtures("descriptors")
def test_a_command_has_its_output_and_its_code_brought_out(fake_kernel: Kernels) -> None:
    kernel = fake_kernel()
    with Guest(Plan(str(kernel))) as guest:
        ran = Ran(guest, "/bin/sh", "-c", "echo out; echo err >&2; cat; exit 7")
        assert (ran.code, ran.out, ran.err) == (7, b"out\n", b"err\n")
        assert Ran(guest, "/bin/sh", "-c", "kill -9 $$").code == 128 + 9
        ran = Ran(guest, "/no/such/program")
        assert (ran.code, ran.err) == (127, b"/no/such/program: No such file or directory\n")
    assert kernel.running() == []


@pytest.mark.usefixtures("descriptors")
def test_input_of_any_length_goes_in_and_output_of_any_length_comes_out(fake_kernel: Kernels, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "in").write_bytes(data)
    with Guest(Plan(str(fake_kernel()))) as guest, (tmp_path / "in").open("rb") as stdin:
        assert Ran(guest, "cat", stdin=stdin.fileno()).out == data
        # A command that does not read it all hinders nobody.
        stdin.seek(0)
        assert Ran(guest, "head", "-c", "1", stdin=stdin.fileno()).out == data[:1]


def test_a_command_that_takes_too_long_hangs_though_the_guest_answers(fake_kernel: Kernels) -> None:
    with Guest(Plan(str(fake_kernel()))) as guest, pytest.raises(Lost, match="guest still answers") as lost:
        Ran(guest, "sleep", "100", timeout=0.2)
    assert lost.value.how == "hung"


def test_a_command_that_takes_too_long_in_a_guest_that_is_silent_is_told_so(
    fake_kernel: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.guests.command.BEATS_MISSED", 0.1)
    with Guest(Plan(str(fake_kernel(run="hang")))) as guest, pytest.raises(Lost, match="and it is silent for 1 s"):
        Ran(guest, "run", timeout=0.6)


def test_a_guest_that_is_silent_hangs(fake_kernel: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.guests.command.SILENT_SECONDS", 0.2)
    with (
        Guest(Plan(str(fake_kernel(run="hang")))) as guest,
        pytest.raises(Lost, match=r"not answered for 0\.2") as lost,
    ):
        Ran(guest, "run")
    assert lost.value.how == "hung"


LOSSES = {
    "panic": ("crashed", "Kernel panic - not syncing: of fright", None),
    "oops-and-hang": ("crashed", "BUG: kernel NULL pointer dereference, address: 0000000000000010", "null-dereference"),
    "spin": ("looped", "too long", None),
    "hang": ("hung", "too long", None),
    "die": ("died", "QEMU ended with 1: qemu-system-x86_64: cannot go on", None),
    "garbage": ("died", "it sends a frame of kind", None),
}


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("harm", LOSSES)
def test_a_guest_that_is_lost_tells_how(fake_kernel: Kernels, harm: str) -> None:
    kernel = fake_kernel(fatal=harm)
    with Guest(Plan(str(kernel))) as guest:
        deadline = time.monotonic() + (1.0 if "hang" in harm or harm == "spin" else SOON)
        guest.send(Frame(Kind.APPLY, b"fatal"), deadline, "too long")
        with pytest.raises(Lost) as lost:
            guest.receive(deadline, "too long")
    how, why, kind = LOSSES[harm]
    assert (lost.value.how, lost.value.kind) == (how, kind)
    assert lost.value.why.startswith(why)
    assert str(lost.value).startswith(f"guest {how}: ")
    if how in ("crashed", "looped"):
        assert len(lost.value.lines) == {"panic": 1, "spin": 1}.get(harm, 4)
    assert kernel.running() == []


@pytest.mark.parametrize("harm", ["panic", "die", "hang"])
def test_a_guest_that_does_not_come_up_is_lost_and_stopped(fake_kernel: Kernels, harm: str) -> None:
    kernel = fake_kernel(hello=harm)
    with pytest.raises(Lost) as lost:
        Guest(Plan(str(kernel), boot=1.0 if harm == "hang" else SOON))
    assert lost.value.how == {"panic": "crashed", "die": "died", "hang": "hung"}[harm]
    assert len(kernel.boots()) == 1
    assert kernel.running() == []


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(("harm", "how"), [("die", "died"), ("hang", "hung")])
def test_a_guest_that_has_said_nothing_at_all_hints_at_its_kernel_and_memory(
    fake_kernel: Kernels, harm: str, how: str
) -> None:
    kernel = fake_kernel(silent=harm)
    with pytest.raises(Lost) as lost:
        Guest(Plan(str(kernel), "16M", boot=1.0 if harm == "hang" else SOON))
    assert lost.value.how == how
    assert str(lost.value).endswith(f"; its console is empty: is {kernel} whole, and is 16M of memory enough for it?")
    assert kernel.running() == []


@pytest.mark.usefixtures("descriptors")
def test_a_plan_that_qemu_refuses_is_bad_input(fake_kernel: Kernels) -> None:
    """In its own words, without its name and what explains them."""
    kernel = fake_kernel(silent="refuse")
    with pytest.raises(BadInput, match=r"^guest: QEMU refuses: -m 1X: what is an X\?$"):
        Guest(Plan(str(kernel), "1X"))
    assert kernel.running() == []


def test_a_module_that_the_kernel_does_not_have_is_bad_input(fake_kernel: Kernels, tmp_path: Path) -> None:
    """kvm_amd, which nobody has named, may be built in or missing; what is named may be neither."""
    kernel = fake_kernel()
    ready(Plan(str(kernel)))
    with pytest.raises(BadInput, match=r"guest: module kvm_intel: .* has none of this name"):
        ready(Plan(str(kernel), modules="kvm_amd,kvm_intel"))
    folder = tmp_path / "tree"
    (folder / "kernel").mkdir(parents=True)
    (folder / "bzImage").write_bytes(Path(str(kernel)).read_bytes())
    (folder / "kernel/kvm-intel.ko").write_bytes(b"")
    (folder / "modules.builtin").write_text("kernel/lib/crc-t10.ko\n")
    ready(Plan(str(folder), modules="kvm_amd,kvm_intel,crc_t10,"))
    with pytest.raises(BadInput, match="guest: module nosuch: "):
        boot(Plan(str(folder), modules="kvm_intel,nosuch"))
    assert kernel.boots() == []


def test_an_oops_is_noticed_though_the_guest_goes_on(fake_kernel: Kernels) -> None:
    with Guest(Plan(str(fake_kernel(odd="oops")))) as guest:
        assert not guest.oopsed()
        assert Ran(guest, "echo", "odd").out == b"odd\n"
        assert guest.oopsed()
        assert guest.console.kind == "null-dereference"


def test_the_console_is_kept_as_it_came(fake_kernel: Kernels) -> None:
    log = io.BytesIO()
    with Guest(Plan(str(fake_kernel())), log=log) as guest:
        Ran(guest, "true")
    assert log.getvalue() == b"[    0.000000] Linux version 6.1.0-fake\r\n"


def test_a_guest_dies_with_the_process_that_started_it(fake_kernel: Kernels) -> None:
    kernel = fake_kernel(hello="hang")
    program = (
        f"from engines.guests.guest import Guest\nfrom engines.guests.plan import Plan\nGuest(Plan({str(kernel)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as owner:
        deadline = time.monotonic() + SOON
        while not kernel.boots() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(kernel.running()) == 1
        owner.kill()
    while kernel.running() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert kernel.running() == []


def test_the_command_line_says_what_the_plan_says(fake_kernel: Kernels, tmp_path: Path) -> None:
    kernel = fake_kernel()
    folder = tmp_path / "a,b"
    folder.mkdir()
    plan = Plan(str(kernel), "512M", 3, "Opteron_G5", append="oops=panic", write=(str(folder),))
    with Guest(plan):
        words = kernel.words()
    after = dict(pairwise(words))
    assert (after["-m"], after["-smp"], after["-cpu"], after["-accel"]) == ("512M", "3", "Opteron_G5", "tcg")
    assert after["-append"].endswith(" oops=panic")
    shared = [words[i + 1] for i, word in enumerate(words) if word == "-fsdev"]
    assert [each.rpartition(",")[2] for each in shared] == ["readonly=on", "readonly=off"]
    assert f"path={tmp_path}/a,,b," in shared[1]
    assert "-no-reboot" in words


def test_what_is_not_installed_is_missing_with_a_remedy(
    fake_kernel: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = fake_kernel()
    ready(Plan(str(kernel)))
    (tmp_path / "bin/qemu-system-x86_64").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(Missing, match="apt-get install qemu-system-x86"):
        boot(Plan(str(kernel)))
    (tmp_path / "bin/busybox").unlink()
    with pytest.raises(Missing, match="apt-get install busybox-static"):
        boot(Plan(str(kernel)))
    assert kernel.boots() == []


def test_a_folder_to_write_to_has_to_be_there(fake_kernel: Kernels, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a folder that the guest may write to"):
        boot(Plan(str(fake_kernel()), write=(str(tmp_path / "nowhere"),)))


def test_a_plan_is_said_on_one_word() -> None:
    assert plan_named("bzImage") == Plan("bzImage")
    text = "a/bzImage,memory=2G,cpus=2,cpu=max,modules=kvm_amd+kvm_intel,append=a=b c,boot=9,case=5.5"
    assert plan_named(text) == Plan("a/bzImage", "2G", 2, "max", "kvm_amd,kvm_intel", "a=b c", 9.0, 5.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a kernel"),
        ("k,cpus", "'cpus': expected KEY=VALUE, KEY one of memory, cpus, cpu, modules, append, boot, case"),
        ("k,kernel=x", "expected KEY=VALUE"),
        ("k,write=x", "expected KEY=VALUE"),
        ("k,cpus=0", "cpus=0: expected a number above 0"),
        ("k,cpus=1.5", "expected a number above 0"),
        ("k,case=nan", "expected a number above 0"),
        ("k,boot=inf", "expected a number above 0"),
        ("k,boot=-1", "expected a number above 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_bad_input(text: str, said: str) -> None:
    with pytest.raises(BadInput) as refusal:
        plan_named(text)
    assert said in str(refusal.value)
