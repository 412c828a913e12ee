# SPDX-License-Identifier: GPL-2.0-only
"""Tests that boot guests, minutes long: `make test-guest` runs them; without it they are skipped by name."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

KERNELS = "SAMESLOTS_KERNELS"
"""The folder with Debian's kernel packages: set by `make test-guest`."""
SERIES = {"6.1": "linux-image-6.1.0-*-amd64_*.deb", "6.12": "linux-image-6.12.*-amd64_*.deb"}


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    """6.1, then 6.12."""
    return str(request.param)


@pytest.fixture
def kernel_of() -> Callable[[str], str]:
    """The package of a series."""

    def kernel_of(series: str) -> str:
        if KERNELS not in os.environ:
            pytest.skip("boots guests: make test-guest")
        found = sorted(Path(os.environ[KERNELS]).resolve().glob(SERIES[series]))
        if not found:
            pytest.skip(
                f"needs {SERIES[series]} in {os.environ[KERNELS]}: tests/guest/prepare says why it is not there"
            )
        return str(found[-1])

    return kernel_of


@pytest.fixture
def sameslots() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `sameslots`, with all the time that it takes."""

    def sameslots(*args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).parent / "sameslots")
        return subprocess.run([program, *map(str, args)], input=stdin, capture_output=True, text=True, check=False)

    return sameslots
