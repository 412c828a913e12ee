# SPDX-License-Identifier: GPL-2.0-only
"""Which commit this code is of, where that can be known."""

import os
import subprocess
from pathlib import Path

_HOUSE = Path(__file__).parent.parent
_ROOMS = ("memslots", "engines", "oracles", "reducers", "reports", "fuzz")
_SECONDS = 10


def commit(house: Path = _HOUSE) -> str | None:
    """`7768dc5a1b2c`, `7768dc5a1b2c with changes` where the code is no longer what was committed.

    None where this is no checkout, as when it was installed, or git is not there.
    """
    # Of the repository that a package was installed somewhere in, nothing is told.
    if _git(house, "rev-parse", "--show-prefix") != "":
        return None
    head = _git(house, "rev-parse", "--short=12", "HEAD")
    changed = _git(house, "status", "--porcelain", "--", *_ROOMS)
    if not head or changed is None:
        return None
    return f"{head} with changes" if changed else head


def _git(house: Path, *arguments: str) -> str | None:
    """What git prints; None if it fails, or there is none."""
    # A hook's variables would name its own repository, whatever the folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        ran = subprocess.run(
            ["git", "-C", str(house), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if ran.returncode else ran.stdout.decode(errors="replace").strip()
