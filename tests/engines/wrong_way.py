# SPDX-License-Identifier: GPL-2.0-only
"""A way of applying docs/examples/split.slots, or a list like it, that does not do what it answers."""

from engines.real.vm import Vm
from memslots.case import Case


class LeavesOther:
    """It answers 0, and leaves what the list does not say: slot 0 a page longer, or slot 1 on another page."""

    keeps_prefix = inhibits = True

    def __init__(self, longer: bool) -> None:
        self._longer = longer

    def apply(self, vm: Vm, case: Case) -> int:
        delete, first, last = case.apply
        if self._longer:
            first = first._replace(memory_size=0x2000)
        else:
            last = last._replace(userspace_addr=first.userspace_addr)
        assert [vm.set_memory_region(region) for region in (delete, first, last)] == [0, 0, 0]
        return 0
