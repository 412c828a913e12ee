# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's trace event kvm_set_user_memory, as its log backend prints it: one VM a file.

QEMU 7.2 prints address space and id as one number, `Slot#65537`; since 8.1 it is `AddrSpace#1 Slot#1`, and since 9.0
the guest_memfd follows. With `-msg timestamp=on` each line begins with `PID@SECONDS.MICROSECONDS:`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from fuzz.traces.happening import KVM_MEM_GUEST_MEMFD, Happening, Marker, Update, Warn
from fuzz.traces.recording import CUT_SHORT, Unreadable, Written
from memslots.errors import BadLine, NotYet
from memslots.region import Region
from memslots.uapi import KVM_MEM_READONLY

MARKERS = ("flatview_new",)
"""QEMU's own: memory_region_transaction_commit makes new flat views, then tells the listeners, of which KVM is one."""

_EVENT = "kvm_set_user_memory "
_TIME = re.compile(r"(?:^|[@ ])(\d+\.\d+):")
_UPDATE = re.compile(
    r"kvm_set_user_memory (?:AddrSpace#(?P<as_id>\d+) )?Slot#(?P<slot>\d+) flags=0x(?P<flags>[0-9a-f]+)"
    r" gpa=0x(?P<gpa>[0-9a-f]+) size=0x(?P<size>[0-9a-f]+) ua=0x(?P<ua>[0-9a-f]+)"
    r"(?: guest_memfd=-?\d+ guest_memfd_offset=0x[0-9a-f]+)? ret=(?P<ret>-?\d+)$"
)
_EXPECTED = "expected kvm_set_user_memory [AddrSpace#N ]Slot#N flags=0xN gpa=0xN size=0xN ua=0xN [...]ret=N"


def qemu_happenings(path: str, lines: Iterable[Written], markers: Sequence[str], warn: Warn) -> Iterator[Happening]:
    """What the lines tell, in their order. `path` is what errors name. Raises BadLine."""
    readonly: dict[int, int] = {}
    for lineno, text, whole in lines:
        if any(marker in text for marker in markers):
            yield Marker(lineno)
        if _EVENT not in text:
            if not whole:
                warn(f"{path}:{lineno}: {CUT_SHORT}")
            continue
        try:
            update = _update(lineno, text)
        except (Unreadable, NotYet) as error:
            if not whole:
                warn(f"{path}:{lineno}: {CUT_SHORT}")
                return
            raise BadLine(path, lineno, text, str(error)) from None
        slot, flags, size = update.region.slot, update.region.flags & KVM_MEM_READONLY, update.region.memory_size
        if size and update.accepted and readonly.get(slot, flags) != flags:
            # kvm_set_user_memory_region: READONLY cannot be changed, so it deletes the slot first, and does not say.
            yield update._replace(region=update.region._replace(memory_size=0))
        yield update
        if update.accepted:
            if size:
                readonly[slot] = flags
            else:
                readonly.pop(slot, None)


def _update(lineno: int, text: str) -> Update:
    found = _UPDATE.search(text)
    if not found:
        raise Unreadable(_EXPECTED)
    time = _TIME.search(text[: found.start()])
    as_id, slot = int(found["as_id"] or 0), int(found["slot"])
    if as_id > 0xFFFF or slot > (0xFFFF if found["as_id"] else 0xFFFF_FFFF):
        raise Unreadable(_EXPECTED)
    flags = int(found["flags"], 16)
    gpa, size, ua = (int(found[name], 16) for name in ("gpa", "size", "ua"))
    if flags >> 32 or (gpa | size | ua) >> 64:
        raise Unreadable(_EXPECTED)
    errno = -int(found["ret"])
    if flags & KVM_MEM_GUEST_MEMFD and errno == 0:
        raise NotYet("KVM_MEM_GUEST_MEMFD")
    region = Region(as_id << 16 | slot, flags, gpa, size, ua)
    return Update(lineno, float(time[1]) if time else None, 0, region, errno)
