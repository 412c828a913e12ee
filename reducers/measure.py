# SPDX-License-Identifier: GPL-2.0-only
"""Which of two cases is smaller. Every pass lowers the measure, so reduction ends."""

from memslots.case import Case
from memslots.machine import DEFAULT_MACHINE
from memslots.region import Region

Measure = tuple[int | tuple[object, ...], ...]


def measure(case: Case) -> Measure:
    """A header that tells the truth first, then a plain machine, fewer faults, fewer entries; then smaller fields.

    A lie in nent can stand for an entry, but an entry is easier to read.
    """
    return (
        case.nent is not None,
        case.header_flags,
        case.machine != DEFAULT_MACHINE,
        len(case.faults),
        len(case.apply),
        len(case.given),
        case.nent or 0,
        tuple(sorted(case.machine.overrides().items())),
        *_fields(case),
        # The list first: its slots are named in the order in which they appear.
        tuple([_ordered(region) for region in case.apply]),
        tuple([_ordered(region) for region in case.given]),
        case.faults,
    )


def _fields(case: Case) -> tuple[int, ...]:
    """Sums over all regions, the field that readers stumble over first foremost."""
    regions = case.given + case.apply
    page = case.machine.page_size
    return (
        sum(r.padding != bytes(len(r.padding)) for r in regions),
        sum(min(r.invalidate_slot, 2) for r in regions),
        sum((r.guest_phys_addr | r.memory_size | r.userspace_addr) % page != 0 for r in regions),
        len({r.slot for r in regions}),
        len({r.slot >> 16 for r in regions}),
        sum(r.flags.bit_count() for r in regions),
        sum(r.memory_size for r in regions),
        sum(r.userspace_addr for r in regions),
        sum(r.guest_phys_addr for r in regions),
        sum(r.slot for r in regions),
        sum(r.flags for r in regions),
    )


def _ordered(region: Region) -> tuple[object, ...]:
    """The order of regions in a normal form."""
    return (region.slot, region.guest_phys_addr, region.memory_size, region.userspace_addr, *region[5:], region.flags)
