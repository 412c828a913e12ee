# SPDX-License-Identifier: GPL-2.0-only
"""A VM that takes lists, and a reader of its memory: what a list ioctl is tried on."""

import os
from struct import Struct
from typing import Protocol

from engines.real.device import KVM, ioctl, opened
from engines.real.host import SET_USER_MEMORY_REGION_LIST, Host, this_host
from engines.real.permission import permitted
from engines.real.vm import Vm
from memslots.case import Case
from memslots.errors import Missing
from memslots.uapi import ENTRY_BYTES

_CREATE_VCPU = 0xAE41
_SET_MSRS = 0x4008_AE89
_HEADER = Struct("=II")
_ENTRY = Struct("=IIQQQB31s")
_ONE_MSR = Struct("=IIIIQ")
_MSR_PV_EOI = 0x4B56_4D04
_ENABLED = 1
assert _ENTRY.size == ENTRY_BYTES


def packed_list(case: Case) -> bytearray:
    """struct kvm_userspace_memory_region_list: the header, every entry that the case gives, and zeros up to nent."""
    entries = b"".join(_ENTRY.pack(*region) for region in case.apply)
    packed = bytearray(_HEADER.pack(case.entries, case.header_flags) + entries)
    packed.extend(bytes(max(case.entries - len(case.apply), 0) * ENTRY_BYTES))
    return packed


class ListVm(Vm):
    """A VM with one vCPU that never runs: it reads."""

    def __init__(self, kvm: int) -> None:
        super().__init__(kvm)
        self._vcpu = ioctl(self.fd, _CREATE_VCPU)
        if self._vcpu < 0:
            self.close()
            raise Missing(f"KVM_CREATE_VCPU: {os.strerror(-self._vcpu)}: this machine cannot hold another vCPU")
        os.set_inheritable(self._vcpu, False)

    def close(self) -> None:
        """Give both back to the kernel."""
        if self.fd >= 0 <= self._vcpu:
            os.close(self._vcpu)
        super().close()

    def set_list(self, packed: bytearray) -> int:
        """KVM_SET_USER_MEMORY_REGION_LIST: what it returns, or -errno."""
        # A bytearray, not bytes: of bytes the return value would be lost.
        return ioctl(self.fd, SET_USER_MEMORY_REGION_LIST, packed)

    def finds(self, guest_phys_addr: int) -> bool:
        """Whether a reader finds memory here that may be written: a slot of address space 0, not INVALID or READONLY.

        MSR_KVM_PV_EOI_EN names an address that KVM looks up at once (kvm_lapic_set_pv_eoi), in the active set, under
        SRCU: neither slots_lock nor slots_arch_lock is taken, and nothing is written there. KVM_SET_MSRS answers
        how many MSRs it has set.
        """
        asked = bytearray(_ONE_MSR.pack(1, 0, _MSR_PV_EOI, 0, guest_phys_addr | _ENABLED))
        return ioctl(self._vcpu, _SET_MSRS, asked) == 1


class ListKvm(Protocol):
    """The door to a KVM that knows lists: this machine's, or one that a test makes up."""

    def host(self) -> Host:
        """What its VMs are like. Raises Missing, or Withheld, where lists may not be tried."""
        ...

    def vm(self) -> ListVm:
        """A new VM of this process. Raises Missing."""
        ...


class ThisKvm:
    """/dev/kvm, where it has the list ioctl and may be wrecked. What it opens stays open until its process ends."""

    def __init__(self, path: str = KVM) -> None:
        self._path = path
        self._fd = -1
        self._pid = 0

    def host(self) -> Host:
        """What its VMs are like. Raises Missing where it has no list ioctl, Withheld where it may not be used."""
        permitted()
        host = this_host(self._path)
        if not host.region_list:
            raise Missing(
                f"Linux {host.release} has no KVM_SET_USER_MEMORY_REGION_LIST (it answers ENOTTY): boot a kernel that"
                " has it with `sameslots guest KERNEL` (docs/guest.md)"
            )
        return host

    def vm(self) -> ListVm:
        """A new VM of this process. Raises Missing, Withheld."""
        permitted()
        if self._pid != os.getpid():
            self._fd, self._pid = opened(self._path), os.getpid()
        return ListVm(self._fd)
