# SPDX-License-Identifier: GPL-2.0-only
"""A real VM, and the requests about its memory slots. Every answer is 0 or an errno (positive)."""

import os
from collections.abc import Callable
from errno import EINTR
from struct import Struct

from engines.real.device import ioctl
from memslots.errors import Missing
from memslots.region import Region

_CREATE_VM = 0xAE01
_CHECK_EXTENSION = 0xAE03
_SET_USER_MEMORY_REGION = 0x4020_AE46
_SET_USER_MEMORY_REGION2 = 0x40A0_AE49
_CLEAR_DIRTY_LOG = 0xC018_AEC0

_REGION = Struct("=IIQQQ")
_REGION2 = Struct("=IIQQQQII112x")
_CLEAR = Struct("=IIQQ")
GUEST_MEMFD = 1 << 2
_NO_FD = 0xFFFF_FFFF
_BEYOND_USER_SPACE = 0x7FFF_FFFF_F000
"""An address that no bitmap is at: num_pages = 0 reads none."""

_set: Callable[..., bytes] = _REGION.pack
_set2: Callable[..., bytes] = _REGION2.pack


def extension(fd: int, number: int) -> int:
    """What KVM_CHECK_EXTENSION of /dev/kvm or a VM answers: 0 where there is none."""
    return max(ioctl(fd, _CHECK_EXTENSION, number), 0)


class Vm:
    """One VM without a vCPU. Close it, or use it in a `with` block. Raises Missing if it cannot be made."""

    def __init__(self, kvm: int) -> None:
        self.fd = -1
        fd = ioctl(kvm, _CREATE_VM)
        while fd == -EINTR:
            fd = ioctl(kvm, _CREATE_VM)
        if fd < 0:
            raise Missing(f"KVM_CREATE_VM: {os.strerror(-fd)}: this machine cannot hold another VM")
        os.set_inheritable(fd, False)
        self.fd = fd

    def __enter__(self) -> "Vm":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the VM back to the kernel."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def set_memory_region(self, region: Region) -> int:
        """KVM_SET_USER_MEMORY_REGION, as `region` says."""
        return -ioctl(self.fd, _SET_USER_MEMORY_REGION, _set(*region[:5]))

    def set(self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int) -> int:
        """The same, field by field."""
        packed = _set(slot, flags, guest_phys_addr, memory_size, userspace_addr)
        return -ioctl(self.fd, _SET_USER_MEMORY_REGION, packed)

    def ask(self, slot: int, guest_phys_addr: int, memory_size: int) -> int:
        """What KVM_SET_USER_MEMORY_REGION2 says to a guest_memfd that is none, which it refuses before any change.

        EINVAL: the slot is there. EEXIST: it is not, and some gfn of the range is covered. EBADF: neither.
        ENOTTY: a kernel before 6.8.
        """
        packed = _set2(slot, GUEST_MEMFD, guest_phys_addr, memory_size, 0, 0, _NO_FD, 0)
        return -ioctl(self.fd, _SET_USER_MEMORY_REGION2, packed)

    def logs(self, slot: int) -> bool:
        """Whether the slot is there and has a dirty bitmap (KVM_CLEAR_DIRTY_LOG of no page)."""
        return ioctl(self.fd, _CLEAR_DIRTY_LOG, _CLEAR.pack(slot, 0, 0, _BEYOND_USER_SPACE)) == 0
