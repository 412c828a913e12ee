# SPDX-License-Identifier: GPL-2.0-only
"""What a case wants of the host that it is reproduced on, as C that skips the test where it is not there.

A case says what its VM is like, and a host is as it is. Only what can change an answer is asked for.
"""

from collections.abc import Iterable, Iterator

from memslots.machine import Machine
from memslots.region import Region
from memslots.uapi import KVM_MEM_MAX_NR_PAGES, KVM_MEM_READONLY, TASK_SIZE_MAX, U64

_EVERY_HOST_GFN = (1 << 24) - 1
"""Up to here every x86 host has memory slots: none has fewer than 36 bits of physical address."""
_EVERY_HOST_ID = 508
"""Up to here every x86 host has slot ids: KVM_USER_MEM_SLOTS was 509 before Linux 5.12."""
_TOP_BIT = 1 << 63


def needs_of(machine: Machine, regions: Iterable[Region]) -> str:
    """The statements, each a condition and a `skip`; empty where every host will do."""
    return "".join(f"\tif ({condition})\n\t\tskip({what});\n" for condition, what in _needs(machine, list(regions)))


def _needs(machine: Machine, regions: list[Region]) -> Iterator[tuple[str, str]]:
    spaces, user_slots, last = machine.address_spaces, machine.user_slots, machine.max_gfn
    if any(region.as_id == 1 for region in regions):
        yield f"spaces != {spaces}", f'"address spaces", "the case has {spaces}, this host has not"'
    if any(region.id > min(_EVERY_HOST_ID, user_slots - 1) for region in regions):
        yield f"slots != {user_slots}", f'"KVM_CAP_NR_MEMSLOTS", "the case has {user_slots}, this host has not"'
    if any(region.flags & KVM_MEM_READONLY for region in regions):
        without = "<= 0" if machine.readonly else "> 0"
        known = "known to the case, not to this host" if machine.readonly else "known to this host, not to the case"
        yield f"ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) {without}", f'"KVM_MEM_READONLY", "{known}"'
    gfns = [
        (region.guest_phys_addr + region.memory_size - 1) >> machine.page_shift
        for region in regions
        if _could_be_a_slot(region, machine)
    ]
    held = max((gfn for gfn in gfns if gfn <= last), default=0)
    if held > _EVERY_HOST_GFN:
        yield f"try_page(0, {held << 12:#x})", f'"gfn {held:#x}", "beyond the maximum of this host"'
    beyond = min((gfn for gfn in gfns if gfn > last), default=None)
    if beyond is not None:
        yield (
            f"!try_page(0, {beyond << 12:#x})",
            f'"gfn {beyond:#x}", "beyond the maximum of the case, not of this host"',
        )
    # Since 6.4 some kernels test the top bit alone.
    if any(TASK_SIZE_MAX < region.userspace_addr + region.memory_size <= _TOP_BIT for region in regions):
        beyond_user = f"{{ SPARE, 0, 0, PAGE, {TASK_SIZE_MAX:#x} }}"
        yield (
            f"!set_region(&(struct kvm_userspace_memory_region)\n\t\t\t{beyond_user})",
            f'"userspace_addr", "{TASK_SIZE_MAX:#x} is no error on this host"',
        )


def _could_be_a_slot(region: Region, machine: Machine) -> bool:
    """Whether a request can get as far as the test of the maximum gfn: roughly, and rather than not."""
    size = region.memory_size
    mask = machine.page_size - 1
    return (
        0 < size <= KVM_MEM_MAX_NR_PAGES << machine.page_shift
        and not (size | region.guest_phys_addr) & mask
        and region.guest_phys_addr + size <= U64
    )
