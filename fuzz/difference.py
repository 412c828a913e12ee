# SPDX-License-Identifier: GPL-2.0-only
"""Where two engines that should be the same part: the case, and the fields of the outcome that differ."""

from collections.abc import Callable
from typing import NamedTuple

from engines.protocol import Engine
from engines.simulated.objects import written
from memslots.case import Case
from memslots.casefile import case_file
from memslots.errors import BadCase, Unfit
from memslots.outcome import Event, Outcome, Publication
from memslots.slot import Slot
from memslots.textwriter import text_of
from reducers.reduce import reduced

_ORDER = ("ended", "kind", "errno", "value", "entry_errnos")
"""The fields that say most: what a reduction keeps is the first that differs."""
_FIELDS = (*_ORDER, *(name for name in Outcome._fields if name not in _ORDER))
Pair = tuple[str, str]


class Difference(NamedTuple):
    """A case on which two engines part, and in which fields of the outcome; what each says, `names` being theirs."""

    case: Case
    fields: tuple[str, ...]
    names: Pair
    says: tuple[tuple[str, str], ...]

    def words(self) -> list[str]:
        """A line a field."""
        ours, theirs = self.names
        return [
            f"{name}: {ours} {one}, {theirs} {other}" for name, (one, other) in zip(self.fields, self.says, strict=True)
        ]


def difference_on(case: Case, one: Engine, other: Engine, names: Pair, *, record: bool = False) -> Difference | None:
    """The fields that differ, or None. What is no case, or neither can be given, differs in nothing."""
    try:
        ours, theirs = (_applied(engine, case, record) for engine in (one, other))
    except BadCase:
        return None
    if isinstance(ours, str) or isinstance(theirs, str):
        words = tuple(each if isinstance(each, str) else "takes it" for each in (ours, theirs))
        return None if ours == theirs else Difference(case, ("case",), names, ((words[0], words[1]),))
    fields = tuple(name for name in _FIELDS if _comparable(ours, name) != _comparable(theirs, name))
    says = tuple((_of(ours, name), _of(theirs, name)) for name in fields)
    return Difference(case, fields, names, says) if fields else None


def _comparable(outcome: Outcome, name: str) -> object:
    """A field without what is told for people alone: how events are put, and the line of the source they are at."""
    if name == "events":
        return None
    if name == "mishaps":
        return [each if each.kind == "injected" else each[:4] for each in outcome.mishaps or ()]
    return getattr(outcome, name)


def _applied(engine: Engine, case: Case, record: bool) -> Outcome | str:
    """What becomes of the case, or why this engine cannot be given it."""
    try:
        return engine.apply(case, record=record)
    except Unfit as unfit:
        return str(unfit)


def smallest_of(difference: Difference, compare: Callable[[Case], Difference | None]) -> Difference:
    """The difference with the fewest and plainest requests in the first of these fields."""

    def still(case: Case) -> bool:
        found = compare(case)
        return found is not None and difference.fields[0] in found.fields

    return compare(reduced(difference.case, still).case) or difference


def difference_text(difference: Difference, head: str) -> str:
    """The case file of a difference, with `head` as the first line of its comment."""
    return text_of(case_file(difference.case, [], comment="\n".join((head, *difference.words()))))


def _of(outcome: Outcome, name: str) -> str:
    """A field in words."""
    return _words(getattr(outcome, name))


def _words(value: object) -> str:
    match value:
        case Event():
            return " ".join(filter(None, (value.kind, f"at {value.entry}", value.change.name, value.detail)))
        case Slot():
            return f"{written(value)} hva={value.userspace_addr:#x} flags={value.flags:#x}"
        case Publication():
            return f"[{value.as_id}: {_words(value.slots)}]"
        case tuple():
            return f"({', '.join(map(_words, value))})"
    return str(value)
