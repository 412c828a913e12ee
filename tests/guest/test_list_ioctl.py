# SPDX-License-Identifier: GPL-2.0-only
"""kvm-list on a kernel that has a list ioctl: right, and wrong in every way that kernel/astray.c knows."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memslots.jsonl import Json
from memslots.uapi import U64

KERNELS = "SAMESLOTS_LIST_KERNELS"
"""The folder of the kernels that `make list-kernels` builds: set by `make test-guest`."""
HOUSE = Path(__file__).parents[2]
PROGRAM = HOUSE / "tests/guest/list_variants.py"
CASES = int(os.environ.get("CASES", "500"))
Line = dict[str, Json]
Tried = Callable[..., dict[str, Line]]


@pytest.fixture
def tried() -> Tried:
    """What the program says that was run in a guest, a line for each variant."""

    def tried(kernel: str, cases: int, *variants: str) -> dict[str, Line]:
        if KERNELS not in os.environ:
            pytest.skip("boots guests: make test-guest")
        image = Path(os.environ[KERNELS]).resolve() / kernel / "arch/x86/boot/bzImage"
        if not image.exists():
            pytest.skip(f"needs {image}: make list-kernels")
        inside = f"cd {HOUSE} && exec {sys.executable} -m tests.guest.list_variants {cases} {' '.join(variants)}"
        command = [str(Path(sys.executable).parent / "sameslots"), "guest", "--shell", str(image), "--", inside]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["variant"] for line in lines] == [*(["naive"] if cases else []), *variants], done.stderr
        print(done.stdout)  # noqa: T201 - the counts, for whoever asks with -s
        return {line["variant"]: line for line in lines}

    return tried


def facets(line: Line, *names: str) -> list[Json]:
    outcome = line["outcome"]
    assert isinstance(outcome, dict)
    return [outcome[name] for name in names]


ENDED = ("ended", "kind", "value", "errno")


def test_one_at_a_time_in_one_call_is_a_prefix_and_not_atomic(tried: Tried) -> None:
    """Under policy atomic every list that leaves something behind is found, and under prefix none."""
    naive = tried("plain", CASES)["naive"]
    assert naive["cases"] == CASES
    assert isinstance(naive["torn"], int)
    assert naive["torn"] > CASES // 20
    assert naive["found"] == {"atomic": {"final_slots": naive["torn"]}, "prefix": {}}


def test_every_way_to_go_wrong_is_an_outcome(tried: Tried) -> None:
    said = tried(
        "plain", 0, "returns-1", "extra-slot", "warns", "keeps-lock", "sleeps", "hangs", "oops", "bug", "loops"
    )
    for name, line in said.items():
        if name not in ("warns", "keeps-lock", "extra-slot", "returns-1"):
            assert facets(line, "active", "slots_lock") == [None, None]
            buckets = line["buckets"]
            assert isinstance(buckets, list)
            assert [str(bucket)[:12] for bucket in buckets] == ["survival ok "]
    assert facets(said["returns-1"], *ENDED) == ["returned", None, 1, 0]
    assert facets(said["returns-1"], "active") == [said["returns-1"]["expected"]]
    [slots] = facets(said["extra-slot"], "active")
    assert isinstance(slots, dict)
    # That it is there is certain; where, no request tells.
    assert slots["0"] == [[1, 0, 32, 0x10000, 0], [7, 0, 0, U64, 0]]
    assert said["extra-slot"]["buckets"] == ["final_slots ok ok nowhere"]
    assert facets(said["warns"], "value", "warned") == [0, True]
    assert said["warns"]["buckets"] == ["invariants warned ok ok UNKNOWN warn"]
    assert facets(said["keeps-lock"], *ENDED, "slots_lock", "active") == ["returned", None, 0, 0, True, None]
    assert said["keeps-lock"]["buckets"] == ["balance slots_lock-held ok ok nowhere"]
    for name in ("sleeps", "hangs"):
        assert facets(said[name], *ENDED) == ["hung", None, None, None]
    assert facets(said["oops"], *ENDED) == ["crashed", "null-dereference", None, None]
    assert facets(said["bug"], *ENDED) == ["crashed", "bug", None, None]
    assert facets(said["loops"], *ENDED) == ["looped", None, None, None]
    suspect = {name for name, line in said.items() if line["suspect"]}
    assert suspect == {"oops", "bug", "loops"}


@pytest.mark.parametrize("damage", ["use-after-free", "double-free", "out-of-bounds"])
def test_kasan_tells_of_memory_errors(tried: Tried, damage: str) -> None:
    """One a guest: KASAN reports the first of a boot."""
    said = tried("kasan", 0, "naive", damage)
    assert facets(said["naive"], "damage", "warned") == [[], False]
    assert said["naive"]["buckets"] == []
    assert facets(said[damage], "value", "damage") == [0, [damage]]
    assert said[damage]["buckets"] == [f"balance {damage} ok ok UNKNOWN damage"]
    assert "memory was damaged" in str(said[damage]["suspect"])


def test_lockdep_tells_of_a_lock_that_is_kept(tried: Tried) -> None:
    kept = tried("kasan", 0, "keeps-lock")["keeps-lock"]
    assert facets(kept, "slots_lock") == [True]
    assert ["log", "lock held when returning to user space"] in kept["mishaps"]  # type: ignore[operator]
