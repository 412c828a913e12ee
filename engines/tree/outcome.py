# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a case, read off the records that the library has made of it.

What has no facet of its own is told by the one that fits: a publication that waits for no reader, a set changed while
readers are in it and an object freed before they have left it are `damage`; a lock of another kind that is held,
released twice or taken in the wrong order, what sleeps under a spinlock, and what UBSan says, are WARNs, as lockdep's
would be; a leaked array is leaked. A list's events belong to no entry, for nobody tells which one it is at.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from engines.tree.records import (
    ERRNO,
    EVENT,
    NONE,
    RESULT,
    SLOT,
    SNAPSHOT,
    Damage,
    Ended,
    Kind,
    Locks,
    Record,
    Result,
    Shape,
    What,
)
from memslots.case import FAULT_KINDS
from memslots.outcome import Change, Event, Outcome, Publication
from memslots.slot import Slot, SlotSet, SlotSets
from memslots.uapi import KVM_MEMSLOT_INVALID

PAGE_SIZE = 4096
UNRESOLVED = "unresolved-helper"
"""The kind of a crash that is none of the tree's: it calls something that the shim has no idea of."""
# Plain numbers: to combine flags of an enum takes longer than all else here.
_SLOTS_LOCK, _SLOTS_ARCH_LOCK = int(Locks.SLOTS_LOCK), int(Locks.SLOTS_ARCH_LOCK)
_RETURNED = int(Ended.RETURNED)
_SETS_DIFFER = int(Shape.SETS_DIFFER)
CORRUPT = int(Shape.NOT_IN_ALL | Shape.TWICE | Shape.DISORDER | Shape.WRONG_SPACE | Shape.ENDLESS | Shape.COLOURS)
DANGLING = int(Shape.FREED | Shape.BITMAP_FREED)
_OOPS_KINDS = (None, "null-dereference", "use-after-free", None)
_DAMAGE = {
    Damage.USE_AFTER_FREE: "use-after-free",
    Damage.DOUBLE_FREE: "double-free",
    Damage.OUT_OF_BOUNDS: "out-of-bounds",
    Damage.BAD_FREE: "bad-free",
    Damage.EARLY_FREE: "early-free",
    Damage.WRONG_FREE: "wrong-free",
    Damage.STALE: "stale-look-up",
}
_READERS_NOT_AWAITED, _CHANGED_IN_PLACE = "readers-not-awaited", "changed-in-place"
DAMAGE_KINDS = (*_DAMAGE.values(), _READERS_NOT_AWAITED, _CHANGED_IN_PLACE)
"""What `damage` of an outcome can hold."""
LEAKED = "leaked: "
BREAKS = "breaks a rule: "
"""How the detail of a `warn` begins that the code does not fire: the shim sees what lockdep would, or nobody."""
_FAULT_KINDS = tuple(FAULT_KINDS)
_WARNS = frozenset((Kind.WARN, Kind.UNLOCK_UNHELD, Kind.RULE, Kind.UNDEFINED))
_ENDINGS = {
    Kind.BUG: "crashed",
    Kind.OOPS: "crashed",
    Kind.UNRESOLVED: "crashed",
    Kind.DEADLOCK: "hung",
    Kind.LOOP: "looped",
}
_LOCKS = ("slots_lock", "slots_arch_lock")
_ALLOCATED = {"slot": "a slot", "invalid": "INVALID copy of a slot", "bitmap": "a dirty bitmap"}
_LAST = 1 << 31
AskedFor = Callable[[Sequence[int]], Sequence[Change]]
"""What each entry asked for, by the errnos that entries were answered with."""
Place = Callable[[int], str]
"""The source line of an offset in the library; empty if it is not known."""


class Seen(NamedTuple):
    """What a result says, but for how its ending is to be called."""

    result: Result
    errnos: tuple[int, ...]
    """Of the entries of `apply`, positive."""
    sets: dict[int, list[SlotSet]]
    """By `What`, one for each address space, or for each publication."""
    published_in: list[int]
    """The address space of each publication."""
    generations: tuple[int, ...]
    records: list[Record]


def read(raw: bytes, ngiven: int) -> Seen:
    """What a result of so many given requests says."""
    result = Result._make(RESULT.unpack_from(raw))
    errnos = raw[result.errnos + ngiven * ERRNO.size : result.errnos + result.nerrnos * ERRNO.size]
    all_slots = raw[result.slots : result.slots + result.nslots * SLOT.size]
    known: dict[bytes, SlotSet] = {b"": ()}
    sets: dict[int, list[SlotSet]] = {}
    published_in: list[int] = []
    generations: list[int] = []
    new = tuple.__new__
    for what, as_id, first, n, generation, _, _ in SNAPSHOT.iter_unpack(
        raw[result.snapshots : result.snapshots + result.nsnapshots * SNAPSHOT.size]
    ):
        bare = all_slots[first * SLOT.size : (first + n) * SLOT.size]
        slots = known.get(bare)
        if slots is None:
            slots = known[bare] = tuple(
                [
                    # What Slot(...) does, at half its price.
                    new(Slot, (space, slot_id, base, npages, hva, flags))
                    for base, npages, hva, flags, slot_id, space, _, _ in SLOT.iter_unpack(bare)
                ]
            )
        if what == What.IN_PLACE:
            what = What.PUBLISHED  # noqa: PLW2901 - readers see it, however it came there
        sets.setdefault(what, []).append(slots)
        if what == What.PUBLISHED:
            published_in.append(as_id)
        elif what == What.ACTIVE:
            generations.append(generation)
    records = [
        Record._make(fields)
        for fields in EVENT.iter_unpack(raw[result.events : result.events + result.nevents * EVENT.size])
    ]
    return Seen(
        result,
        tuple([-errno for (errno,) in ERRNO.iter_unpack(errnos)]),
        sets,
        published_in,
        tuple(generations),
        records,
    )


def outcome_of(seen: Seen, asked_for: AskedFor | None, place: Place, *, record: bool, published: bool) -> Outcome:
    """The outcome; of entries one after the other if somebody can say what they asked for, else of a list."""
    result, errnos = seen.result, seen.errnos
    returned = result.ended == _RETURNED
    active, inactive = _sets(seen, What.ACTIVE), _sets(seen, What.INACTIVE)
    value: int | None = None
    errno: int | None = None
    entry_errnos: tuple[int, ...] | None = None
    at_first_refusal: SlotSets | None = None
    if asked_for is not None:
        first = next(filter(None, errnos), 0)
        if first:
            at_first_refusal = _sets(seen, What.AT_REFUSAL) if What.AT_REFUSAL in seen.sets else active
        if returned:
            value, errno, entry_errnos = -1 if first else 0, first, errnos
    elif returned:
        value, errno = (-1, -result.value) if result.value < 0 else (result.value, 0)
    ended, kind = ("returned", None) if returned else (_ended(result), kind_of(result))
    mishaps = _mishaps(seen, asked_for, kind, place) if seen.records or (asked_for and errno) else ()
    return Outcome(
        ended,
        active,
        _sets(seen, What.BEFORE),
        kind,
        value,
        errno,
        entry_errnos,
        at_first_refusal,
        active if inactive == active else inactive,
        seen.generations,
        bool(result.locks & _SLOTS_LOCK),
        bool(result.locks & _SLOTS_ARCH_LOCK),
        result.nr_memslot_pages,
        _damage(result),
        bool(result.shape & DANGLING),
        _corrupt(result, active == inactive),
        result.leaked_slots + result.leaked_bitmaps + result.leaked_other,
        result.warned != 0 or any(each.kind in _WARNS for each in seen.records),
        result.publications,
        mishaps,
        _events(seen, asked_for, kind, place) if record else None,
        _published(seen) if published else None,
        PAGE_SIZE,
        # As of `serial`: there where published sets are asked for.
        result.incomplete if published else None,
    )


def _sets(seen: Seen, what: What) -> SlotSets:
    return tuple(seen.sets.get(what, ()))


def _published(seen: Seen) -> tuple[Publication, ...] | None:
    """None where there was too much to be held."""
    if seen.result.lost:
        return None
    return tuple(
        [Publication(*each) for each in zip(seen.published_in, seen.sets.get(What.PUBLISHED, ()), strict=True)]
    )


def _ended(result: Result) -> str:
    match result.ended:
        case Ended.DEADLOCK:
            return "hung"
        case Ended.LOOP:
            return "looped"
    return "crashed"


def kind_of(result: Result) -> str | None:
    """What kind of a crash it was, where it was one that has a kind."""
    match result.ended:
        case Ended.BUG:
            return "bug"
        case Ended.OOPS:
            return _OOPS_KINDS[result.why]
        case Ended.UNRESOLVED:
            return UNRESOLVED
    return None


def _damage(result: Result) -> tuple[str, ...]:
    if not (result.damage or result.unsynced or result.in_place):
        return ()
    found = [name for bit, name in _DAMAGE.items() if result.damage & bit]
    found += [_READERS_NOT_AWAITED] if result.unsynced else []
    found += [_CHANGED_IN_PLACE] if result.in_place else []
    return tuple(sorted(found))


def _corrupt(result: Result, alike: bool) -> bool:
    """Whether the indexes of a set contradict one another, or the sets hold different objects that look alike."""
    return bool(result.shape & CORRUPT or (result.shape & _SETS_DIFFER and alike))


# -- events ------------------------------------------------------------------------------------------------------


def _mishaps(seen: Seen, asked_for: AskedFor | None, kind: str | None, place: Place) -> tuple[Event, ...]:
    told = [each for each in seen.records if each.kind >= Kind.WARN]
    return tuple(_in_order(seen, told, asked_for, kind, place))


def _events(seen: Seen, asked_for: AskedFor | None, kind: str | None, place: Place) -> tuple[Event, ...]:
    told = [each for each in seen.records if each.kind not in (Kind.SYNC, Kind.COPY, Kind.HOOK, Kind.REQUEST)]
    return tuple(_in_order(seen, told, asked_for, kind, place))


def _in_order(
    seen: Seen, told: Sequence[Record], asked_for: AskedFor | None, kind: str | None, place: Place
) -> list[Event]:
    """Each record as an event, and the refusals of entries one after the other where they belong."""
    errnos = seen.errnos if asked_for is not None else ()
    changes = list(asked_for(errnos)) if asked_for is not None else []
    events: list[tuple[int, Event]] = []
    for each in told:
        if each.entry == -1:
            continue
        entry = max(each.entry, 0) if asked_for is not None else 0
        if each.kind == Kind.INJECTED and _fault_kind(each.what) == "copy" and entry < len(changes):
            # A request that cannot be copied asks for nothing.
            changes[entry] = Change.UNKNOWN
        change = changes[entry] if entry < len(changes) else Change.UNKNOWN
        event = _event(each, entry, change, kind, place)
        if event is not None:
            events.append((each.entry if each.entry >= 0 else _LAST, event))
    for i, errno in enumerate(errnos):
        if errno:
            events.append((i, Event("refuse", "", i, changes[i])))
    events.sort(key=lambda each: each[0])
    return [event for _, event in events]


def _event(each: Record, entry: int, change: Change, kind: str | None, place: Place) -> Event | None:
    """The event that a record is, None if it is none."""

    def event(name: str, detail: str) -> Event:
        return Event(name, "", entry, change, detail)

    match each.kind:
        case Kind.LOCK | Kind.UNLOCK:
            # Of others only who keeps them is told.
            name = "lock" if each.kind == Kind.LOCK else "unlock"
            return event(name, each.text) if each.text in _LOCKS else None
        case Kind.ALLOC:
            return event("alloc", _ALLOCATED.get(_fault_kind(each.what), f"an array of {each.a} bytes"))
        case Kind.FREE:
            return event("free", _object(each))
        case Kind.PUBLISH:
            return event("publish", f"address space {each.what}")
        case Kind.INJECTED:
            return event("injected", _fault_kind(each.what))
        case Kind.DAMAGE:
            words = " and ".join(name for bit, name in _DAMAGE.items() if each.what & bit) or "damage"
            return event("damage", _at(f"{words}: {each.text}", each, place))
        case Kind.UNSYNCED:
            return event("damage", f"{_READERS_NOT_AWAITED}: address space {each.what}")
        case Kind.IN_PLACE:
            words = f"{_CHANGED_IN_PLACE}: address space {each.what}"
            return event("damage", f"{words}, {each.text}" if each.text else words)
        case Kind.HELD:
            return event("lock", each.text)
        case Kind.LEAK:
            return event("log", f"{LEAKED}{_object(each)}")
        case Kind.SHAPE:
            which = "active" if each.a else "inactive"
            return event("log", f"{which} set: {Shape(each.what).name or each.what}{_slot_words(each)}".lower())
        case Kind.UNLOCK_UNHELD:
            return event("warn", _at(f"{each.text} released, and nobody holds it", each, place))
        case Kind.WARN | Kind.UNDEFINED:
            return event("warn", _at(each.text, each, place))
        case Kind.RULE:
            return event("warn", _at(f"{BREAKS}{each.text}", each, place))
        case Kind.DEADLOCK:
            return event("hung", _at(each.text, each, place))
        case Kind.BUG | Kind.OOPS | Kind.LOOP | Kind.UNRESOLVED:
            words = ": ".join(filter(None, (kind or "", each.text)))
            return event(_ENDINGS[Kind(each.kind)], _at(words, each, place))
    return None


def ending_of(seen: Seen, words: str, place: Place) -> Event:
    """The event with which a call ended that did not return; its detail begins with `words`."""
    told = next((each for each in reversed(seen.records) if each.kind in _ENDINGS), None)
    found = None if told is None else _event(told, 0, Change.UNKNOWN, kind_of(seen.result), place)
    detail = ": ".join(filter(None, (words, found.detail.strip() if found else "")))
    return Event(_ended(seen.result), "", 0, Change.UNKNOWN, detail)


def _fault_kind(n: int) -> str:
    return _FAULT_KINDS[n] if n < len(_FAULT_KINDS) else "memory"


def _at(words: str, each: Record, place: Place) -> str:
    """The words with the source line behind them, as far as it is known."""
    where = each.place or (place(each.pc) if each.pc else "")
    return f"{words} ({where})" if where else words


def _object(each: Record) -> str:
    """A slot object as the simulated kernels' events name it, or what kind of memory it is."""
    if each.slot == NONE:
        return f"{_fault_kind(each.what)} of {each.a} bytes"
    return _slot_name(each) + (" INVALID" if each.flags & KVM_MEMSLOT_INVALID else "")


def _slot_name(each: Record) -> str:
    return f"{each.slot >> 16}:{each.slot & 0xFFFF}@{each.a:#x}+{each.b:#x}"


def _slot_words(each: Record) -> str:
    return "" if each.slot == NONE else f" at slot {each.slot >> 16}:{each.slot & 0xFFFF}"
