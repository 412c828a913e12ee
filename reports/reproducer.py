# SPDX-License-Identifier: GPL-2.0-only
"""A case as a C program that a kernel developer can read, compile and run: a kselftest in one file.

The text that every program has is in `reports/c/`; what differs from case to case is made here.
"""

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from errno import errorcode
from importlib.resources import files
from itertools import islice
from string import Template

from memslots.case import Case
from memslots.casefile import CaseFile
from memslots.errors import Unfit
from memslots.list_size import short_enough
from memslots.outcome import Outcome
from memslots.region import ZERO_REGION, Region
from memslots.slot import Slot, SlotSets
from memslots.textwriter import region_words
from memslots.uapi import KVM_MEMSLOT_INVALID
from oracles.policy import Policy, expected_active
from reports.c_text import Row, head_of, number_of, table_of
from reports.ending import ending_words
from reports.host_needs import needs_of
from reports.why import merged

SERIAL, LIST = "serial", "list"
IOCTLS = (SERIAL, LIST)
_DISPOSABLE = "--this-machine-is-disposable"
_MOST_SLOTS_TOLD = 8
_CODES = "Prints TAP. Exit code 0: as expected; 1: not; 4: it cannot run here."


@dataclass(frozen=True, slots=True)
class Sighting:
    """What an engine made of the list, and why, a sentence each: what the program's reader should see."""

    outcome: Outcome
    reasons: tuple[str, ...]


def reproducer_serial(file: CaseFile, source: str, reference: Outcome) -> str:
    """The program that applies the list one ioctl at a time and expects what `reference` answers and leaves.

    `source` is the name of the file that the text will stand in. Raises Unfit.
    """
    case = file.case
    errnos = reference.entry_errnos or ()
    given, list_rows, rest = _rows(file)
    zeros = [Row(ZERO_REGION, ("zero bytes: nent says more than there is",))] * (len(errnos) - len(list_rows))
    rows = [*list_rows[: case.entries], *zeros]
    tried = [row.region for row in rows[: len(errnos)]]
    about = [f"Expected, one KVM_SET_USER_MEMORY_REGION an entry: {_expected(reference)}.", _CODES]
    return _filled(
        "serial.c.in",
        head=head_of(_command(source), [_head(file), about]),
        given=table_of("given", given),
        list=table_of("list", rows, rest),
        answers=_answers(errnos),
        after=table_of("after", _slot_rows(reference.active, case)),
        slots=_slots(case, "list", [*case.given, *tried]),
    )


def reproducer_list(
    file: CaseFile, source: str, reference: Outcome, policy: Policy, sighting: Sighting | None = None
) -> str:
    """The program that applies the list by the list ioctl and expects what `reference` and `policy` make right.

    Raises Unfit.
    """
    case = file.case
    short_enough(case)
    given, rows, rest = _rows(file)
    left = "the state before it" if policy is Policy.ATOMIC else "what was done before the refusal"
    refused = f"; the list is to leave {left} (policy {policy.value})" if reference.errno else ""
    about = [
        f"Expected, as of one KVM_SET_USER_MEMORY_REGION an entry: {_expected(reference)}{refused}.",
        *_seen(sighting, file),
    ]
    danger = ["IT MAY HANG OR CRASH THE KERNEL. Run it on a machine that can be thrown away, as root.", _CODES]
    return _filled(
        "list.c.in",
        head=head_of(f"{_command(source)} {_DISPOSABLE}", [danger, _head(file), about]),
        given=table_of("given", given),
        list=table_of("entries", rows, rest, entries=True),
        nent=str(case.entries),
        flags=hex(case.header_flags) if case.header_flags else "0",
        answer=_errno(reference.errno or 0),
        after=table_of("after", _slot_rows(expected_active(reference, policy), case)),
        slots=_slots(case, "entries", [*case.given, *islice(case.named(), len(rows) + 1)]),
    )


def _filled(name: str, **texts: str) -> str:
    return Template((files("reports") / "c" / name).read_text("utf-8")).substitute(texts)


def _slots(case: Case, rows: str, regions: Sequence[Region]) -> str:
    """The part that reads slots back, for a case whose program may ask for `regions`."""
    used = {region.id for region in (*case.given, *case.apply, ZERO_REGION)}
    spare = next((n for n in range(case.machine.user_slots) if n not in used), None)
    if spare is None:
        raise Unfit("the case uses every slot id: expected one that is free, to find out with what is there")
    text = _filled(
        "slots.c.in", spare=str(spare), rows=rows, nr_rows=f"NR_{rows.upper()}", needs=needs_of(case.machine, regions)
    )
    # Its licence line is that of the file around it.
    return text.partition("\n")[2]


def _rows(file: CaseFile) -> tuple[list[Row], list[Row], list[str]]:
    """The regions given and those of the list, each with its comments, and the comments behind the last one."""
    given: list[Row] = []
    apply: list[Row] = []
    pending: list[str] = []
    # The comment at the head is shown there.
    for keyword, content, comment in file.lines[len(_head(file)) :]:
        if keyword in ("expect", "fault"):
            break
        if comment is not None:
            pending.append(comment)
        if isinstance(content, Region):
            (given if keyword == "given" else apply).append(Row(content, tuple(pending)))
            pending = []
    return given, apply, pending


def _head(file: CaseFile) -> list[str]:
    """The lines of the comment at the head of the case."""
    return file.comment.split("\n") if file.comment else []


def _slot_rows(slots: SlotSets, case: Case) -> list[Row]:
    return [Row(_region_of(slot, case)) for of_space in slots for slot in of_space]


def _region_of(slot: Slot, case: Case) -> Region:
    """The request that finds the slot as it is."""
    as_id, slot_id, base, npages, hva, flags = slot
    shift = case.machine.page_shift
    return Region(as_id << 16 | slot_id, flags, base << shift, npages << shift, hva)


def _answers(errnos: Sequence[int]) -> str:
    number = number_of("answers", len(errnos))
    names = ", ".join(map(_errno, errnos))
    if not names:
        return f"{number}\nstatic const int answers[1];"
    if len(names) < 32:
        return f"{number}\nstatic const int answers[NR_ANSWERS] = {{ {names} }};"
    lines = textwrap.fill(f"{names},", 80, initial_indent="\t", subsequent_indent="\t", tabsize=8, expand_tabs=False)
    return f"{number}\nstatic const int answers[NR_ANSWERS] = {{\n{lines}\n}};"


def _errno(errno: int) -> str:
    return errorcode[errno] if errno else "0"


def _command(source: str) -> str:
    """How to compile the program and run it. `source` ends in .c."""
    source = f"./{source}" if source.startswith("-") else source
    program = source.removesuffix(".c")
    run = program if program.startswith("./") else f"./{program}"
    return f"gcc -Wall -Wextra -o {shlex.quote(program)} {shlex.quote(source)} && {shlex.quote(run)}"


def _expected(reference: Outcome) -> str:
    errnos = reference.entry_errnos or ()
    if not reference.errno:
        return "every entry accepted" if errnos else "no entry, no change"
    return f"entry {len(errnos) - 1} refused with {errorcode[reference.errno]}"


def _seen(sighting: Sighting | None, file: CaseFile) -> Iterator[str]:
    """What an engine saw, line by line."""
    if sighting is None:
        return
    outcome = sighting.outcome
    yield f"Seen, in a simulation of the series of 9 September 2022: {ending_words(outcome)}."
    # What the case says itself stands above.
    yield from merged(reason for reason in sighting.reasons if reason not in file.comment)
    if outcome.corrupt:
        return
    slots = [slot for of_space in outcome.active for slot in of_space]
    for slot in slots[:_MOST_SLOTS_TOLD]:
        yield f"Active then: {region_words(_region_of(slot, file.case))}"
    if len(slots) > _MOST_SLOTS_TOLD:
        yield f"and {len(slots) - _MOST_SLOTS_TOLD} more."
    if not slots:
        yield "Active then: no slot."
    inactive = {slot for of_space in outcome.inactive or () for slot in of_space}
    if any(slot.flags & KVM_MEMSLOT_INVALID and slot in inactive for slot in slots):
        yield "A slot that is INVALID in both sets shows to a vCPU alone, not to this program."
