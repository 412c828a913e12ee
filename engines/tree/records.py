# SPDX-License-Identifier: GPL-2.0-only
"""The records that a result is made of, and the numbers in them (shim/memslot_abi.h)."""

from enum import IntEnum, IntFlag
from struct import Struct
from typing import NamedTuple

RESULT = Struct("<4IqQ12I6I10I")
SNAPSHOT = Struct("<4IQiI")
SLOT = Struct("<QQQIHHII")
EVENT = Struct("<HHiIIIIQQQ48s32s")
ERRNO = Struct("<i")
NONE = 0xFFFF_FFFF


class Result(NamedTuple):
    """struct memslot_result, but that `met` is six fields."""

    size: int
    ended: int
    why: int
    refused_given: int
    value: int
    nr_memslot_pages: int
    locks: int
    damage: int
    shape: int
    warned: int
    publications: int
    unsynced: int
    in_place: int
    leaked_slots: int
    leaked_bitmaps: int
    leaked_other: int
    closed: int
    injected: int
    met_copy: int
    met_array: int
    met_slot: int
    met_invalid: int
    met_bitmap: int
    met_prepare: int
    nerrnos: int
    nsnapshots: int
    nslots: int
    nevents: int
    lost: int
    errnos: int
    snapshots: int
    slots: int
    events: int
    incomplete: int


class Ended(IntEnum):
    """enum memslot_ended."""

    RETURNED = 0
    DEADLOCK = 1
    BUG = 2
    OOPS = 3
    LOOP = 4
    UNRESOLVED = 5


class Locks(IntFlag):
    """enum memslot_locks, the two that an outcome names."""

    SLOTS_LOCK = 1
    SLOTS_ARCH_LOCK = 2


class Damage(IntFlag):
    """enum memslot_damage."""

    USE_AFTER_FREE = 1
    DOUBLE_FREE = 2
    OUT_OF_BOUNDS = 4
    BAD_FREE = 8
    EARLY_FREE = 16
    WRONG_FREE = 32
    STALE = 64


class Shape(IntFlag):
    """enum memslot_shape: what is wrong with the sets at rest."""

    NOT_IN_ALL = 1
    TWICE = 2
    OVERLAP = 4
    DISORDER = 8
    SETS_DIFFER = 16
    FREED = 32
    LEFT_INVALID = 64
    WRONG_SPACE = 128
    UPDATE_IN_PROGRESS = 256
    ENDLESS = 512
    BITMAP_FREED = 1024
    WRONG_PAGES = 2048
    COLOURS = 4096


class What(IntEnum):
    """enum memslot_what: when a snapshot was taken, and of which set."""

    BEFORE = 0
    PUBLISHED = 1
    IN_PLACE = 2
    AT_REFUSAL = 3
    ACTIVE = 4
    INACTIVE = 5


class Kind(IntEnum):
    """enum memslot_event_kind."""

    LOCK = 1
    UNLOCK = 2
    ALLOC = 3
    FREE = 4
    PUBLISH = 5
    SYNC = 6
    COPY = 7
    HOOK = 8
    REQUEST = 9
    WARN = 64
    INJECTED = 65
    DAMAGE = 66
    UNLOCK_UNHELD = 67
    HELD = 68
    RULE = 69
    UNSYNCED = 70
    IN_PLACE = 71
    LEAK = 72
    SHAPE = 73
    BUG = 74
    OOPS = 75
    DEADLOCK = 76
    LOOP = 77
    UNRESOLVED = 78
    UNDEFINED = 79


class Record(NamedTuple):
    """struct memslot_event."""

    kind: int
    what: int
    entry: int
    object: int
    slot: int
    flags: int
    line: int
    a: int
    b: int
    pc: int
    text_bytes: bytes
    file_bytes: bytes

    @property
    def text(self) -> str:
        """What the event says."""
        return self.text_bytes.split(b"\0", 1)[0].decode(errors="replace")

    @property
    def place(self) -> str:
        """`virt/kvm/kvm_main.c:1234`, empty if it is not known."""
        file = self.file_bytes.split(b"\0", 1)[0].decode(errors="replace")
        return f"{file}:{self.line}" if file else ""
