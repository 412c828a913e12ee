# SPDX-License-Identifier: GPL-2.0-only
"""Which of two cases is smaller. Every pass lowers the measure, so reduction ends."""

from functools import cache

from memslots.case import Case
from memslots.machine import DEFAULT_MACHINE, Machine
from memslots.region import Region

Measure = tuple[int | tuple[object, ...], ...]


def measure(case: Case) -> Measure:
    """A header that tells the truth first, then a plain machine, fewer faults, fewer entries; then smaller fields.

    A lie in nent can stand for an entry, but an entry is easier to read.
    """
    other_machine, overrides = _of_machine(case.machine)
    return (
        case.nent is not None,
        case.header_flags,
        other_machine,
        len(case.faults),
        len(case.apply),
        len(case.given),
        case.nent or 0,
        overrides,
        *_fields(case),
        # The list first: its slots are named in the order in which they appear.
        tuple([_ordered(region) for region in case.apply]),
        tuple([_ordered(region) for region in case.given]),
        case.faults,
    )


@cache
def _of_machine(machine: Machine) -> tuple[bool, tuple[tuple[str, int], ...]]:
    """Whether it is another machine than the default one, and the numbers that make it one."""
    return machine != DEFAULT_MACHINE, tuple(sorted(machine.overrides().items()))


def _fields(case: Case) -> tuple[int, ...]:
    """Sums over all regions, the field that readers stumble over first foremost. In one walk: this is asked often."""
    within_page = case.machine.page_size - 1
    padded = invalidates = unaligned = flags_set = sizes = hvas = gpas = slots = flags_sum = 0
    names: set[int] = set()
    for slot, flags, gpa, size, hva, invalidate_slot, padding in case.given + case.apply:
        padded += padding != bytes(len(padding))
        invalidates += min(invalidate_slot, 2)
        unaligned += (gpa | size | hva) & within_page != 0
        names.add(slot)
        flags_set += flags.bit_count()
        sizes += size
        hvas += hva
        gpas += gpa
        slots += slot
        flags_sum += flags
    spaces = len({slot >> 16 for slot in names})
    return padded, invalidates, unaligned, len(names), spaces, flags_set, sizes, hvas, gpas, slots, flags_sum


def _ordered(region: Region) -> tuple[object, ...]:
    """The order of regions in a normal form."""
    slot, flags, gpa, size, hva, invalidate_slot, padding = region
    return (slot, gpa, size, hva, invalidate_slot, padding, flags)
