# SPDX-License-Identifier: GPL-2.0-only
"""Why a mismatch happens in a kernel tree's own code, in one sentence: what that code was seen to do, and where.

Nobody knows the passes of a list ioctl that somebody is about to write: what is told is what readers, locks and memory
have shown, and the request that the reference refuses.
"""

from memslots.outcome import Change, Event, Outcome
from oracles.mismatch import Mismatch

_BREAKS, _LEAKED = "breaks a rule: ", "leaked: "
_HARMED = "harms memory or its readers"
_SEEN = {
    "warn": "The code fires a WARN: {detail}.",
    "damage": f"The code {_HARMED}: {{detail}}.",
    "crashed": "The code dies: {detail}.",
    "looped": "The code never comes to an end: {detail}.",
    "lock": "{detail} is taken and never released.",
}
_PUBLISHED = {
    "outside": "publishes a state that is neither the one before the list nor the one after it",
    "overlap": "publishes slots that overlap",
    "invalid-windows": "publishes INVALID slots more than once, where one publication would do for all",
    "republished": "publishes more often than once",
    "unbacked": "publishes a state in which memory is missing that is there before and after",
    "not-invalidated": "takes a slot away that it has not published INVALID before",
    "apart": "publishes the address spaces far apart",
    "invalidated-in-vain": "publishes a slot INVALID that no entry deletes or moves",
    "needless": "publishes a set like the one before",
}
_LEFT = {
    "left-invalid": "leaves slots INVALID",
    "sets-differ": "leaves two sets that differ",
    "id-range": "leaves a slot whose id no slot has",
    "incomplete": "leaves a slot that lacks a place in an index, an arch array or its dirty bitmap",
    "edited-in-place": "edits a set after it has been published",
    "publications": "publishes more or fewer sets than its generations tell of",
    "update-in-progress": "leaves a generation that says that an update is in progress",
    "generation": "leaves generations that do not tell of what it has published",
    "more-publications": "publishes more often than one request after the other does",
    "overlap": "leaves slots that overlap",
    "page-count": "leaves nr_memslot_pages wrong",
    "warned": "fires a WARN",
    "corrupt": "leaves sets whose indexes contradict one another",
    "leaked": "leaks memory",
    "dangling": "leaves freed memory linked",
    "slots_lock-held": "returns with slots_lock held",
    "slots_arch_lock-held": "returns with slots_arch_lock held",
}
_ANSWERS = {
    "index": "Another entry is the first to be refused",
    "unasked": "The call meets a failure that the case does not ask for",
}
_CHANGES = {change: f"a {change.name}" for change in Change} | {
    Change.NO_OP: "a no-op",
    Change.UNKNOWN: "an entry that no change can be made of",
}


def why_of_tree(mismatch: Mismatch, parting: Event | None, outcome: Outcome) -> str:
    """One sentence. `parting` is the event of the bucket, `outcome` the tree's."""
    if parting is not None and parting.kind == "warn" and parting.detail.startswith(_BREAKS):
        return f"The code {parting.detail}."
    if parting is not None and parting.detail and parting.kind in _SEEN:
        return _SEEN[parting.kind].format(detail=parting.detail)
    if parting is not None and parting.kind == "hung":
        return f"The code waits for ever for a lock: {parting.detail}."
    return f"{_does(mismatch, outcome)}{_at(parting, outcome)}."


def _does(mismatch: Mismatch, outcome: Outcome) -> str:
    told = _PUBLISHED if mismatch.oracle == "visibility" else _LEFT
    if mismatch.what in told:
        # Of what is left behind, that which is spoken of.
        logged = [
            event.detail
            for event in outcome.mishaps or ()
            if event.kind == "log" and event.detail.startswith(_LEAKED) == (mismatch.what == "leaked")
        ]
        detail = f" ({logged[0]})" if logged and mismatch.oracle != "visibility" else ""
        return f"The call {told[mismatch.what]}{detail}"
    if mismatch.oracle == "balance":
        return f"The call {_HARMED} ({mismatch.what})"
    if mismatch.oracle == "error_codes":
        return _ANSWERS.get(mismatch.what, "The call gives another answer than the reference")
    if mismatch.oracle == "final_slots" and outcome.errno:
        undone = "nothing" if outcome.active != outcome.before else "what one at a time has done"
        return f"The call is refused, and undoes {undone}"
    return "The call leaves other slots than the reference"


def _at(parting: Event | None, outcome: Outcome) -> str:
    if parting is None or parting.kind != "refuse":
        return ""
    what = f", where {_CHANGES[parting.change]} is refused"
    return what if outcome.errno else f"{what} one at a time, and let through here"
