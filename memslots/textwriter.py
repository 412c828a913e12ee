# SPDX-License-Identifier: GPL-2.0-only
"""The case text (.slots), written. What is written is canonical: read and written again it stays as it is."""

from memslots.casefile import CaseFile, Content, Fault, Header
from memslots.expectation import ActiveSlot, Agreement, Ending, MismatchExpected
from memslots.machine import Machine
from memslots.region import NO_PADDING, Region
from memslots.uapi import flag_names

FIRST_LINE = "slots 1"


def text_of(file: CaseFile) -> str:
    """The whole file, comments included."""
    lines = [FIRST_LINE]
    for keyword, content, comment in file.lines:
        words = " ".join(filter(None, (keyword, words_of(content))))
        if comment is None:
            lines.append(words)
        elif words:
            lines.append(f"{words} #{comment}")
        else:
            lines.append(f"#{comment}")
    return "\n".join(lines) + "\n"


def words_of(content: Content) -> str:
    """What stands behind a line's keyword."""
    match content:
        case None:
            return ""
        case Region():
            return region_words(content)
        case Machine():
            overrides = content.overrides()
            return " ".join([content.profile, *(f"{key}={value:#x}" for key, value in overrides.items())])
        case Header(nent, header_flags):
            words = [] if nent is None else [f"nent={nent}"]
            # A line that says nothing could not be read again.
            return " ".join(words + ([f"header_flags={header_flags:#x}"] if header_flags or not words else []))
        case Fault(kind, n):
            return f"{kind}={n}"
        case Ending(engine, how, errno, index, kind):
            at = "" if index is None else f" at {index}"
            tail = {"refused": f" {errno}{at}", "crashed": f" {kind}" if kind else ""}.get(how, "")
            return f"{engine} {how.replace('-', ' ')}{tail}"
        case Agreement(engine):
            return f"{engine} agrees"
        case MismatchExpected(engine, bucket):
            return f"{engine} {bucket}"
        case ActiveSlot(engine, slot):
            if slot is None:
                return f"{engine} active none"
            number = slot_words(slot.as_id << 16 | slot.id)
            flags = f" flags={flag_names(slot.flags)}" if slot.flags else ""
            return (
                f"{engine} active {number} base_gfn={slot.base_gfn:#x} npages={slot.npages:#x}"
                f" hva={slot.userspace_addr:#x}{flags}"
            )


def slot_words(slot: int) -> str:
    """`slot=5`, or `slot=1:5` in another address space than 0."""
    return f"slot={slot >> 16}:{slot & 0xFFFF}" if slot >> 16 else f"slot={slot}"


def region_words(region: Region) -> str:
    """A region as key=value words. Addresses that are 0 are left out of a DELETE."""
    words = [slot_words(region.slot)]
    if region.guest_phys_addr or region.memory_size:
        words.append(f"gpa={region.guest_phys_addr:#x}")
    words.append(f"size={region.memory_size:#x}" if region.memory_size else "size=0")
    if region.userspace_addr or region.memory_size:
        words.append(f"hva={region.userspace_addr:#x}")
    if region.flags:
        words.append(f"flags={flag_names(region.flags)}")
    if region.invalidate_slot == 1:
        words.append("invalidate")
    elif region.invalidate_slot:
        words.append(f"invalidate_slot={region.invalidate_slot}")
    if region.padding != NO_PADDING:
        words.append(f"padding={region.padding.hex()}")
    return " ".join(words)
