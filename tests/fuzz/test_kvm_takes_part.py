# SPDX-License-Identifier: GPL-2.0-only
"""The kernel of this machine in replays, pictures, runs and campaigns, like any engine."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from engines.real.host import Host

Sameslots = Callable[..., subprocess.CompletedProcess[str]]


def test_kvm_takes_part_like_any_engine(host: Host, sameslots: Sameslots, tmp_path: Path) -> None:
    """A list that is refused leaves what serial leaves: a single ioctl undoes nothing, whatever the policy."""
    path = tmp_path / "x.slots"
    path.write_text(
        "slots 1\ngiven slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 size=0\napply slot=9 size=0\n"
        "expect kvm refused EINVAL at 1\nexpect kvm active none\nexpect kvm agrees\n"
    )
    assert sameslots("replay", path).stdout == "1 replayed: 1 as expected, 0 not, 0 bad\n"
    shown = sameslots("show", path, "--engine", "kvm").stdout
    assert "A refused list must leave what the reference has at its first refusal (policy prefix)." in shown
    assert "No mismatch." in shown
    line = sameslots("show", path, "--json").stdout
    ran = sameslots("run", "--engine", "kvm", "--jsonl", "-", stdin=line)
    assert ran.returncode == 0
    assert '"kvm": {"ended": "returned", "kind": null, "value": -1, "errno": 22, "entry_errnos": [0, 22]' in ran.stdout


def test_a_campaign_on_the_kernel_finds_nothing_and_leaves_out_what_is_too_large(
    host: Host, sameslots: Sameslots, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = sameslots("fuzz", "--engine", "kvm", "--backend", "random", "--runs", "400", "--seed", "10", "--out", out)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "400 trials" in ran.stdout
    assert ": 0 buckets" in ran.stdout
    assert "left out, for an engine cannot be given them: " in ran.stdout
    assert "allowed by design" not in ran.stdout
