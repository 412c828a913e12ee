# SPDX-License-Identifier: GPL-2.0-only
"""An outcome back from its JSON form: the inverse of `json_of_outcome`, and a longer form that loses nothing.

The contract leaves out what only oracles and reports ask for: `before`, `mishaps`, `events`, `page_size` and
`incomplete`, and `published` unless somebody asks for it. Between two processes of this project they go along, under
their own names.
"""

from collections.abc import Callable, Mapping

from memslots.errors import BadCase
from memslots.jsonl import Json, json_of_outcome, json_of_published, json_of_sets
from memslots.outcome import Change, Event, Outcome, Publication
from memslots.slot import Gfn, Slot, SlotSets


def whole_json_of_outcome(outcome: Outcome) -> dict[str, Json]:
    """The OUTCOME object of the contract with the fields that the contract leaves out."""
    return {
        **json_of_outcome(outcome),
        "before": json_of_sets(outcome.before),
        "mishaps": _json_of_events(outcome.mishaps),
        "events": _json_of_events(outcome.events),
        "published": json_of_published(outcome.published),
        "page_size": outcome.page_size,
        "incomplete": outcome.incomplete,
    }


def outcome_from_json(fields: Mapping[str, object]) -> Outcome:
    """The outcome that an object stands for; what is left out is None. Raises BadCase, naming the key.

    Where `active` is null, and `before` left out, they are empty: nobody could look, or says.
    """
    unknown = [key for key in fields if key not in _READERS]
    if unknown:
        raise BadCase(f"outcome: unknown key {unknown[0]!a}, expected one of {', '.join(_READERS)}")
    values = {key: read(key, fields[key]) for key, read in _READERS.items() if fields.get(key) is not None}
    if "ended" not in values:
        raise BadCase("outcome: expected ended")
    return Outcome(**({"active": (), "before": ()} | values))  # type: ignore[arg-type]  # each key has its own reader


def _json_of_events(events: tuple[Event, ...] | None) -> Json:
    if events is None:
        return None
    return [[event.kind, event.phase, event.entry, event.change.name, event.detail] for event in events]


def _word(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadCase(f"outcome.{key}: expected a string")
    return value


def _number(key: str, value: object) -> int:
    if type(value) is not int:
        raise BadCase(f"outcome.{key}: expected a whole number")
    return value


def _truth(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadCase(f"outcome.{key}: expected true or false")
    return value


def _list(key: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise BadCase(f"outcome.{key}: expected a list")
    return value


def _words(key: str, value: object) -> tuple[str, ...]:
    return tuple([_word(key, item) for item in _list(key, value)])


def _numbers(key: str, value: object) -> tuple[int, ...]:
    return tuple([_number(key, item) for item in _list(key, value)])


def _by_address_space(key: str, value: object) -> list[object]:
    """The values of {"0": ..., "1": ...}, in the order of the address spaces."""
    if not isinstance(value, dict) or list(value) != [str(i) for i in range(len(value))]:
        raise BadCase(f"outcome.{key}: expected an object, its keys the address spaces from 0 on")
    return list(value.values())


def _generations(key: str, value: object) -> tuple[int, ...]:
    return tuple([_number(key, item) for item in _by_address_space(key, value)])


def _sets(key: str, value: object) -> SlotSets:
    return tuple(
        [
            tuple([_slot(key, as_id, item) for item in _list(key, slots)])
            for as_id, slots in enumerate(_by_address_space(key, value))
        ]
    )


def _slot(key: str, as_id: int, value: object) -> Slot:
    numbers = _numbers(key, value)
    if len(numbers) != 5:
        raise BadCase(f"outcome.{key}: expected slots of five numbers")
    slot_id, base, npages, hva, flags = numbers
    return Slot(as_id, slot_id, Gfn(base), npages, hva, flags)


def _events(key: str, value: object) -> tuple[Event, ...]:
    return tuple([_event(key, _list(key, item)) for item in _list(key, value)])


def _event(key: str, value: list[object]) -> Event:
    if len(value) != 5:
        raise BadCase(f"outcome.{key}: expected events of five parts")
    kind, phase, change, detail = [_word(key, value[i]) for i in (0, 1, 3, 4)]
    if change not in Change.__members__:
        raise BadCase(f"outcome.{key}: expected one of {', '.join(Change.__members__)}")
    return Event(kind, phase, _number(key, value[2]), Change[change], detail)


def _published(key: str, value: object) -> tuple[Publication, ...]:
    return tuple([_publication(key, _list(key, item)) for item in _list(key, value)])


def _publication(key: str, value: list[object]) -> Publication:
    if len(value) != 3:
        raise BadCase(f"outcome.{key}: expected publications of three parts")
    as_id = _number(key, value[0])
    slots = tuple([_slot(key, as_id, item) for item in _list(key, value[1])])
    return Publication(as_id, slots, _truth(key, value[2]))


_READERS: Mapping[str, Callable[[str, object], object]] = {
    "ended": _word,
    "kind": _word,
    "value": _number,
    "errno": _number,
    "entry_errnos": _numbers,
    "at_first_refusal": _sets,
    "active": _sets,
    "inactive": _sets,
    "generation": _generations,
    "slots_lock": _truth,
    "slots_arch_lock": _truth,
    "nr_memslot_pages": _number,
    "damage": _words,
    "dangling": _truth,
    "corrupt": _truth,
    "leaked": _number,
    "warned": _truth,
    "publications": _number,
    "before": _sets,
    "mishaps": _events,
    "events": _events,
    "published": _published,
    "page_size": _number,
    "incomplete": _number,
}
