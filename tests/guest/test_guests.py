# SPDX-License-Identifier: GPL-2.0-only
"""Debian's kernels in guests: commands, campaigns, and every way in which a guest can be lost."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.guests.command import run_in
from engines.guests.engine import Guests
from engines.guests.guest import Guest, Lost
from engines.guests.plan import Plan
from engines.simulated.engines import Serial
from fuzz.findings import Findings, settings_of
from memslots.textreader import parse_case, read_case

HOUSE = Path(__file__).parents[2]
GROW = HOUSE / "docs/examples/grow.slots"
OPS = int(os.environ.get("OPS", "20000"))
SOON = 30.0
Sameslots = Callable[..., subprocess.CompletedProcess[str]]
KernelOf = Callable[[str], str]


def emulators() -> set[int]:
    """Every process that is a QEMU of ours, by its port's name on its command line."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes()
        except OSError:
            continue
        if b"qemu-system" in words.split(b"\0")[0] and b"name=sameslots" in words:
            found.add(int(each.parent.name))
    return found


def said(guest: Guest, command: str) -> tuple[int, str]:
    """The exit code and output of a shell command in a guest."""
    out = io.BytesIO()
    code = run_in(guest, ["/bin/sh", "-c", command], 300, None, out, out)
    return code, out.getvalue().decode()


def test_a_guest_runs_another_kernel_with_a_kvm_of_its_own(kernel_of: KernelOf, series: str) -> None:
    with Guest(Plan(kernel_of(series))) as guest:
        code, text = said(guest, "uname -r; test -c /dev/kvm && echo has kvm; id -u; pwd")
        release, *rest = text.split("\n")
        assert code == 0
        assert release.startswith(f"{series}.")
        assert rest == ["has kvm", "0", str(Path.cwd()), ""]
        code, text = said(guest, f"touch {HOUSE}/x")
        assert code == 1
        assert "Read-only" in text
        assert said(guest, "exit 7") == (7, "")
        assert said(guest, "seq 200000 | tail -n 1; sleep 3; echo done") == (0, "200000\ndone\n")
        assert guest.boot_seconds < 180


def test_a_command_answers_as_it_does_outside(kernel_of: KernelOf, sameslots: Sameslots, series: str) -> None:
    line = sameslots("show", "--json", GROW).stdout
    outside = sameslots("run", "--jsonl", "-", stdin=line)
    inside = sameslots("guest", kernel_of(series), "--", "run", "--jsonl", "-", stdin=line)
    assert (inside.returncode, inside.stdout) == (outside.returncode, outside.stdout) == (1, outside.stdout)


def test_the_model_is_right_about_this_kernel(kernel_of: KernelOf, sameslots: Sameslots, series: str) -> None:
    done = sameslots("guest", kernel_of(series), "--", "calibrate", "--ops", str(OPS), "--out", "/dev/shm/differences")
    assert done.returncode == 0, done.stdout + done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"Linux {series}.")
    assert "address_spaces=0x2, page_size=0x1000, max_gfn=0xfffffff, user_slots=0x7ffc, readonly=0x1" in first
    # 6.12 has REGION2 and grants ordinary VMs no guest_memfd: it refuses the flag before it looks at any slot.
    assert first.endswith("by the plain ioctl, undone")
    print(done.stdout)  # noqa: T201 - the counts, for whoever asks with -s


def test_the_engine_answers_from_inside_as_the_reference_does(kernel_of: KernelOf, series: str) -> None:
    with Guests(Plan(kernel_of(series)), news=io.StringIO()) as guests:
        machine = guests.machine("kvm")
        assert machine is not None
        assert (machine.address_spaces, machine.max_gfn) == (2, 0xFFFFFFF)
        lines = ["slots 1", "machine linux-6.1 max_gfn=0xfffffff"]
        lines += [f"apply slot=1:{i} gpa={i << 16:#x} size=0x10000 hva=0x100000000000" for i in range(5)]
        lines += ["apply slot=0:0 gpa=0x0 size=0x1000 hva=0x0", "apply slot=1:7 gpa=0x1000 size=0x1000 hva=0x0"]
        case = parse_case(lines).case
        got, wanted = guests.named("kvm").apply(case), Serial().apply(case)
        assert (got.active, got.entry_errnos) == (wanted.active, wanted.entry_errnos)
        # A guest's engine is the one that is here.
        assert guests.named("rfc-v1").apply(read_case(GROW).case).errno == 17
        assert guests.counts["boots"] == 1


def test_a_command_without_end_hangs(kernel_of: KernelOf, sameslots: Sameslots) -> None:
    done = sameslots("guest", "--timeout", "5", "--shell", kernel_of("6.1"), "--", "sleep 1000")
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.endswith("guest hung: the command has not ended after 5 s, though the guest still answers\n")
    assert not emulators()


def test_a_guest_that_stands_still_hangs(kernel_of: KernelOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.guests.command.SILENT_SECONDS", 10.0)
    with Guest(Plan(kernel_of("6.1"))) as guest:
        [emulator] = emulators()
        os.kill(emulator, signal.SIGSTOP)
        with pytest.raises(Lost, match="it has not answered for 10 s") as lost:
            said(guest, "true")
    assert lost.value.how == "hung"
    assert not emulators()


def test_a_panic_is_a_crash_with_its_lines(
    kernel_of: KernelOf, sameslots: Sameslots, series: str, tmp_path: Path
) -> None:
    words = ("guest", "--console", tmp_path / "console", "--shell", kernel_of(series))
    done = sameslots(*words, "--", "echo c > /proc/sysrq-trigger; sleep 1000")
    assert done.returncode == 125
    assert done.stderr.endswith("guest crashed: Kernel panic - not syncing: sysrq triggered crash\n")
    assert "sysrq_handle_crash" in done.stderr
    assert "Kernel panic - not syncing" in (tmp_path / "console").read_text()
    assert not emulators()


def test_a_guest_that_is_switched_off_has_died(kernel_of: KernelOf, sameslots: Sameslots) -> None:
    done = sameslots("guest", "--shell", kernel_of("6.1"), "--", "echo o > /proc/sysrq-trigger; sleep 1000")
    assert done.returncode == 126
    assert done.stderr.endswith("guest died: QEMU ended with 0\n")
    assert not emulators()


def test_a_folder_can_be_written_to_on_request(kernel_of: KernelOf, sameslots: Sameslots, tmp_path: Path) -> None:
    words = ("guest", "--write", tmp_path, kernel_of("6.1"), "--")
    done = sameslots(*words, "reduce", GROW, "--out", tmp_path / "small.slots")
    assert done.returncode == 0, done.stderr
    assert sameslots("replay", tmp_path / "small.slots").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_guest_is_left_however_its_owner_ends(kernel_of: KernelOf, number: int) -> None:
    program = str(Path(sys.executable).parent / "sameslots")
    with subprocess.Popen([program, "guest", "--shell", kernel_of("6.1"), "--", "sleep 1000"]) as owner:
        deadline = time.monotonic() + SOON
        while not emulators() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert emulators()
        owner.send_signal(number)
        try:
            owner.wait(SOON)
        finally:
            owner.kill()
    while emulators() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not emulators()


def tried(out: Path) -> int:
    """How many trials the campaign in `out` has had so far."""
    settings = settings_of(out)
    if not settings:
        return 0
    findings = Findings(out, settings)
    trials = findings.trials()
    findings.close()
    return trials


def test_a_campaign_goes_on_when_its_guest_is_shot(kernel_of: KernelOf, tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "sameslots")
    words = [program, "fuzz", "--guest", kernel_of("6.1"), "--engine", "kvm", "--backend", "random", "--seed", "1"]
    words += ["--runs", "200", "--out", str(tmp_path / "out")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as campaign:
        log = tmp_path / "out/random.log"
        deadline = time.monotonic() + 300
        # Not while it boots: then another is booted without a word.
        while not tried(tmp_path / "out") and time.monotonic() < deadline:
            time.sleep(0.1)
        [emulator] = emulators()
        os.kill(emulator, signal.SIGKILL)
        out, _ = campaign.communicate()
    assert "200 trials" in out, out
    assert campaign.returncode == 0, out
    assert "died: QEMU ended with -9" in log.read_text()
    assert re.search(r": boots [2-9], cases \d+, died \d", log.read_text())
    assert not emulators()
