# SPDX-License-Identifier: GPL-2.0-only
"""What this machine's KVM is like: asked of it and tried out on a VM of its own, never assumed."""

import os
import platform
from dataclasses import dataclass
from errno import EEXIST, EINVAL, ENOTTY
from functools import cache

from engines.real.device import KVM, ioctl, opened
from engines.real.vm import Vm, extension
from engines.real.watched import Lost, Stuck, Watched
from memslots.errors import BadCase, Missing
from memslots.machine import PROFILES, Machine, machine_of
from memslots.uapi import KVM_MEM_READONLY

_CAP_NR_MEMSLOTS = 10
_CAP_READONLY_MEM = 81
_CAP_MULTI_ADDRESS_SPACE = 118
SET_USER_MEMORY_REGION_LIST = 0x4008_AE49
_GPA_BITS = 64
_SILENT_SECONDS = 10.0
_ONE_SPACE_SINCE = (6, 8)
"""KVM_CAP_MULTI_ADDRESS_SPACE may say 1 since then (spec b.8); before, x86 always has two address spaces."""


@dataclass(frozen=True, slots=True)
class Host:
    """The kernel's release, what its VMs are like, and which ioctls it has."""

    release: str
    machine: Machine
    region2: bool
    """Whether KVM_SET_USER_MEMORY_REGION2 tells of slots: since 6.8, where ordinary VMs may have guest_memfd (b.8)."""
    region_list: bool
    """KVM_SET_USER_MEMORY_REGION_LIST: a kernel with the series."""


@cache
def this_host(path: str = KVM) -> Host:
    """The host as a new VM shows it; found out once. Raises Missing.

    Whoever asks, a watched child does it: to ask for the list ioctl is to call it, and it may be any kernel's.
    """
    child = Watched(lambda question, tell: _asked(path))
    try:
        answer = child.ask(None, _SILENT_SECONDS, lambda _: None)
    except Lost as lost:
        how = "hangs" if isinstance(lost, Stuck) else "crashes"
        raise Missing(f"{path}: this kernel {how} when its KVM is asked what it is like: restart it") from None
    child.close()
    if isinstance(answer, Missing | BadCase):
        raise answer
    assert isinstance(answer, Host)
    return answer


def _asked(path: str) -> Host | Missing | BadCase:
    try:
        kvm = opened(path)
        try:
            with Vm(kvm) as vm:
                return _shown_by(vm)
        finally:
            os.close(kvm)
    except (Missing, BadCase) as error:
        return error


def _shown_by(vm: Vm) -> Host:
    release = platform.release()
    spaces = extension(vm.fd, _CAP_MULTI_ADDRESS_SPACE) or 1
    readonly = int(extension(vm.fd, _CAP_READONLY_MEM) > 0)
    page = os.sysconf("SC_PAGE_SIZE")
    shift = page.bit_length() - 1
    if vm.set(0, 0, 0, page, 0):
        raise Missing(f"Linux {release}: KVM refuses one page of memory at 0: expected a KVM without other users")
    vm.set(0, 0, 0, 0, 0)
    # A flag that the capability denies, or grants, and the kernel does not: the ioctl is what counts.
    if readonly and vm.set(0, KVM_MEM_READONLY, 0, page, 0) == EINVAL:
        readonly = 0
    vm.set(0, 0, 0, 0, 0)
    found = {
        "address_spaces": spaces,
        "page_size": page,
        "max_gfn": _max_gfn(vm, page, shift),
        "user_slots": extension(vm.fd, _CAP_NR_MEMSLOTS),
        "readonly": readonly,
    }
    profile = _profile(release)
    plain = PROFILES[profile]
    overrides = {name: value for name, value in found.items() if value != getattr(plain, name)}
    return Host(release, machine_of(profile, overrides), _has_region2(vm, page), _has_region_list(vm))


def _profile(release: str) -> str:
    """The profile that is nearest: what differs from it is told by overrides."""
    numbers = tuple(int(word) for word in release.split("-", maxsplit=1)[0].split(".")[:2] if word.isdigit())
    return "linux-6.18" if numbers >= _ONE_SPACE_SINCE else "linux-6.1"


def _max_gfn(vm: Vm, page: int, shift: int) -> int:
    """The last gfn at which a slot of one page is accepted, found by halving."""
    accepted, refused = 0, 1 << _GPA_BITS - shift
    while refused - accepted > 1:
        gfn = (accepted + refused) // 2
        if vm.set(0, 0, gfn << shift, page, 0):
            refused = gfn
        else:
            vm.set(0, 0, 0, 0, 0)
            accepted = gfn
    return accepted


def _has_region2(vm: Vm, page: int) -> bool:
    """Whether REGION2 can be asked about slots: guest_memfd must be known to it, not only the number."""
    vm.set(0, 0, 0, page, 0)
    there, free = vm.ask(0, 0, page), vm.ask(1, 0, page)
    vm.set(0, 0, 0, 0, 0)
    return ENOTTY not in (there, free) and (there, free) == (EINVAL, EEXIST)


def _has_region_list(vm: Vm) -> bool:
    """Whether the list ioctl is there, by a list at no address, of which it cannot even read the header."""
    return ioctl(vm.fd, SET_USER_MEMORY_REGION_LIST, 0) != -ENOTTY
