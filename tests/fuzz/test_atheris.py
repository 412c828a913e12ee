# SPDX-License-Identifier: GPL-2.0-only
"""atheris as a backend and on farms: the same findings, our options kept, and an input left for each crash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.findings import settings_of
from tests.fuzz.campaigns import fuzz, opened

WORKER = Path(__file__).parent.parent.parent / "fuzz" / "worker.py"
FLAGGED_CREATE = "apply slot=5 gpa=0x7000 size=0x3000 hva=0x100000000000 invalidate"


def test_a_worker_is_an_executable_of_its_own() -> None:
    assert os.access(WORKER, os.X_OK)
    assert WORKER.read_text().startswith("#!")


def test_atheris_finds_the_same_and_keeps_its_corpus(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    for mutator in ("--mutator", "--no-mutator"):
        result = fuzz("--backend", "atheris", "--runs", "400", "--seed", "5", "--out", mutator, mutator, cwd=tmp_path)
        assert result.returncode == 1, result.stderr
        assert opened(tmp_path / mutator).trials() == 400
        assert "survival ok hung P1 CREATE lock" in result.stdout
        assert len(list((tmp_path / mutator / "atheris-corpus").iterdir())) > 10


def test_atheris_starts_from_seeds(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    (tmp_path / "seed.slots").write_text(f"slots 1\n{FLAGGED_CREATE}\n")
    result = fuzz("--backend", "atheris", "--runs", "2", "--seeds", "seed.slots", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert "survival ok hung P1 CREATE lock" in result.stdout


def test_the_farm_mode_raises_and_leaves_the_input(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    result = subprocess.run(
        [sys.executable, WORKER, "--backend", "atheris", "--raise", "--out", "out", "--seed", "5"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 77
    assert "MismatchFound" in result.stdout + result.stderr
    assert list((tmp_path / "out").glob("crash-*"))


def worker(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, WORKER, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def test_what_libfuzzer_runs_again_keeps_our_options_and_our_python(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    jobs = worker("--out=jobs", "--policy=prefix", "-jobs=1", "-workers=1", "-runs=200", cwd=tmp_path)
    assert jobs.returncode == 0, jobs.stderr
    assert settings_of(tmp_path / "jobs")["policy"] == "prefix"
    assert opened(tmp_path / "jobs").trials() > 0
    assert not (tmp_path / "findings").exists()
    merged = tmp_path / "merged"
    merged.mkdir()
    merge = worker(
        "--out=jobs", "--policy=prefix", "-merge=1", merged, tmp_path / "jobs" / "atheris-corpus", cwd=tmp_path
    )
    assert merge.returncode == 0, merge.stderr
    assert len(list(merged.iterdir())) > 5


def test_a_farm_forks_finds_and_replays(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed")
    fork = worker("--raise", "--out=out", "--seed=5", "-fork=1", "-runs=500", cwd=tmp_path)
    assert fork.returncode == 77
    [crash, *_] = (tmp_path / "out").glob("crash-*")
    again = worker("--raise", "--out=out", crash, cwd=tmp_path)
    assert again.returncode == 77
    assert "MismatchFound" in again.stdout + again.stderr
