# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU in real mode that does one thing at a time: read a word, write a word, or run the code that stands at a place.

Its routines are a few bytes long and end in HLT. Segments reach 4 GiB ("big real mode"), so every page below can
be named by a 32-bit address; the code segment begins where the code stands, for the instruction pointer has 16 bits.
"""

import os
from enum import Enum
from errno import EAGAIN, EINTR
from struct import Struct
from typing import NamedTuple

from engines.real.device import ioctl, mapped
from engines.real.vm import Vm
from memslots.errors import Missing

_GET_VCPU_MMAP_SIZE = 0xAE04
_CREATE_VCPU = 0xAE41
_RUN = 0xAE80
_GET_SREGS, _SET_SREGS = 0x8138_AE83, 0x4138_AE84
_GET_REGS, _SET_REGS = 0x8090_AE81, 0x4090_AE82
_REGS = Struct("=18Q")  # rax rbx rcx rdx rsi rdi rsp rbp r8..r15 rip rflags
_SEGMENT = Struct("=QIHBBBBBBBBBx")  # base limit selector type present dpl db s l g avl unusable
_SREGS_BYTES, _REGS_BYTES = 312, 144
_EXIT_REASON_AT, _EXIT_AT = 8, 32
_REASON = Struct("=I")
_MMIO = Struct("=Q8sIB")  # phys_addr data len is_write
_RFLAGS = 2
_LIMIT = 0xFFFF_FFFF

READ = bytes.fromhex("67 8b 03 f4")
"""mov ax, [ebx]; hlt"""
WRITE = bytes.fromhex("67 89 0b f4")
"""mov [ebx], cx; hlt"""
ASCII_ADJUST = bytes.fromhex("37 f4")
"""aaa; hlt: every processor does it in real mode, and KVM's emulator has never known it."""
REACHED = 1 << 32
"""The end of what a 32-bit address reaches, in bytes."""
LOCAL_APIC = 0xFEE0_0000
"""The page of the local APIC: KVM's emulator takes it for MMIO, whatever slot is there."""


def answering(word: int) -> bytes:
    """Code that answers a word: mov ax, word; hlt."""
    return b"\xb8" + word.to_bytes(2, "little") + b"\xf4"


class Exit(Enum):
    """How one access ended: KVM_EXIT_HLT (it was done), KVM_EXIT_MMIO, or otherwise."""

    DONE = 5
    MMIO = 6
    INTERNAL_ERROR = 17
    SHUTDOWN = 8
    OTHER = -1


class Access(NamedTuple):
    """How an access ended, the word that it brought (AX), and how often KVM_RUN was interrupted on the way."""

    exit: Exit
    word: int
    retries: int


class Vcpu:
    """One vCPU of a VM, with code at `code_at`, a guest physical address below 4 GiB. Close it before the VM."""

    def __init__(self, kvm: int, vm: Vm, code_at: int) -> None:
        """Raises Missing if this machine cannot run one."""
        self._fd = ioctl(vm.fd, _CREATE_VCPU)
        if self._fd < 0:
            raise Missing(f"KVM_CREATE_VCPU: {os.strerror(-self._fd)}: this machine cannot run a vCPU")
        os.set_inheritable(self._fd, False)
        try:
            self._run = mapped(self._fd, ioctl(kvm, _GET_VCPU_MMAP_SIZE))
            self._sregs = bytearray(_SREGS_BYTES)
            self._told(_GET_SREGS, self._sregs)
        except BaseException:
            os.close(self._fd)
            raise
        self._own = self._segments(code_at)

    def close(self) -> None:
        """Give it back to the kernel."""
        self._run.close()
        os.close(self._fd)

    def _told(self, request: int, registers: bytes | bytearray) -> None:
        answer = ioctl(self._fd, request, registers)
        if answer < 0:
            raise Missing(f"the registers of a vCPU ({request:#x}): {os.strerror(-answer)}: this KVM lets none be set")

    def _segments(self, code_base: int) -> bytes:
        """Special registers in real mode: data from 0, code from `code_base`, both as far as 4 GiB."""
        sregs = bytearray(self._sregs)
        data = _SEGMENT.pack(0, _LIMIT, 0, 3, 1, 0, 0, 1, 0, 1, 0, 0)
        code = _SEGMENT.pack(code_base, _LIMIT, code_base >> 4 & 0xFFFF, 11, 1, 0, 0, 1, 0, 1, 0, 0)
        for i, segment in enumerate((code, data, data, data, data, data)):  # cs ds es fs gs ss
            sregs[i * _SEGMENT.size : (i + 1) * _SEGMENT.size] = segment
        return bytes(sregs)

    def read(self, guest_phys_addr: int) -> Access:
        """Read the word at this address."""
        return self._done(self._own, 0, 0xDEAD, guest_phys_addr)

    def write(self, guest_phys_addr: int, word: int) -> Access:
        """Write a word there."""
        return self._done(self._own, len(READ), 0, guest_phys_addr, word)

    def fetch(self, guest_phys_addr: int) -> Access:
        """Run the code that stands there."""
        return self._done(self._segments(guest_phys_addr), 0, 0xDEAD, 0)

    def emulated(self) -> bool:
        """Whether KVM emulates real mode here, instruction by instruction, instead of letting the processor run it.

        The emulator reads and writes as KVM itself does: a slot that is INVALID is no memory to it, where a page fault
        of the processor tries again. Raises Missing where real mode does not run at all.
        """
        access = self._done(self._own, len(READ) + len(WRITE), 0, 0)
        if access.exit not in (Exit.DONE, Exit.INTERNAL_ERROR):
            raise Missing(f"a vCPU in real mode ends with {access.exit.name}: this machine cannot run one")
        return access.exit is Exit.INTERNAL_ERROR

    def _done(self, sregs: bytes, rip: int, rax: int, rbx: int, rcx: int = 0) -> Access:
        """Set the registers and run until HLT, or until it cannot go on."""
        self._told(_SET_SREGS, sregs)
        self._told(_SET_REGS, _REGS.pack(rax, rbx, rcx, *[0] * 13, rip, _RFLAGS))
        met: Exit | None = None
        retries = 0
        while True:
            answer = ioctl(self._fd, _RUN)
            if answer in (-EINTR, -EAGAIN):
                retries += 1
                continue
            if answer < 0:
                return Access(met or Exit.OTHER, 0, retries)
            [reason] = _REASON.unpack_from(self._run, _EXIT_REASON_AT)
            if reason == Exit.MMIO.value and met is None:
                # Nobody is there: all ones, as a bus without a device answers. KVM completes it in the next run.
                met = Exit.MMIO
                address, _, length, is_write = _MMIO.unpack_from(self._run, _EXIT_AT)
                if not is_write:
                    _MMIO.pack_into(self._run, _EXIT_AT, address, b"\xff" * 8, length, is_write)
                continue
            if reason == Exit.DONE.value:
                regs = bytearray(_REGS_BYTES)
                self._told(_GET_REGS, regs)
                return Access(met or Exit.DONE, _REGS.unpack(regs)[0] & 0xFFFF, retries)
            known = {each.value for each in Exit}
            return Access(met or (Exit(reason) if reason in known else Exit.OTHER), 0, retries)


def code() -> bytes:
    """What stands at `code_at`."""
    return READ + WRITE + ASCII_ADJUST
