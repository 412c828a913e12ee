# SPDX-License-Identifier: GPL-2.0-only
"""The bucket: a name for "the same bug" that is a function of two outcomes alone.

Its words: oracle and what it found; how the reference ended; how the engine ended; and pass, change and kind of
the event where the two part. Ids, addresses, sizes and how many entries there are do not enter.
"""

from collections.abc import Iterable, Sequence
from errno import errorcode

from memslots.outcome import AFTERWARDS, GIVEN, Change, Event, Outcome
from oracles.mismatch import Mismatch


def bucket_of(mismatch: Mismatch, reference: Outcome, outcome: Outcome, parting: Event | None) -> str:
    """The bucket of a mismatch between two outcomes, whose `parting_event` is `parting`."""
    words = [mismatch.oracle, mismatch.what, how_ended(reference), how_ended(outcome)]
    words += ["nowhere"] if parting is None else [parting.phase, parting.change.name, parting.kind]
    return " ".join(filter(None, words))


def how_ended(outcome: Outcome) -> str:
    """`ok`, an errno's name, `returned-1`, `hung`, `crashed-KIND` or `looped`; `corrupt` before all of them.

    What a call does with corrupt sets depends on the shape of trees: it says nothing of the cause.
    """
    if outcome.corrupt:
        return "corrupt"
    if outcome.ended != "returned":
        return outcome.ended if outcome.kind is None else f"{outcome.ended}-{outcome.kind}"
    if outcome.errno:
        return errorcode[outcome.errno]
    return f"returned-{outcome.value}" if outcome.value else "ok"


def parting_event(mismatch: Mismatch, reference: Outcome, outcome: Outcome) -> Event | None:
    """The mishap behind a mismatch: where the engine does what the reference, or any sound update, does not.

    None if neither knows of one, which takes an engine that goes wrong smoothly, or shows no mishaps.
    """
    mishaps = outcome.mishaps or ()
    if outcome.failed and (unnoticed := _first(mishaps, "unnoticed")):
        # The call had to end there. What else it does is found without the failure, too.
        return unnoticed
    if outcome.corrupt:
        root = _root_of_corruption(mishaps)
        damage = _first(mishaps, "damage")
        # What was damaged before sets went astray has a cause of its own.
        before = damage is not None and root is not None and mishaps.index(damage) < mishaps.index(root)
        return damage if before and mismatch.oracle == "balance" else root
    own = _own_event(mismatch, outcome, mishaps)
    return own or _first(mishaps, "refuse") or _first(reference.mishaps or (), "refuse")


def _own_event(mismatch: Mismatch, outcome: Outcome, mishaps: Sequence[Event]) -> Event | None:
    """The event that the finding itself points at, if it points at one."""
    if mismatch.oracle == "survival":
        # Not where it ended but why: who hangs, or meets the NULL, depends on the neighbours in the list.
        cause = _first(mishaps, "lock" if outcome.ended == "hung" else "unnoticed")
        return cause or _first(mishaps, outcome.ended)
    if mismatch.oracle == "balance" and mismatch.what in (outcome.damage or ()):
        told = [event for event in mishaps if event.detail.startswith(mismatch.what)]
        return _first(told, "damage") or _first(mishaps, "damage")
    match mismatch.what:
        case "slots_arch_lock-held" | "leaked":
            # Whoever keeps the lock has prepared a slot that nobody will link.
            return _first(mishaps, "lock")
        case "warned":
            return _first([event for event in mishaps if event.phase not in (GIVEN, AFTERWARDS)], "warn")
        case "invalid-windows":
            window = _first(mishaps, "another-window")
            # Which of the flagged entries comes second is a matter of neighbours.
            return window._replace(change=Change.UNKNOWN) if window is not None and window.phase == "P1" else window
        case "outside" | "unbacked" | "not-invalidated" | "republished" | "apart":
            # Half a list that was published comes before what is refused behind it.
            return _first(mishaps, "early-publish")
    return None


def _first(mishaps: Iterable[Event], kind: str) -> Event | None:
    return next((event for event in mishaps if event.kind == kind), None)


def _root_of_corruption(mishaps: Iterable[Event]) -> Event | None:
    """The first stray edit, or what made it one.

    A set that is published between two entries of the second pass carries half a list: whatever entry is edited
    into the other set next, and which of them goes astray first, depends on its neighbours in the list.
    """
    return next((event for event in mishaps if event.kind in ("stray", "early-publish")), None)
