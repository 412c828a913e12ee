# SPDX-License-Identifier: GPL-2.0-only
"""What a clean result of a kernel tree does not speak of: told with each."""

from collections.abc import Iterator

from engines.tree.built import Built

NEVER = (
    "concurrency: one thread runs, and no reader or notifier falls in",
    "lockdep's and RCU's own assertions",
    "page tables and TLBs: what the MMU makes of a change",
    "other architectures than x86-64",
)


def uncovered(built: Built) -> Iterator[str]:
    """A line for each thing that this build's code cannot show, its silent services by name."""
    yield from NEVER
    if "x86" not in built.options:
        yield "x86's own hooks (prepare, commit, free): simple ones stand in (build with --x86)"
    if "asan" not in built.options:
        yield "reads of freed memory that come to nothing (build with --asan)"
    if built.returns_zero:
        yield f"services of the kernel that do nothing here and return 0: {', '.join(built.returns_zero)}"
