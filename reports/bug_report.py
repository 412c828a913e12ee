# SPDX-License-Identifier: GPL-2.0-only
"""A mismatch as a report that the kvm list could be sent: what was asked, expected and got, how it comes about, and how
to see it oneself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from memslots.casefile import CaseFile
from memslots.outcome import UNSEEN, Change, Event, Outcome, Publication
from memslots.slot import Slot, SlotSets
from memslots.textwriter import words_of
from oracles.mismatch import Mismatch
from oracles.policy import Policy, expected_active
from reports.document import INNER, Document, Section
from reports.ending import ending_words
from reports.held_to import answer_words
from reports.narrative import Told, story, what_is_left
from reports.news import news
from reports.readers import HEADING, MEANING, cost_lines
from reports.slot_lines import request_lines, slot_lines
from reports.subject import subject_of
from reports.wrapped import wrapped

_MOST_PUBLICATIONS = 16
_MOST_ZEROS = 2


@dataclass(frozen=True, slots=True)
class Bug:
    """A mismatch with all that a report tells of it.

    `found` are the mismatches with the event and the bucket of each; `asked` is what each entry asks for; `policy` is
    the one that was judged by; `sources` says of the engines by name what they are; `commands`, `attached` and
    `versions` are lines.
    """

    file: CaseFile
    told: Told
    found: tuple[tuple[Mismatch, Event | None, str], ...]
    asked: tuple[Change, ...]
    policy: Policy
    sources: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    attached: tuple[str, ...]
    versions: tuple[str, ...]


def document_of(bug: Bug) -> Document:
    """The report, section by section."""
    told = bug.told
    findings = [(mismatch, parting) for mismatch, parting, _ in bug.found]
    sections = [
        Section("", tuple(_opening(bug))),
        Section("The list", (), tuple(_list(bug))),
        Section(f"Expected ({told.held.name if told.held else told.reference_name})", *_expected(bug)),
        *_reference_itself(told),
        Section(f"Got ({told.engine_name})", tuple(what_is_left(told.engine)), tuple(_got(bug))),
        Section("What readers saw on the way", (), tuple(_seen(bug))),
        *_costs(told),
        Section("Step by step", (), tuple(story(told, INNER))),
        Section("Why", told.reasons),
        Section("Findings", (), _folded(bucket for *_, bucket in bug.found)),
        Section("To see it", (), bug.commands),
        Section("Attached", (), _folded(bug.attached)),
        Section("Versions", (), _folded(bug.versions)),
    ]
    return Document(
        subject_of(told.engine_name, findings, told.engine),
        tuple(section for section in sections if section.paragraphs or section.lines),
    )


def _folded(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(line for each in lines for line in wrapped(each, INNER, "", "    "))


def _opening(bug: Bug) -> Iterator[str]:
    # The comment of a record is its bucket and its reason, which stand below.
    below = {*bug.told.reasons, *(bucket for *_, bucket in bug.found)}
    comment = " ".join(line for line in bug.file.comment.splitlines() if line and not _is_below(line, below))
    if comment:
        yield comment
    yield from (f"{name}: {what}" for name, what in bug.sources)


def _is_below(line: str, below: set[str]) -> bool:
    return any(line == each or line.removesuffix(".") in each for each in below)


def _list(bug: Bug) -> Iterator[str]:
    case = bug.file.case
    yield f"machine {words_of(case.machine)}"
    if case.given:
        yield ""
        yield from request_lines(case.given, None, INNER)
    yield ""
    named = list(islice(case.named(), len(case.apply) + _MOST_ZEROS))
    if case.nent is not None:
        yield f"the header says nent={case.nent}, {len(case.apply)} entries are given"
    if case.header_flags:
        yield f"the header has flags={case.header_flags:#x}"
    if named:
        yield from request_lines(named, bug.asked, INNER, _entries_at_issue(bug))
    elif not case.entries:
        yield "no entry"
    if case.entries > len(named):
        yield f"and zero bytes up to entry {case.entries - 1}"
    for kind, n in case.faults:
        yield f"made to fail: {kind} {n} of the call, counted from 0"


def _entries_at_issue(bug: Bug) -> set[int]:
    """The entries that the reference refuses, or where an engine parts from it."""
    partings = {parting.entry for _, parting, _ in bug.found if parting is not None}
    errnos = bug.told.right.entry_errnos or ()
    return partings | {i for i, errno in enumerate(errnos) if errno}


def _expected(bug: Bug) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paragraphs: what makes it right, if it is not what the reference did, and the answer. Lines: the slots."""
    held = bug.told.held
    return ((held.why,) if held else ()) + (_answer(bug),), tuple(_right(bug))


def _reference_itself(told: Told) -> Iterator[Section]:
    """What the reference did with the case, where something else is right."""
    if told.held is not None:
        lines = tuple(slot_lines(told.reference.active, (), INNER))
        yield Section(f"The case itself ({told.reference_name})", (f"{ending_words(told.reference)}:",), lines)


def _answer(bug: Bug) -> str:
    right, held = bug.told.right, bug.told.held
    answer = ending_words(right) if held is None else answer_words(held)
    if not right.errno:
        return f"{answer}. The slots that are right:"
    entry = len(right.entry_errnos or ()) - 1
    left = (
        "the state before it" if bug.policy is Policy.ATOMIC else "what was done before the refusal, and nothing else"
    )
    at = f" at entry {entry}" if entry >= 0 else ""
    return f"{answer}, refused{at}. The list is to leave {left}:"


def _right(bug: Bug) -> Iterator[str]:
    right = expected_active(bug.told.right, bug.policy)
    yield from slot_lines(right, _at_issue(bug), INNER)


def _at_issue(bug: Bug) -> set[Slot]:
    """The slots that are not in every one of the sets that should be alike."""
    outcome = bug.told.engine
    right = _flat(expected_active(bug.told.right, bug.policy))
    sets = [_flat(sets) for sets in (outcome.active, outcome.inactive) if sets]
    return {slot for one in sets for slot in one ^ right}


def _flat(sets: SlotSets) -> set[Slot]:
    return {slot for of_space in sets for slot in of_space}


def _got(bug: Bug) -> Iterator[str]:
    outcome = bug.told.engine
    if outcome.active == UNSEEN:
        yield "the slots are not shown"
        return
    yield "active:"
    yield from (f"  {line}" for line in slot_lines(outcome.active, _at_issue(bug), INNER - 2))
    if outcome.inactive is None:
        yield "inactive: not shown"
    elif outcome.inactive == outcome.active:
        yield "inactive: the same"
    else:
        yield "inactive:"
        yield from (f"  {line}" for line in slot_lines(outcome.inactive, _at_issue(bug), INNER - 2))


def _seen(bug: Bug) -> Iterator[str]:
    told = bug.told
    instead = [(told.held.name, told.held.outcome)] if told.held and told.held.ran else []
    for name, outcome in ((told.reference_name, told.reference), *instead, (told.engine_name, told.engine)):
        if outcome.published is None:
            yield f"{name}: not shown"
            continue
        yield f"{name}:" if outcome.published else f"{name}: nothing new, it published nothing"
        yield from _publications(outcome, outcome.published)


def _costs(told: Told) -> Iterator[Section]:
    """Both engines' figures, the reference's to be compared with."""
    instead = {told.held.name: told.held.outcome} if told.held and told.held.ran else {}
    lines = cost_lines({told.reference_name: told.reference, **instead, told.engine_name: told.engine})
    if lines:
        yield Section(HEADING, (f"{MEANING[:1].upper()}{MEANING[1:]}:",), _folded(lines))


def _publications(outcome: Outcome, published: Sequence[Publication]) -> Iterator[str]:
    last = dict(enumerate(outcome.before))
    for number, (as_id, slots, inhibited) in enumerate(published, 1):
        clauses = news(last[as_id], slots) or ["nothing new"]
        last[as_id] = slots
        if number > _MOST_PUBLICATIONS:
            continue
        told = "; ".join([*clauses, *(["readers are kept out"] if inhibited else [])])
        yield from wrapped(told, INNER, f"{number:>4}. ")
    if len(published) > _MOST_PUBLICATIONS:
        yield f"      and {len(published) - _MOST_PUBLICATIONS} more"
