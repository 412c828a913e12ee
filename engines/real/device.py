# SPDX-License-Identifier: GPL-2.0-only
"""The one door to ioctls, and to what else Python has no call for: what the kernel answers comes out."""

import ctypes
import fcntl
import mmap
import os
import signal
from errno import EIO

from memslots.errors import Missing

KVM = "/dev/kvm"
API_VERSION = 12
_GET_API_VERSION = 0xAE00
_PR_SET_PDEATHSIG = 1


def ioctl(fd: int, request: int, argument: int | bytes | bytearray = 0) -> int:
    """What the call returns, or -errno. A `bytearray` is written to where the kernel writes."""
    try:
        answer = fcntl.ioctl(fd, request, argument)
    except OSError as refusal:
        return -(refusal.errno or EIO)
    return answer if isinstance(answer, int) else 0


def opened(path: str = KVM) -> int:
    """A new descriptor of /dev/kvm. Raises Missing, with what to do."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Missing(f"{path} is not there: load kvm_amd or kvm_intel, or run inside `sameslots guest`") from None
    except PermissionError:
        raise Missing(f"{path}: permission denied: run as root, or join the group of {path} (often kvm)") from None
    except OSError as error:
        raise Missing(f"{path}: {error.strerror}: expected KVM's device") from None
    version = ioctl(fd, _GET_API_VERSION)
    if version != API_VERSION:
        os.close(fd)
        raise Missing(f"{path}: KVM_GET_API_VERSION answers {version}, expected {API_VERSION}: a Linux with KVM")
    return fd


class Memory:
    """Anonymous zeroed memory of this process, `size` in bytes, with the address that the kernel knows it by."""

    def __init__(self, size: int) -> None:
        self.bytes = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._pinned: ctypes.c_char | None = ctypes.c_char.from_buffer(self.bytes)
        self.address = ctypes.addressof(self._pinned)

    def close(self) -> None:
        """Give it back; nobody may use the address any more."""
        self._pinned = None
        self.bytes.close()


def mapped(fd: int, size: int) -> mmap.mmap:
    """The first `size` bytes of `fd`, shared with the kernel: a vCPU's struct kvm_run."""
    return mmap.mmap(fd, size)


def die_with(parent: int) -> None:
    """From now on this process is killed when its parent ends; at once, if `parent` is not its parent any more.

    Strictly, when the thread ends that has forked it. What the kernel holds dies when it is let go.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
