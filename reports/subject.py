# SPDX-License-Identifier: GPL-2.0-only
"""The subject line of a bug report: the worst that was found, in a few words."""

from collections.abc import Sequence
from errno import errorcode
from pathlib import PurePath

from memslots.outcome import Change, Event, Outcome
from oracles.mismatch import Mismatch

_LONGEST = 63
"""What remains of 72 columns behind `Subject: `."""
_WORST_FIRST = {
    "survival": "",
    "invariants corrupt": "corrupts the memslot sets",
    "balance use-after-free": "uses freed memory",
    "balance double-free": "frees an object twice",
    "balance out-of-bounds": "writes out of bounds",
    "balance bad-free": "frees what is no object",
    "balance wrong-free": "frees an object as another allocator's",
    "balance early-free": "frees what readers may still see",
    "balance changed-in-place": "changes a set under its readers",
    "balance readers-not-awaited": "does not wait for readers",
    "balance stale-look-up": "leaves a stale last_used_slot",
    "balance slots_lock-held": "returns with slots_lock held",
    "balance slots_arch_lock-held": "returns with slots_arch_lock held",
    "balance dangling": "leaves a freed object linked",
    "invariants left-invalid": "leaves a slot INVALID",
    "invariants overlap": "leaves slots that overlap",
    "invariants incomplete": "leaves a slot that is incomplete",
    "invariants edited-in-place": "edits a set after it is published",
    "invariants id-range": "leaves a slot whose id no slot has",
    "invariants update-in-progress": "leaves an update in progress",
    "invariants generation": "leaves wrong generations",
    "visibility unbacked": "takes memory from readers on the way",
    "visibility": "shows readers slots that never should be",
    "final_slots": "leaves the wrong slots",
    "invariants sets-differ": "leaves two sets that differ",
    "error_codes": "",
    "error_codes index": "refuses another entry first",
    "error_codes unasked": "meets a failure that was not injected",
    "invariants warned": "fires a WARN",
    "visibility not-invalidated": "takes slots away that were never INVALID",
    "visibility invalidated-in-vain": "makes a slot INVALID in vain",
    "visibility needless": "publishes a set that is not new",
    "visibility apart": "publishes both address spaces far apart",
    "visibility republished": "publishes more often than once",
    "visibility invalid-windows": "publishes INVALID slots time and again",
    "balance leaked": "leaks an object",
    "invariants more-publications": "publishes more often than one at a time",
    "invariants publications": "miscounts its publications",
    "invariants page-count": "miscounts nr_memslot_pages",
}
_ENDS = {
    "hung": "hangs",
    "looped": "loops for ever",
    "crashed": "crashes",
    "crashed null-dereference": "dereferences NULL",
    "crashed bug": "hits a BUG",
    "crashed use-after-free": "dies of a use after free",
    "crashed unresolved-helper": "calls what the shim does not have",
}


def subject_of(who: str, found: Sequence[tuple[Mismatch, Event | None]], outcome: Outcome) -> str:
    """`KVM: rfc-v1 leaves a slot INVALID (P2, CREATE)`: one line of at most 63 columns. `found` is not empty."""
    mismatch, parting = min(found, key=lambda each: _rank(each[0]))
    told = f"KVM: {_short(who)} {_what(mismatch, outcome)}"
    where = "" if parting is None else ", ".join(filter(None, (parting.phase, _change(parting))))
    for subject in (f"{told} ({where})" if where else told, told):
        if len(subject) <= _LONGEST:
            return subject
    return told[: _LONGEST - 1] + "…"


def _short(who: str) -> str:
    """An engine's name; of a build's folder the last part, for a path says nothing to who gets the mail."""
    kind, colon, where = who.partition(":")
    return f"{kind}{colon}{PurePath(where).name}"


def _rank(mismatch: Mismatch) -> int:
    order = list(_WORST_FIRST)
    names = (f"{mismatch.oracle} {mismatch.what}", mismatch.oracle)
    return min((order.index(name) for name in names if name in order), default=len(order))


def _what(mismatch: Mismatch, outcome: Outcome) -> str:
    if mismatch.oracle == "survival":
        return _ENDS[f"{outcome.ended} {outcome.kind or ''}".rstrip()]
    if mismatch.oracle == "error_codes" and not mismatch.what:
        return f"answers {_answer(outcome)} where one at a time does not"
    name = f"{mismatch.oracle} {mismatch.what}".strip()
    return _WORST_FIRST.get(name) or _WORST_FIRST.get(mismatch.oracle) or f"fails {name}"


def _answer(outcome: Outcome) -> str:
    if outcome.errno:
        return errorcode[outcome.errno]
    return str(outcome.value)


def _change(event: Event) -> str:
    return "" if event.change is Change.UNKNOWN else event.change.name
