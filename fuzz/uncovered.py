# SPDX-License-Identifier: GPL-2.0-only
"""What a clean result leaves unsaid, where one of the engines is a kernel tree's own code."""

from collections.abc import Iterator

from engines.tree.built import Built
from engines.tree.uncovered import uncovered


def uncovered_lines(built: Built) -> Iterator[str]:
    """What no clean result of this build speaks of."""
    yield "Not covered:"
    yield from (f"  {line}" for line in uncovered(built))
