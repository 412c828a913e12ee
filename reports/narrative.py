# SPDX-License-Identifier: GPL-2.0-only
"""How a mismatch comes about, as numbered steps: what the reference did, what the engine did, and where they part.

The words are built from the events of both outcomes (`steps.py`); the one sentence at the end is `why.py`'s.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from memslots.outcome import Change, Event, Outcome
from reports.ending import ending_words
from reports.held_to import HeldTo
from reports.leftovers import leftovers
from reports.steps import Step, steps_of
from reports.wrapped import wrapped

_MOST_STEPS = 16
_AROUND = 2
_AT_BOTH_ENDS = 4
_QUIET = frozenset(("lock", "unlock", "alloc", "free", "replace", "publish"))
_BRIEF = ("publishes", "refuses", "meets", "WARN", "finds no memory")
PARTING = "<== here they part"


class Told(NamedTuple):
    """Both outcomes of a case, recorded, by the names of their engines; the event where they part; the reasons.

    `held` is what the engine is held to, None if that is what the reference did.
    """

    reference_name: str
    reference: Outcome
    engine_name: str
    engine: Outcome
    parting: Event | None
    reasons: tuple[str, ...]
    held: HeldTo | None = None

    @property
    def right(self) -> Outcome:
        """What the engine is held to."""
        return self.reference if self.held is None else self.held.outcome


def narrative(told: Told, width: int) -> Iterator[str]:
    """The lines, none longer than `width`: the steps, what is left, and why."""
    yield from story(told, width)
    yield ""
    yield "What is left:"
    for sentence in what_is_left(told.engine):
        yield from wrapped(sentence, width, "  ")
    yield ""
    yield "Why:"
    for reason in told.reasons:
        yield from wrapped(reason, width, "  ")


def story(told: Told, width: int) -> Iterator[str]:
    """The steps of both, the reference's in brief."""
    own = _index(told.engine, told.parting)
    theirs = None if own is not None else _index(told.right, told.parting)
    yield f"{told.reference_name}:"
    yield from _steps(told.reference, width, theirs if told.held is None else None, brief=True)
    if told.held is not None:
        yield ""
        yield from _held(told.held, width, theirs)
    yield ""
    yield from wrapped(f"{told.engine_name} (set A is active when the call begins, B is not; ranges are gfns):", width)
    yield from _steps(told.engine, width, own)


def _held(held: HeldTo, width: int, parting: int | None) -> Iterator[str]:
    """What is right instead: its steps where somebody took them."""
    yield from wrapped(f"{held.name}, which is right here: {held.why}", width)
    if held.ran:
        yield from _steps(held.outcome, width, parting, brief=True)


def what_is_left(outcome: Outcome) -> list[str]:
    """How the call ended, and a sentence for each thing that it leaves behind."""
    return [_ended(outcome), *leftovers(outcome)]


def _ended(outcome: Outcome) -> str:
    if outcome.ended != "returned":
        locks = [lock for lock in ("slots_lock", "slots_arch_lock") if getattr(outcome, lock)]
        held = f" with {' and '.join(locks)} held" if locks else ""
        return f"The call never returns: {outcome.ended}{f' ({outcome.kind})' if outcome.kind else ''}{held}."
    return f"The call returns: {ending_words(outcome)}."


def _index(outcome: Outcome, parting: Event | None) -> int | None:
    """The step that holds the event, which was written down with a detail or without."""
    if parting is None:
        return None
    # A bucket may leave out of which change it is: pass, entry and kind tell.
    found = [
        i
        for i, step in enumerate(steps_of(outcome))
        for event in step.events
        if event[:3] == parting[:3] and (event.kind != "lock" or event.detail == "slots_arch_lock")
    ]
    if not found:
        return None
    # Of a lock that is never released the last taking counts; of everything else the first.
    return found[-1] if parting.kind == "lock" else found[0]


def _steps(outcome: Outcome, width: int, parting: int | None, *, brief: bool = False) -> Iterator[str]:
    steps = steps_of(outcome)
    if not steps:
        yield from wrapped(f"shows no steps: {ending_words(outcome)}", width, "  ")
        return
    shown = _shown(steps, parting)
    skipped = 0
    for i, step in enumerate(steps):
        if i not in shown:
            skipped += 1
            continue
        if skipped:
            yield from wrapped(f"({skipped} more steps)", width, "      ")
            skipped = 0
        text = f"{_title(step)}: {', '.join(_clauses(step, brief))}."
        if i == parting:
            text += f" {PARTING}"
        yield from wrapped(text, width, f"{i + 1:>4}. ")


def _shown(steps: Sequence[Step], parting: int | None) -> set[int]:
    """All steps of a short story; of a long one both ends, what is no smooth update, and what is around the parting."""
    last = len(steps)
    if last <= _MOST_STEPS:
        return set(range(last))
    shown = {*range(_AT_BOTH_ENDS), *range(last - _AT_BOTH_ENDS, last)}
    mishaps = [i for i, step in enumerate(steps) if any(event.kind not in _QUIET for event in step.events)]
    shown.update(mishaps[:_AT_BOTH_ENDS])
    if parting is not None:
        shown.update(range(max(parting - _AROUND, 0), min(parting + _AROUND + 1, last)))
    return shown


def _title(step: Step) -> str:
    if step.entry is None:
        # Of a kernel tree's list ioctl nobody knows which entry it is at.
        published = any(event.kind == "publish" for event in step.events)
        return step.phase or ("the list" if published else "before any entry")
    change = "" if step.change is Change.UNKNOWN else f", {step.change.name}"
    return f"{step.phase + ', ' if step.phase else ''}entry {step.entry}{change}"


def _clauses(step: Step, brief: bool) -> Sequence[str]:
    if not brief:
        return step.clauses or ("nothing",)
    refused = any(event.kind == "refuse" for event in step.events)
    told = [clause for clause in step.clauses if clause.startswith(_BRIEF)]
    return told if refused else [*(told or ["nothing to do"]), "ok"]
