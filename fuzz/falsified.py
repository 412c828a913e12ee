# SPDX-License-Identifier: GPL-2.0-only
"""Outcomes that never were: an engine's, falsified, so that every oracle has something to say.

In what the simulated engines do, most oracles see nothing wrong in thousands of cases. Whether two builds of the
oracles are the same, only outcomes tell to which they object.
"""

from errno import E2BIG, EEXIST, EFAULT, EINVAL, EIO, ENOMEM
from random import Random
from typing import NamedTuple, cast

from engines.protocol import Engine
from memslots.case import Case
from memslots.outcome import Outcome, Publication
from memslots.slot import SlotSet, SlotSets

_WORDS = (
    ("returned", "hung", "crashed", "looped", "unknown"),
    ("refuse", "warn", "stray", "damage", "unnoticed", "early-publish", "another-window", "lock", "log"),
)
"""Words that stand for one another."""
_ERRNOS = (EEXIST, EINVAL, EIO, ENOMEM, EFAULT, E2BIG)
_NUMBERS = (-1, 1, 2, 1 << 16, 1 << 63)


class Falsified:
    """An engine that tells of each case something else than has happened."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.shows = engine.shows
        self._engine = engine
        self._rng = Random(1)
        self._last: Outcome | None = None

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        """An outcome that is not this case's. Raises BadCase."""
        outcome = self._engine.apply(case, record=record)
        last = self._last or outcome
        self._last = outcome
        match self._rng.randrange(10):
            case 0:
                field = self._rng.choice(Outcome._fields)
                return _with(outcome, field, getattr(last, field))
            case 1:
                return _published_as(outcome, tuple(each for each in outcome.published or () for _ in range(2)))
            case 2:
                return _published_as(outcome, (outcome.published or ())[1:])
            case 3:
                sets = cast(SlotSets, _altered(outcome.active, self._rng))
                return outcome._replace(active=sets, inactive=sets)
            case 4:
                return outcome._replace(errno=self._rng.choice(_ERRNOS), value=-1)
        field = self._rng.choice([field for field in Outcome._fields if field != "errno"])
        return _with(outcome, field, _altered(getattr(outcome, field), self._rng))


def _with(outcome: Outcome, field: str, value: object) -> Outcome:
    """The same, one field excepted. Values are of the field's own kind: they come from an outcome."""
    return Outcome._make({**outcome._asdict(), field: value}.values())


def _published_as(outcome: Outcome, published: tuple[Publication, ...]) -> Outcome:
    """The same with these publications, all that tells of them included."""
    if outcome.published is None or outcome.publications is None or outcome.generation is None:
        return outcome
    more = [0] * len(outcome.generation)
    for sign, publications in ((-1, outcome.published), (1, published)):
        for publication in publications:
            more[publication.as_id] += sign * len(more)
    return outcome._replace(
        published=published,
        publications=outcome.publications + len(published) - len(outcome.published),
        generation=tuple(max(had + by, 0) for had, by in zip(outcome.generation, more, strict=True)),
    )


def _altered(value: object, rng: Random) -> object:
    """Another value of the same kind; the same where there is no other."""
    match value:
        case bool():
            return not value
        case int():
            return max(value + rng.choice(_NUMBERS), 0)
        case str():
            return next((rng.choice(words) for words in _WORDS if value in words), value)
        case Publication():
            return value._replace(slots=cast(SlotSet, _altered(value.slots, rng)))
        case tuple() if value:
            return _altered_tuple(value, rng)
    return value


def _altered_tuple(value: tuple[object, ...], rng: Random) -> object:
    place = rng.randrange(len(value))
    before, here, after = value[:place], value[place], value[place + 1 :]
    one_altered = (*before, _altered(here, rng), *after)
    if hasattr(value, "_fields"):
        return cast(type[NamedTuple], type(value))(*one_altered)  # type: ignore[call-overload]
    # Address spaces and their generations are as many as they are.
    if all(isinstance(each, int) or (isinstance(each, tuple) and not hasattr(each, "_fields")) for each in value):
        return one_altered
    match rng.randrange(4):
        case 0:
            return before + after
        case 1:
            return (*before, here, here, *after)
        case 2:
            return (*reversed(value),)
    return one_altered
