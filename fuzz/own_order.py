# SPDX-License-Identifier: GPL-2.0-only
"""The order in which an engine applies a list, where that is another than the list's own."""

from collections.abc import Callable
from dataclasses import replace

from memslots.case import Case


def deletions_first(case: Case) -> Case:
    """The list as QEMU commits it: address space after address space, deletions, then creations, else as they stand."""
    entries = sorted(case.named(), key=lambda region: (region.as_id, region.memory_size != 0))
    return replace(case, apply=tuple(entries), nent=None)


OWN_ORDER: dict[str, Callable[[Case], Case]] = {"qemu-commit": deletions_first}
"""By the name of the engine. What it does is held to the reference on this list, wherever one of them refuses."""
