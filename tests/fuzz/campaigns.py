# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns as tests run them: the command in a process of its own, and the folder that it leaves."""

import subprocess
import sys
from pathlib import Path

from fuzz.findings import Findings, settings_of

SAMESLOTS = Path(sys.executable).parent / "sameslots"


def fuzz(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SAMESLOTS, "fuzz", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def opened(folder: Path) -> Findings:
    return Findings(folder, settings_of(folder))
