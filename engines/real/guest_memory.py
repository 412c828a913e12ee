# SPDX-License-Identifier: GPL-2.0-only
"""A case with memory behind it: its addresses lead to pages of ours, and every page says which one it is."""

from collections.abc import Iterable
from typing import NamedTuple

from engines.real.device import Memory
from engines.real.vcpu import REACHED, answering
from memslots.case import Case
from memslots.errors import Unfit
from memslots.region import Region
from memslots.slot import Slot, SlotSet

CODE_OFFSET = 16
"""Where in each page stands code that answers the page's word; the word itself stands at 0."""
SCRATCH_OFFSET = 32
"""Where in each page may be written."""
_MOST_PAGES = 0xF000
"""Words tell pages apart: 0 is nobody's, and the last few would look like all ones."""


class Backed(NamedTuple):
    """A case whose userspace_addr fields name pages of `memory`, in the same relations to one another."""

    case: Case
    memory: Memory
    page_size: int

    def reached(self, candidates: Iterable[int | None], written: int) -> int:
        """The word of the page, among the candidates, into which `written` was written last; 0 if it is in none."""
        for word in candidates:
            at = ((word or 1) - 1) * self.page_size + SCRATCH_OFFSET
            if word is not None and self.memory.bytes[at : at + 2] == written.to_bytes(2, "little"):
                return word
        return 0

    def word_of(self, slots: SlotSet, gfn: int) -> int | None:
        """The word that the page behind `gfn` holds while these are the slots; None where there is no memory."""
        slot = slot_at(slots, gfn)
        if slot is None:
            return None
        offset = slot.userspace_addr + (gfn - slot.base_gfn) * self.page_size - self.memory.address
        return 1 + offset // self.page_size


def slot_at(slots: SlotSet, gfn: int) -> Slot | None:
    """The slot that holds `gfn`."""
    return next((slot for slot in slots if slot.base_gfn <= gfn < slot.end_gfn), None)


def backed(case: Case, accepted: Iterable[Region]) -> Backed:
    """The case on memory of its own. `accepted` are the requests that make slots: all others keep their addresses.

    Raises Unfit for what a vCPU in real mode cannot reach, or has not words enough for.
    """
    page = case.machine.page_size
    spans: list[list[int]] = []
    wanted = sorted((r.userspace_addr, r.userspace_addr + r.memory_size) for r in set(accepted) if r.memory_size)
    for start, end in wanted:
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([start, end])
    pages = sum(end - start for start, end in spans) // page
    if not 0 < pages <= _MOST_PAGES:
        raise Unfit(
            f"the list's slots have {pages} pages of memory: expected 1 to {_MOST_PAGES} that can be told apart"
        )
    memory = Memory(pages * page)
    at: dict[int, int] = {}
    offset = 0
    for start, end in spans:
        at[start] = memory.address + offset
        offset += end - start
    for i in range(pages):
        word = 1 + i
        memory.bytes[i * page : i * page + 2] = word.to_bytes(2, "little")
        code = answering(word)
        memory.bytes[i * page + CODE_OFFSET : i * page + CODE_OFFSET + len(code)] = code

    def moved(region: Region) -> Region:
        for start, end in spans:
            if start <= region.userspace_addr < end:
                return region._replace(userspace_addr=at[start] + region.userspace_addr - start)
        return region

    apply, given = tuple(map(moved, case.apply)), tuple(map(moved, case.given))
    return Backed(Case(apply, given, case.machine, case.nent, case.header_flags), memory, page)


def place_for_code(case: Case, user_slots: int) -> tuple[int, int]:
    """A gfn below 4 GiB that no request of the case names, and an id likewise, of `user_slots`. Raises Unfit."""
    page = case.machine.page_size
    regions = (*case.given, *case.apply)
    if any(region.memory_size and region.guest_phys_addr + region.memory_size > REACHED for region in regions):
        raise Unfit(f"a vCPU in real mode reaches {REACHED:#x} bytes: expected a list below that")
    if any(region.as_id for region in regions):
        raise Unfit("a vCPU in real mode is in address space 0: expected a list for that one alone")
    taken = [(region.guest_phys_addr, region.guest_phys_addr + region.memory_size) for region in regions]
    ends = sorted(-(-end // page) * page for _, end in taken)
    # Rather not right behind a slot: what is seen there is told, too.
    for at in (0, *(end + page for end in ends), *ends):
        if at + page <= REACHED and not any(start < at + page and at < end for start, end in taken):
            ids = {region.id for region in regions}
            return at // page, next(i for i in range(user_slots - 1, -1, -1) if i not in ids)
    raise Unfit("the list names every page that a vCPU in real mode reaches: expected one for its code")
