# SPDX-License-Identifier: GPL-2.0-only
"""The JSON Lines form: one case a line in, one outcome out. It is a contract that others build on.

The standard library reads it, as it does everything in this room. A decoder that builds values from types is faster,
by about an eighth of what answering a line takes (bench/jsonl.py, docs/decisions/json-on-the-standard-library.md).
"""

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn

from memslots.case import FAULT_KINDS, Case
from memslots.errors import BadCase, BadInput, NotYet
from memslots.machine import DEFAULT_MACHINE, Machine, machine_of
from memslots.outcome import Outcome, Publication
from memslots.region import FIELD_MAXIMA, NO_PADDING, Region
from memslots.slot import SlotSet, SlotSets
from memslots.textwords import padding_of
from memslots.uapi import U32, U64

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

FORMAT = 1
MAX_REGIONS = 200_000
"""As many as a case file may have lines."""
_CASE_KEYS = frozenset(("format", "id", "machine", "given", "apply", "nent", "header_flags", "faults"))
_LATER_KEYS = frozenset(("then", "dirty", "schedule"))


class BadJson(BadInput):
    """A line that is no case. `case_id` is the id that it carries, if that much could be read."""

    def __init__(self, case_id: str | None, why: str) -> None:
        super().__init__(why)
        self.case_id = case_id


def case_from_line(line: str | bytes) -> tuple[str | None, Case]:
    """The id and the case of one line. Raises BadJson, naming the key and what was expected."""
    case_id: str | None = None
    try:
        fields = _object("a case", _parsed(line))
        given_id = fields.get("id")
        if given_id is not None and not isinstance(given_id, str):
            raise BadCase("id: expected a string")
        case_id = given_id
        return case_id, _case(fields)
    except (BadCase, NotYet) as error:
        raise BadJson(case_id, str(error)) from None


def line_from_case(case: Case, case_id: str | None = None) -> str:
    """The line of a case, without its newline; keys that are plain are left out."""
    fields: dict[str, Json] = {"format": FORMAT}
    if case_id is not None:
        fields["id"] = case_id
    fields["machine"] = _json_of_machine(case.machine)
    fields["given"] = [_json_of_region(region) for region in case.given]
    fields["apply"] = [_json_of_region(region) for region in case.apply]
    if case.nent is not None:
        fields["nent"] = case.nent
    if case.header_flags:
        fields["header_flags"] = case.header_flags
    if case.faults:
        fields["faults"] = dict(case.faults)
    return json.dumps(fields)


def json_of_outcome(outcome: Outcome) -> dict[str, Json]:
    """The OUTCOME object of the contract."""
    return {
        "ended": outcome.ended,
        "kind": outcome.kind,
        "value": outcome.value,
        "errno": outcome.errno,
        "entry_errnos": None if outcome.entry_errnos is None else list(outcome.entry_errnos),
        "at_first_refusal": json_of_sets(outcome.at_first_refusal),
        "active": json_of_sets(outcome.active or None),
        "inactive": json_of_sets(outcome.inactive),
        "generation": None if outcome.generation is None else json_of_generations(outcome.generation),
        "slots_lock": outcome.slots_lock,
        "slots_arch_lock": outcome.slots_arch_lock,
        "nr_memslot_pages": outcome.nr_memslot_pages,
        "damage": None if outcome.damage is None else list(outcome.damage),
        "dangling": outcome.dangling,
        "corrupt": outcome.corrupt,
        "leaked": outcome.leaked,
        "warned": outcome.warned,
        "publications": outcome.publications,
    }


def json_of_published(published: tuple[Publication, ...] | None) -> Json:
    """[[address space, [[id, base_gfn, npages, userspace_addr, flags], ...], inhibited], ...] in order, or None."""
    if published is None:
        return None
    return [[as_id, json_of_set(slots), inhibited] for as_id, slots, inhibited in published]


def json_of_sets(sets: SlotSets | None) -> Json:
    """{"0": [[id, base_gfn, npages, userspace_addr, flags], ...], ...}, or None."""
    if sets is None:
        return None
    return {str(as_id): json_of_set(slots) for as_id, slots in enumerate(sets)}


def json_of_set(slots: SlotSet) -> Json:
    """[[id, base_gfn, npages, userspace_addr, flags], ...]: the as_id is told by what the set stands in."""
    return [list(slot[1:]) for slot in slots]


def json_of_generations(generations: Sequence[int]) -> Json:
    """{"0": generation of address space 0, ...}."""
    return {str(as_id): generation for as_id, generation in enumerate(generations)}


def _json_of_machine(machine: Machine) -> Json:
    overrides = machine.overrides()
    return {"profile": machine.profile, **overrides} if overrides else machine.profile


def _json_of_region(region: Region) -> Json:
    fields: dict[str, Json] = {key: value for key in FIELD_MAXIMA if (value := getattr(region, key))}
    if region.padding != NO_PADDING:
        fields["padding"] = region.padding.hex()
    return fields


def _no_constant(name: str) -> NoReturn:
    raise BadCase(f"{name}: expected a number")


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """The object, if no key stands in it twice: json itself would drop the first."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadCase(f"{_shown(name)}: expected once")
            seen.add(name)
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _parsed(line: str | bytes) -> object:
    if not line.strip():
        raise BadCase("empty line: expected an object")
    # Told before a million objects are built of it.
    braces = line.count("{") if isinstance(line, str) else line.count(b"{")
    if braces > 2 * MAX_REGIONS:
        raise BadCase(f"expected at most {MAX_REGIONS} regions in a list")
    try:
        return _DECODER.decode(line if isinstance(line, str) else line.decode())
    except json.JSONDecodeError as error:
        raise BadCase(f"not JSON: {error}") from None
    except UnicodeDecodeError:
        raise BadCase("not JSON: expected UTF-8") from None
    except (ValueError, RecursionError):
        raise BadCase("not JSON: too deep, or a number too long") from None


def _shown(key: str) -> str:
    return ascii(key if len(key) <= 40 else key[:37] + "...")


def _object(what: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadCase(f"{what}: expected an object")
    return value


def _number(key: str, value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise BadCase(f"{key}: expected a whole number, 0 to {most:#x}")
    return value


def _case(fields: Mapping[str, object]) -> Case:
    for key, value in fields.items():
        if key in _LATER_KEYS:
            if value not in (None, [], {}):
                raise NotYet(key)
        elif key not in _CASE_KEYS:
            raise BadCase(f"unknown key {_shown(key)}, expected one of {', '.join(sorted(_CASE_KEYS))}")
    if fields.get("format", FORMAT) != FORMAT or type(fields.get("format", FORMAT)) is not int:
        raise BadCase(f"format: expected {FORMAT}")
    if "apply" not in fields:
        raise BadCase("apply: expected a list of regions")
    apply = _regions("apply", fields["apply"])
    nent = fields.get("nent")
    entries = None if nent is None else _number("nent", nent, U32)
    named = fields.get("faults")
    faults = _object("faults", {} if named is None else named)
    for kind in faults:
        if kind not in FAULT_KINDS:
            raise BadCase(f"faults: unknown key {_shown(kind)}, expected one of {', '.join(FAULT_KINDS)}")
    return Case(
        apply,
        _regions("given", fields.get("given", [])),
        _machine(fields.get("machine")),
        None if entries == len(apply) else entries,
        _number("header_flags", fields.get("header_flags", 0), U32),
        tuple(sorted((kind, _number(f"faults.{kind}", n, U32)) for kind, n in faults.items())),
    )


def _machine(value: object) -> Machine:
    if value is None:
        return DEFAULT_MACHINE
    if isinstance(value, str):
        return machine_of(value, {})
    numbers = dict(_object("machine", value))
    profile = numbers.pop("profile", DEFAULT_MACHINE.profile)
    if not isinstance(profile, str):
        raise BadCase("machine.profile: expected a string")
    return machine_of(
        profile, {key: _number(f"machine: {_shown(key)}", number, U64) for key, number in numbers.items()}
    )


def _regions(key: str, value: object) -> tuple[Region, ...]:
    if not isinstance(value, list):
        raise BadCase(f"{key}: expected a list of regions")
    if len(value) > MAX_REGIONS:
        raise BadCase(f"{key}: expected at most {MAX_REGIONS} regions")
    return tuple([_region(key, i, item) for i, item in enumerate(value)])


def _region(key: str, i: int, value: object) -> Region:
    """The i-th region of the list `key`. Nothing is put into words before something is wrong."""
    if not isinstance(value, dict):
        raise BadCase(f"{key}[{i}]: expected an object")
    numbers: dict[str, int] = {}
    padding = NO_PADDING
    for field, item in value.items():
        most = FIELD_MAXIMA.get(field)
        if most is not None and type(item) is int and 0 <= item <= most:
            numbers[field] = item
        elif field == "padding":
            padding = _padding(f"{key}[{i}].padding", item)
        elif most is not None:
            raise BadCase(f"{key}[{i}].{field}: expected a whole number, 0 to {most:#x}")
        else:
            known = ", ".join([*FIELD_MAXIMA, "padding"])
            raise BadCase(f"{key}[{i}]: unknown key {_shown(field)}, expected one of {known}")
    return Region(**numbers, padding=padding)


def _padding(where: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise BadCase(f"{where}: expected hexadecimal digits")
    return padding_of(value, where) if value else NO_PADDING
