# SPDX-License-Identifier: GPL-2.0-only
"""The single ioctl of a kernel with patches 1 to 8 of the RFC (9 Sep 2022): KVM_SET_USER_MEMORY_REGION, refactored.

What is accepted comes out as before. What fails between the checks and the publication does not: `series.py` has the
steps and their "sic".
"""

from errno import EFAULT

from engines.simulated.kernel import Kernel
from engines.simulated.series import Pauses, Series
from engines.simulated.vm import BatchEntry
from memslots.region import Region


class SingleCall(Series):
    """One KVM_SET_USER_MEMORY_REGION on a patched kernel. Run `steps` to its end, then `r` is what it returned."""

    def __init__(self, kernel: Kernel, region: Region) -> None:
        super().__init__(kernel)
        self.region = region

    def steps(self) -> Pauses:
        """kvm_vm_ioctl and kvm_vm_ioctl_set_memory_region (patch 3: the zeroed batch entry is the caller's)."""
        kernel = self.kernel
        kernel.entry = None
        if kernel.faults and kernel.fails("copy"):
            self.refuse(EFAULT, "copy of the region")
            return
        entry = kernel.entry = BatchEntry()
        yield from self.set_memory_region(self.region, entry)


def set_memory_region(kernel: Kernel, region: Region) -> int:
    """0 or -errno, with nobody falling in. Raises Ended if it never returns."""
    call = SingleCall(kernel, region)
    for _ in call.steps():
        pass
    return call.r
