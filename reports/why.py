# SPDX-License-Identifier: GPL-2.0-only
"""Why a mismatch happens, in one sentence: pass, set, lock or object, read off the parting event.

The sentences speak of the list ioctl as posted (RFC, 9 Sep 2022); P1, P2 and P3 are its passes.
"""

from collections.abc import Iterable
from errno import EIO

from memslots.outcome import Change, Event, Outcome
from oracles.mismatch import Mismatch

_NO_EVENTS = "The engine shows no events: why it answers otherwise than the reference, its kernel knows."
_ONE_REQUEST = "The same request gets another answer than the reference's: why, its kernel knows."
_LOG_ALONE = "Of the call only the kernel's log tells: why it answers otherwise than the reference, its kernel knows."
_LEFT_BEHIND = {
    "left-invalid": "nobody takes back the INVALID copies that were published before",
    "sets-differ": "what was edited into the inactive set alone stays there: the two sets part for good",
    "leaked": "an object that no set holds is never freed",
    "dangling": "a freed object stays linked in the active set",
    "page-count": "nr_memslot_pages no longer is the sum of the slots",
    "slots_lock-held": "that exit does not release slots_lock",
}


def why(mismatch: Mismatch, parting: Event | None, outcome: Outcome) -> str:
    """One sentence. `parting` is the event of the bucket, `outcome` the engine's."""
    if outcome.mishaps is None:
        return _NO_EVENTS
    if mismatch.oracle == "error_codes" and outcome.entry_errnos is not None:
        return _ONE_REQUEST
    if parting is None:
        return "No event tells why: the engine went wrong without a refusal or a mishap."
    if _sees_no_refusals(parting, outcome):
        return _LOG_ALONE
    change = _CHANGES[parting.change]
    match parting.kind, parting.phase:
        case "lock", _:
            after = (
                "the call itself waits for it for ever"
                if outcome.ended == "hung"
                else "the call is refused before it would take the lock again, and returns with it held"
            )
            return f"P1 prepares {change} that is flagged by mistake and goes on with slots_arch_lock held: {after}."
        case "warn", "P1":
            return f"P1 meets {change} that is flagged, though it neither deletes nor moves, and fires a WARN."
        case "warn", "P2":
            return (
                "P2 looks for the pages of a slot that this list has created in nr_memslot_pages, which only P3"
                " counts: WARN and EIO."
            )
        case "warn", "":
            return "The copy of the entries is larger than INT_MAX bytes: kvmalloc fires a WARN."
        case "unnoticed", _:
            many = "" if outcome.failed else " for so many entries"
            return f"kcalloc returns NULL{many} and is tested with IS_ERR: the NULL is used as the array."
        case "stray", _:
            return (
                f"{parting.phase} replaces the object of {change} in a set that does not hold it any more (or holds"
                " the new one already): an entry before has dealt with the same slot."
            )
        case "another-window", _:
            return _another_window(parting, change, outcome)
        case "early-publish", _ if mismatch.oracle == "visibility":
            return (
                f"{_sentence(change)} that is not flagged publishes a set in the middle of P2, with half of the list in"
                " it; what was edited for the first half is missing in the other set, which is published next."
            )
        case "early-publish", _:
            return (
                f"{_sentence(change)} that is not flagged publishes a set in the middle of P2: what the list does to"
                " the sets before and after it no longer fits together, and objects are unlinked from sets that do not"
                " hold them."
            )
        case "damage", _ if mismatch.what != "out-of-bounds":
            return "An object is touched or freed that is freed already."
        case "damage", _:
            return "P2 indexes as_to_swap with the entry's address space before anybody has tested it."
        case "crashed", "P3":
            return _crash_in_p3(parting)
        case "crashed", _:
            return _crash_in_p2(outcome)
    return _refusal(mismatch, parting, change, outcome)


def _sees_no_refusals(parting: Event, outcome: Outcome) -> bool:
    """Whether the reference refuses where the engine, which has but a kernel's log, cannot tell what it did."""
    mishaps = outcome.mishaps or ()
    if parting.kind != "refuse" or parting in mishaps or outcome.entry_errnos is not None:
        return False
    return bool(outcome.errno) or (bool(mishaps) and not any(event.phase for event in mishaps))


def merged(reasons: Iterable[str]) -> list[str]:
    """The sentences, those that begin alike told as one."""
    tails: dict[str, list[str]] = {}
    for reason in reasons:
        head, _, tail = reason.removesuffix(".").partition("; ")
        tails.setdefault(head, []).extend([tail] if tail else [])
    return ["; ".join([head, *ends]) + "." for head, ends in tails.items()]


def _crash_in_p3(parting: Event) -> str:
    if parting.change is Change.NO_OP:
        return (
            "P2 passes over a no-op, whose record then reads CREATE of no slot: P3 replaces nothing by nothing,"
            " a WARN and a NULL dereference with both locks held."
        )
    return "P3 inserts a slot at a base that the set holds already: BUG with both locks held."


def _crash_in_p2(outcome: Outcome) -> str:
    kinds = {event.kind for event in outcome.mishaps or ()}
    if "refuse" in kinds:
        return (
            "P2 cannot prepare a flagged MOVE; its rollback still uses the local invalid_slot, which only P1 has set:"
            " it links the original beside its INVALID copy, BUG."
        )
    if "early-publish" in kinds:
        return (
            "An entry that is not flagged publishes in the middle of P2: a MOVE passes the overlap test in the one set"
            " and is inserted into the other, where its place is still taken, BUG."
        )
    return (
        "A flagged MOVE is tested for overlap in P1 alone: P2 inserts it at a base that an entry before has taken, BUG."
    )


def _refusal(mismatch: Mismatch, parting: Event, change: str, outcome: Outcome) -> str:
    """What a refusal leads to: by the pass it happens in, or that the reference alone refuses."""
    if parting.phase == "":
        return _refused_outside_the_passes(mismatch, change, outcome)
    if mismatch.oracle == "visibility" and outcome.ended != "returned":
        return (
            f"{parting.phase} cannot prepare {change}; its rollback publishes the inactive set, in which the entries"
            " before have done their part of the list."
        )
    if parting.change is Change.NO_OP:
        return (
            "P1 takes a flagged no-op for an error: 'nothing to change' is the value 1, and the call returns it at"
            f" once{_tail(mismatch)}."
        )
    early = [event.entry for event in outcome.mishaps or () if event.kind == "early-publish"]
    # Pages go uncounted with what entries before it have published, whatever its own rollback does.
    counts = mismatch.what == "page-count" and len(set(early)) > 1
    if parting.entry in early and not counts:
        return (
            f"P2 cannot prepare {change} that is not flagged, and its rollback is of before patch 7: it puts the"
            " original back into the inactive set alone and frees the INVALID copy that the active set holds."
        )
    refused = f"{parting.phase} refuses {change}"
    if outcome.errno == EIO:
        refused += ", since nr_memslot_pages does not count yet what this list has created"
    elif early:
        refused += ", after an entry that is not flagged has published a set in the middle of it"
    if mismatch.oracle == "error_codes":
        looks = (
            "flagged entries are looked at first"
            if parting.phase == "P1"
            else "it looks at the inactive set as the entries before have left it"
        )
        return f"{refused}, which one at a time is met later, in another state, or not at all: {looks}."
    if mismatch.facts.get("policy") == "prefix":
        return f"{refused}, and what one at a time has done by then is not to be seen."
    if mismatch.oracle == "final_slots" and outcome.active == outcome.before:
        return f"{refused}, and nothing is done of a list that is accepted one at a time."
    return f"{refused}, and undoes nothing{_tail(mismatch)}."


def _another_window(parting: Event, change: str, outcome: Outcome) -> str:
    """Why INVALID slots are published once more."""
    if parting.phase == "P1":
        return (
            "P1 publishes each flagged entry by itself: readers meet INVALID slots in one set after the other, where"
            " one publication would do for all."
        )
    if any(event.kind == "refuse" and event.entry == parting.entry for event in outcome.mishaps or ()):
        return (
            f"{parting.phase} cannot prepare {change}; its rollback is of before patch 7 and publishes the INVALID copy"
            " once more."
        )
    return (
        f"{_sentence(change)} that is not flagged is made INVALID in {parting.phase}, by a publication of its own, when"
        " INVALID slots have been published before."
    )


def _refused_outside_the_passes(mismatch: Mismatch, change: str, outcome: Outcome) -> str:
    if outcome.entry_errnos is not None:
        if mismatch.what == "leaked":
            return (
                f"The single ioctl cannot prepare {change}, and since patch 5 nobody frees the slot that it would link."
            )
        if outcome.dangling:
            return (
                f"The single ioctl cannot prepare {change}, and its rollback is of before patch 7: it publishes the"
                " INVALID copy once more, puts the original back into the inactive set alone, and frees the copy, which"
                " readers still see."
            )
        return f"{_sentence(change)} is refused one at a time, and what stood before it stays done."
    if outcome.errno:
        return "The list ioctl refuses before it looks at any entry: nent, or a copy from user space."
    return (
        f"{_sentence(change)} that the reference refuses is let through: P1 tests a flagged MOVE against the state"
        " before the list, and nobody tests it again."
    )


def _tail(mismatch: Mismatch) -> str:
    behind = _LEFT_BEHIND.get(mismatch.what)
    return f"; {behind}" if behind else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


_CHANGES = {
    Change.CREATE: "a CREATE",
    Change.DELETE: "a DELETE",
    Change.MOVE: "a MOVE",
    Change.FLAGS_ONLY: "a FLAGS_ONLY",
    Change.NO_OP: "a no-op",
    Change.UNKNOWN: "an entry that no change can be made of",
}
