# SPDX-License-Identifier: GPL-2.0-only
"""A case as the library wants it: struct memslot_case and what follows it (shim/memslot_abi.h)."""

from collections.abc import Sequence
from enum import IntEnum
from itertools import islice
from struct import Struct

from engines.tree.library import CASE_ROOM
from memslots.case import FAULT_KINDS, Case
from memslots.errors import Unfit
from memslots.region import Region

_CASE = Struct("<8IQ")
_FAULT = Struct("<II")
_REQUEST = Struct("<IIQQQB31s")
_KINDS = {kind: n for n, kind in enumerate(FAULT_KINDS)}
_ZEROS = 4
"""Zero entries behind those given: one at a time, the second of them at the latest is refused."""
WANT_EVENTS, WANT_PUBLISHED = 1, 2
REQUEST_BYTES = _REQUEST.size


class How(IntEnum):
    """enum memslot_how."""

    SERIAL = 0
    KEEP_GOING = 1
    LIST = 2


def tried(case: Case, how: How) -> Sequence[Region]:
    """The requests of `case.apply` that are to be given to the kernel. A list's header may name more, or fewer."""
    if how is How.SERIAL and case.nent is not None:
        return tuple(islice(case.named(), len(case.apply) + _ZEROS))
    return case.apply


def packed(case: Case, how: How, want: int) -> bytes:
    """The bytes of a case. Raises Unfit if they are too many."""
    requests = tried(case, how)
    if (len(case.given) + len(requests)) * REQUEST_BYTES > CASE_ROOM - 4096:
        raise Unfit(
            f"{len(case.given)} given and {len(requests)} entries: expected at most"
            f" {CASE_ROOM // REQUEST_BYTES - 64} for a kernel tree"
        )
    pack = _REQUEST.pack
    head = _CASE.pack(
        how,
        want,
        len(case.faults),
        len(case.given),
        len(requests),
        case.entries,
        case.header_flags,
        0,
        case.machine.max_gfn,
    )
    faults = [_FAULT.pack(_KINDS[kind], n) for kind, n in case.faults]
    return b"".join([head, *faults, *[pack(*region) for region in (*case.given, *requests)]])
