# SPDX-License-Identifier: GPL-2.0-only
"""Calibration: a model that errs is found out, on the smallest sequence; one that does not errs in nothing."""

import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from errno import EEXIST, EINVAL
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from engines.real.host import Host
from fuzz import calibrate as command
from fuzz import calibration as calibration_module
from fuzz.calibrate import kept_in, summary
from fuzz.calibration import (
    GESTURES_A_SEQUENCE,
    Calibration,
    Difference,
    done_to,
    drawn_sequence,
    smallest,
)
from fuzz.cli import cli
from fuzz.grammar import Grammar
from fuzz.layout import GESTURE
from fuzz.models import Model, Plain
from fuzz.profiles import profile
from fuzz.replay import surprises
from memslots.machine import PROFILES, Machine
from memslots.outcome import Change
from memslots.region import Region
from memslots.slot import Gfn, Slot, SlotSets
from memslots.textreader import parse_case, read_case
from oracles.policy import Policy

Sameslots = Callable[..., subprocess.CompletedProcess[str]]


class Forgetful(Plain):
    """A model that lets a slot be created over another one."""

    def set_memory_region(self, region: Region) -> int:
        errno = super().set_memory_region(region)
        return 0 if errno == EEXIST and self.asked() is Change.CREATE else errno


class Silent(Plain):
    """A model that answers as Linux does and does not toggle LOG_DIRTY_PAGES."""

    def walk(self) -> SlotSets:
        return tuple(tuple(slot._replace(flags=slot.flags & ~1) for slot in slots) for slots in super().walk())


class Misnaming(Plain):
    """A model that is right in all but what it calls a MOVE, and a DELETE that is refused."""

    def asked(self) -> Change:
        return {Change.MOVE: Change.FLAGS_ONLY, Change.DELETE: Change.UNKNOWN}.get(super().asked(), super().asked())


def first_difference(model: Callable[[Machine], Model]) -> tuple[Calibration, Difference]:
    """The first at a CREATE."""
    calibration = Calibration(models={"erring": model})
    rng = Random(7)
    while calibration.ops < 20_000:
        difference = calibration.compare(drawn_sequence(rng, calibration.host.machine))
        if difference is not None and difference.asked is Change.CREATE:
            return calibration, difference
    raise AssertionError("not found")


def test_the_models_say_what_the_kernel_does(host: Host) -> None:
    calibration = Calibration()
    rng = Random(5)
    try:
        while calibration.ops < 2_000:
            assert calibration.compare(drawn_sequence(rng, host.machine)) is None
    finally:
        calibration.close()
    # No idle draw: each change was accepted and, where it can be, refused.
    counts = calibration.counts
    assert sum(counts.values()) == calibration.ops
    for change in (Change.CREATE, Change.DELETE, Change.MOVE, Change.FLAGS_ONLY, Change.NO_OP):
        assert counts[change, 0] > 20, change
    assert min(counts[Change.CREATE, EEXIST], counts[Change.MOVE, EEXIST], counts[Change.DELETE, EINVAL]) > 5
    assert counts[Change.UNKNOWN, EINVAL] > 100
    assert counts[Change.CREATE, EINVAL] > 5, "beyond the maximum gfn"
    assert calibration.left_out > 0


def test_a_wrong_answer_is_reduced_to_the_two_requests_that_it_takes(host: Host) -> None:
    calibration, difference = first_difference(Forgetful)
    small = smallest(calibration, difference)
    calibration.close()
    assert difference.kind == small.kind == "erring CREATE: the model says ok, the kernel EEXIST"
    assert [region.slot for region in small.regions] == [0, 1]
    assert [region.memory_size for region in small.regions] == [4096, 4096]


def test_every_model_is_compared_and_not_the_first_alone(host: Host) -> None:
    calibration = Calibration(models={"plain": Plain, "erring": Forgetful})
    over = "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=1 gpa=0x0 size=0x1000 hva=0x0"
    difference = calibration.compare(parse_case(over.splitlines()).case.apply)
    calibration.close()
    assert difference is not None
    assert difference.kind == "erring CREATE: the model says ok, the kernel EEXIST"


def test_slots_that_are_not_as_said_are_a_difference_though_the_answer_is_right(host: Host) -> None:
    calibration, difference = first_difference(Silent)
    small = smallest(calibration, difference)
    calibration.close()
    assert small.kind == "erring CREATE: ok, and other slots"
    assert len(small.regions) == 1
    assert small.slots[0][0].flags == 1
    assert small.expected_slots[0][0].flags == 0


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (
            "slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 gpa=0x1000 size=0x1000 hva=0x0",
            "erring MOVE: ok, and the model calls it FLAGS_ONLY",
        ),
        ("slot=0 size=0", "erring DELETE: EINVAL, and the model calls it UNKNOWN"),
    ],
)
def test_a_change_that_is_called_by_another_name_is_a_difference(host: Host, lines: str, kind: str) -> None:
    calibration = Calibration(models={"erring": Misnaming})
    difference = calibration.compare(parse_case(f"slots 1\napply {lines}".splitlines()).case.apply)
    calibration.close()
    assert difference is not None
    assert difference.kind == kind
    assert difference.slots == difference.expected_slots


@pytest.mark.parametrize("asked", ["CREATE", "DELETE", "MOVE", "FLAGS_ONLY", "NO_OP"])
def test_what_was_granted_is_named_by_the_slots_before_and_after_it(asked: str) -> None:
    """Slot 1 is another one that stays; the request is about slot 0."""
    other, plain = Slot(0, 1, Gfn(9), 1, 0, 0), Slot(0, 0, Gfn(4), 1, 0, 0)
    after = {
        "CREATE": (plain, other),
        "DELETE": (other,),
        "MOVE": (plain._replace(base_gfn=Gfn(5), flags=1), other),
        "FLAGS_ONLY": (plain._replace(flags=1), other),
        "NO_OP": (plain, other),
    }
    before = (other,) if asked == "CREATE" else (plain, other)
    assert done_to(Region(0), (before,), (after[asked],)) is Change[asked]


def test_a_difference_is_kept_as_a_case_that_replays(host: Host, tmp_path: Path) -> None:
    """A model error that `serial` does not share: the file tells the requests, and that engines agree on them."""
    calibration, difference = first_difference(Forgetful)
    path = kept_in(tmp_path / "new", calibration, difference)
    calibration.close()
    text = path.read_text()
    assert "# erring CREATE: the model says ok, the kernel EEXIST" in text
    assert "shown again in 3 of 3 runs" in text
    file = read_case(path)
    assert len(file.case.given) + len(file.case.apply) == 2
    assert list(surprises(path, file, "serial", Policy.ATOMIC)) == []


def test_sequences_repeat_with_their_seed() -> None:
    machine = PROFILES["linux-6.1"]
    first, second = (drawn_sequence(Random(3), machine) for _ in range(2))
    assert first == second != drawn_sequence(Random(4), machine)


def test_a_third_of_what_is_drawn_is_aimed_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no profile favours anything; left to itself, a choice is a limit once in sixteen."""
    shares: list[float] = []

    class Watched(Grammar):
        def add(self, choice: int) -> None:
            self.chosen: list[str] = [*getattr(self, "chosen", ()), self.profile.gestures[GESTURE.of(choice)]]
            if len(self.chosen) == GESTURES_A_SEQUENCE and self.profile == profile(0):
                shares.append(self.chosen.count("boundary") / GESTURES_A_SEQUENCE)
            super().add(choice)

    monkeypatch.setattr(calibration_module, "Grammar", Watched)
    rng = Random(1)
    for _ in range(60):
        drawn_sequence(rng, PROFILES["linux-6.1"])
    assert 15 < len(shares) < 45, "every other one"
    assert 0.33 < sum(shares) / len(shares) < 0.45


def test_what_fails_half_way_leaves_no_vm_open(host: Host) -> None:
    class Failing(Plain):
        def set_memory_region(self, region: Region) -> int:
            raise ZeroDivisionError

    calibration = Calibration(models={"failing": Failing})
    calibration.compare([])
    before = sorted(Path("/proc/self/fd").iterdir())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            calibration.compare([Region(0, 0, 0, 4096, 0)])
    vms = sorted(Path("/proc/self/fd").iterdir())
    assert len(vms) == len(before) - 1, "the one that was kept has gone, and none is left in its place"
    calibration.close()


def test_the_command_compares_and_counts(host: Host, sameslots: Sameslots) -> None:
    ran = sameslots("calibrate", "--ops", "300", "--seed", "1", "--out", "/nonexistent/never/made")
    assert ran.returncode == 0, ran.stderr
    first, heads, *rows, last = ran.stdout.splitlines()
    assert first.startswith(f"Linux {host.release}: address_spaces={host.machine.address_spaces:#x}, ")
    assert heads.split() == ["CREATE", "DELETE", "MOVE", "FLAGS_ONLY", "NO_OP", "UNKNOWN"]
    assert [row.split()[0] for row in rows] == ["ok", "EEXIST", "EINVAL"]
    counted = sum(int(cell.replace(",", "")) for row in rows for cell in row.split()[1:])
    assert last.startswith(f"{counted} requests in ")
    assert counted >= 300
    assert "event=calibrate" in ran.stderr


def test_the_command_keeps_each_kind_of_difference_and_exits_with_1(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right model stands first; of the others, one errs in an answer and one in names."""

    class Watched(Calibration):
        """Tells what it found, and whether it was closed."""

        def __init__(self) -> None:
            super().__init__(models={"plain": Plain, "forgetful": Forgetful, "misnaming": Misnaming})
            self.found: list[str] = []
            self.closed = False
            made.append(self)

        def compare(self, regions: Sequence[Region], *, counted: bool = True) -> Difference | None:
            difference = super().compare(regions, counted=counted)
            if counted and difference is not None:
                self.found.append(difference.kind)
            return difference

        def close(self) -> None:
            super().close()
            self.closed = True

    made: list[Watched] = []
    monkeypatch.setattr(command, "Calibration", Watched)
    words = ["calibrate", "--ops", "700", "--seed", "1", "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(cli, words, standalone_mode=False)
    [calibration] = made
    assert ran.exception is None
    assert ran.return_value == 1
    assert calibration.closed
    assert calibration.left_out > 0
    assert f" {calibration.left_out:,} left out, " in ran.stdout
    kinds = Counter(calibration.found)
    assert set(kinds) > {
        "forgetful CREATE: the model says ok, the kernel EEXIST",
        "misnaming MOVE: ok, and the model calls it FLAGS_ONLY",
    }
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == len(kinds)
    for path in files:
        text = path.read_text()
        [kind] = [kind for kind in kinds if f"# {kind}\n" in text]
        assert f"\n{kind}: {kinds[kind]:,} times; the smallest that shows it, {path}:\n{text}" in ran.stdout
        assert f'kind="{kind}" file={path} event=difference' in ran.stderr


def test_ctrl_c_ends_it_with_its_counts(host: Host, started: Callable[..., subprocess.Popen[str]]) -> None:
    import signal

    running = started("calibrate", "--time", "60")
    assert running.stderr is not None
    assert "event=calibrate" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out.splitlines()[-1].endswith("interrupted")


def test_a_summary_of_nothing_is_no_error(host: Host) -> None:
    calibration = Calibration()
    lines = list(summary(calibration, 0.0, 1, interrupted=True))
    calibration.close()
    first, last = lines  # and no table without a column
    assert first.startswith("Linux ")
    assert last.startswith("0 requests in 0 s")


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "-1"])
def test_a_time_that_never_comes_is_bad_usage(seconds: str, sameslots: Sameslots) -> None:
    ran = sameslots("calibrate", "--time", seconds, "--out", "/nonexistent/never/made")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--time" in ran.stderr


@pytest.mark.parametrize("command", [("calibrate",), ("fuzz", "--engine", "kvm"), ("show", "--engine", "kvm")])
def test_without_the_device_one_line_says_so(command: tuple[str, ...], sameslots: Sameslots, tmp_path: Path) -> None:
    """In a mount namespace whose /dev holds nothing."""
    path = tmp_path / "x.slots"
    path.write_text("slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\n")
    within = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"',
        "x",
    )
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root: a mount namespace in which /dev/kvm is hidden")
    ran = sameslots(*command, *([path] if command[0] == "show" else []), within=within)
    assert ran.returncode == 3
    assert ran.stdout == ""
    assert ran.stderr == (
        "sameslots: /dev/kvm is not there: load kvm_amd or kvm_intel, or run inside `sameslots guest`\n"
    )
