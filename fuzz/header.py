# SPDX-License-Identifier: GPL-2.0-only
"""What the first choice of a case says of the call: nent, header flags, and what fails during it; read and spelt.

Most kinds of header tell the plain truth.
"""

from fuzz.layout import HEADER_KIND, HEADER_VALUE
from memslots.case import FAULT_KINDS, Case, Faults
from memslots.uapi import U32

_FAULTY = frozenset((24, 25, 26, 27))
"""The header kinds of a list during whose call something fails; the header itself tells the truth."""
_KINDS = tuple(FAULT_KINDS)
_NO_KIND = 31
NENTS = (0, 1, 65_534, 65_535, 131_072, 131_073, (1 << 25) - 1, 1 << 25, U32)
"""Values of nent at the limits of the list ioctl, and at none."""


def header_of(kind: int, value: int, entries: int) -> tuple[int, int]:
    """nent and header flags of a list of so many entries."""
    match kind:
        case 31:
            return NENTS[value % len(NENTS)], 0
        case 30:
            return value % (entries + 1), 0
        case 29:
            return entries + 1 + value % 3, 0
        case 28:
            # Now and then both: which of the two is refused first?
            nent = NENTS[value >> 8 & 7] if value >> 5 & 7 == 7 else entries
            return nent, 1 << (value & 31)
    return entries, 0


def faults_of(kind: int, value: int) -> Faults:
    """None for most kinds. One fault, or two of different kinds; the first opportunities to fail are the likeliest."""
    if kind not in _FAULTY:
        return ()
    failing, n, other, m, late = value & 7, value >> 3 & 7, value >> 6 & 31, value >> 11 & 3, value >> 13 & 1
    faults = {_KINDS[failing % len(_KINDS)]: n if late else 0}
    if other < len(_KINDS):
        faults[_KINDS[other]] = m
    return tuple(sorted(faults.items()))


def spelt_header(case: Case) -> int:
    """The bits of a first choice that say this of a case, as far as there are such."""
    entries = len(case.apply)
    if case.faults:
        return HEADER_KIND.saying(min(_FAULTY)) | HEADER_VALUE.saying(_spelt_faults(case.faults))
    if case.header_flags:
        both = 7 << 5 | NENTS.index(case.nent) << 8 if case.nent in NENTS[:8] else 0
        return HEADER_KIND.saying(28) | HEADER_VALUE.saying(case.header_flags.bit_length() - 1 | both)
    if case.nent is None:
        return 0
    if case.nent in NENTS:
        return HEADER_KIND.saying(31) | HEADER_VALUE.saying(NENTS.index(case.nent))
    if case.nent < entries:
        return HEADER_KIND.saying(30) | HEADER_VALUE.saying(case.nent)
    return HEADER_KIND.saying(29) | HEADER_VALUE.saying(min(case.nent - entries - 1, 2))


def _spelt_faults(faults: Faults) -> int:
    """The header value that says these faults, as far as there is one: two of them, near the beginning."""
    (kind, n), (other, m) = (*faults, ("", 0), ("", 0))[:2]
    second = _KINDS.index(other) if other else _NO_KIND
    return _KINDS.index(kind) | min(n, 7) << 3 | second << 6 | min(m, 3) << 11 | 1 << 13
