# SPDX-License-Identifier: GPL-2.0-only
"""The signature: the bucket and the changes that a reduced list asks for. It names a record of the corpus."""

from errno import errorcode
from hashlib import sha256

from engines.simulated.plain import PlainVm
from memslots.case import Case

_MOST = 64
"""Entries of a list that are looked at: reduced lists are shorter."""


def changes_of(case: Case) -> tuple[str, ...]:
    """What each entry asks for as serial sees it, `!` where it is flagged, the slot by first appearance, the errno."""
    vm = PlainVm(case.machine)
    names: dict[int, int] = {}
    for region in case.given:
        vm.set_memory_region(region)
    words: list[str] = []
    for region in case.apply[: min(case.entries, _MOST)]:
        change = vm.asked_by(region).name
        errno = vm.set_memory_region(region)
        slot = names.setdefault(region.slot, len(names))
        flag = "!" if region.flagged else ""
        words.append(f"{change}{flag} {slot}" + (f" {errorcode[errno]}" if errno else ""))
    if case.entries > len(case.apply):
        words.append(f"nent={case.entries}")
    return tuple(words)


def signature_of(bucket: str, case: Case) -> str:
    """The bucket and the changes of a reduced case, as one line."""
    return f"{bucket}: {', '.join(changes_of(case)) or 'empty list'}"


def short_name(signature: str) -> str:
    """A file name for a signature: what of it can be read, and eight hexadecimal digits of its hash."""
    bucket = signature.partition(":")[0]
    readable = "-".join(word.lower() for word in bucket.split())
    return f"{readable}-{sha256(signature.encode()).hexdigest()[:8]}"
