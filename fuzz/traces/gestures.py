# SPDX-License-Identifier: GPL-2.0-only
"""What a recorded list does, in a word and a sentence, as far as its entries can tell."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fuzz.traces.standing import Entry
from memslots.outcome import Change
from memslots.region import Region
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY


class Gesture(NamedTuple):
    """`word` names files; `sentence` says more."""

    word: str
    sentence: str


_VERBS = {
    Change.DELETE: "deleted",
    Change.CREATE: "created",
    Change.MOVE: "moved",
    Change.FLAGS_ONLY: "with other flags",
    Change.NO_OP: "as it was",
    Change.UNKNOWN: "refused",
}


def gesture_of(entries: Sequence[Entry]) -> Gesture:
    """The gesture of a list that is not empty."""
    changes = Counter(Change.UNKNOWN if entry.errno else entry.change for entry in entries)
    parts = [f"{changes[change]} {verb}" for change, verb in _VERBS.items() if changes[change]]
    spaces = sorted({entry.region.as_id for entry in entries})
    where = "" if spaces == [0] else f" in address space{'s' * (len(spaces) > 1)} {' and '.join(map(str, spaces))}"
    word = _word(entries, changes)
    return Gesture(word, f"{word}: {', '.join(parts)}{where}.")


def _word(entries: Sequence[Entry], changes: Counter[Change]) -> str:
    if changes[Change.UNKNOWN]:
        return "refused"
    kinds = set(changes)
    if kinds == {Change.CREATE}:
        return "create"
    if kinds == {Change.DELETE}:
        return "delete"
    if kinds == {Change.MOVE}:
        return "move"
    if kinds <= {Change.FLAGS_ONLY, Change.NO_OP}:
        logging = {
            entry.region.flags & KVM_MEM_LOG_DIRTY_PAGES for entry in entries if entry.change is Change.FLAGS_ONLY
        }
        return {1: "log-on", 0: "log-off"}[logging.pop()] if len(logging) == 1 else "flags"
    if kinds != {Change.DELETE, Change.CREATE}:
        return "mixed"
    return _replacement(entries)


def _replacement(entries: Sequence[Entry]) -> str:
    """What slots that were deleted, and others in their place, come to."""
    gone = [entry.before for entry in entries if entry.change is Change.DELETE and entry.before is not None]
    come = [entry.region for entry in entries if entry.change is Change.CREATE]
    readonly_before, readonly_after = _readonly_bytes(gone), _readonly_bytes(come)
    if readonly_before != readonly_after:
        return "lock" if readonly_after > readonly_before else "unlock"
    if len(come) != len(gone):
        return "merge" if len(come) < len(gone) else "split"
    before, after = sum(region.memory_size for region in gone), sum(region.memory_size for region in come)
    if before != after:
        return "grow" if after > before else "shrink"
    return "replace"


def _readonly_bytes(regions: Sequence[Region]) -> int:
    return sum(region.memory_size for region in regions if region.flags & KVM_MEM_READONLY)
