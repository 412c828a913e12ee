# SPDX-License-Identifier: GPL-2.0-only
"""The JSON Lines form: a case comes back from its line, and a bad line says which key was wrong."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslots.case import Case
from memslots.jsonl import BadJson, case_from_line, json_of_outcome, line_from_case
from memslots.outcome import Outcome
from memslots.slot import Gfn, Slot
from memslots.textreader import parse_case

UNHURRIED = settings(deadline=None)


def case_of(*lines: str) -> Case:
    return parse_case(["slots 1", *lines]).case


@UNHURRIED
@given(case=st.from_type(Case), case_id=st.none() | st.text())
def test_any_case_comes_back_from_its_line(case: Case, case_id: str | None) -> None:
    line = line_from_case(case, case_id)
    assert "\n" not in line
    assert case_from_line(line) == (case_id, case)
    assert case_from_line(line.encode() + b"\r\n") == (case_id, case)


def test_a_line_has_the_keys_of_the_contract() -> None:
    case = case_of(
        "machine linux-6.18 max_gfn=0xfff",
        "given slot=1:5 gpa=0x1000 size=0x2000 hva=0x3000 flags=READONLY",
        "list nent=3 header_flags=4",
        "apply slot=0 invalidate padding=01",
        "fault slot=0",
    )
    assert json.loads(line_from_case(case, "x")) == {
        "format": 1,
        "id": "x",
        "machine": {"profile": "linux-6.18", "max_gfn": 0xFFF},
        "given": [
            {"slot": 0x10005, "flags": 2, "guest_phys_addr": 0x1000, "memory_size": 0x2000, "userspace_addr": 0x3000}
        ],
        "apply": [{"invalidate_slot": 1, "padding": "01" + 30 * "00"}],
        "nent": 3,
        "header_flags": 4,
        "faults": {"slot": 0},
    }


MEANINGS = {
    '{"apply": []}': "list nent=0",
    '{"apply": [], "nent": 0}': "list nent=0",
    '{"apply": [{}]}': "apply slot=0",
    '{"apply": [{}], "nent": 1}': "apply slot=0",
    '{"apply": [{}], "nent": null, "machine": null, "id": null, "faults": null}': "apply slot=0",
    '{"apply": [{}], "faults": {}, "then": [], "dirty": {}, "schedule": null}': "apply slot=0",
    '{"format": 1, "machine": "linux-6.18", "apply": [{"slot": 5}]}': "machine linux-6.18\napply slot=5",
    '{"machine": {"max_gfn": 15}, "apply": [{}]}': "machine linux-6.1 max_gfn=15\napply slot=0",
    '{"machine": {}, "apply": [{}]}': "apply slot=0",
    '{"apply": [{"padding": "01"}]}': "apply slot=0 padding=01",
    '{"apply": [{"padding": ""}]}': "apply slot=0",
    '{"faults": {"slot": 1, "copy": 0}, "apply": [{}]}': "apply slot=0\nfault copy=0\nfault slot=1",
}


@pytest.mark.parametrize("line", MEANINGS)
def test_keys_say_what_the_case_is_and_may_be_left_out(line: str) -> None:
    case = case_of(*MEANINGS[line].splitlines())
    assert case_from_line(line) == (None, case)


KEYS = "apply, faults, format, given, header_flags, id, machine, nent"
REGION_KEYS = "slot, flags, guest_phys_addr, memory_size, userspace_addr, invalidate_slot, padding"
U64 = "expected a whole number, 0 to 0xffffffffffffffff"
U32 = "expected a whole number, 0 to 0xffffffff"
BAD_VALUES = {
    '"then": [{}]': "then: not supported by this release",
    '"dirty": {"0": [1]}': "dirty: not supported by this release",
    '"schedule": [1]': "schedule: not supported by this release",
    '"then": false': "then: not supported by this release",
    '"then": 0': "then: not supported by this release",
    '"then": ""': "then: not supported by this release",
    '"Given": []': f"unknown key 'Given', expected one of {KEYS}",
    '"": 0': f"unknown key '', expected one of {KEYS}",
    '"a\\nb\\ud800": 0': f"unknown key 'a\\nb\\ud800', expected one of {KEYS}",
    f'"{"k" * 41}": 0': f"unknown key '{'k' * 37}...', expected one of {KEYS}",
    '"format": 2': "format: expected 1",
    '"format": 1.0': "format: expected 1",
    '"format": true': "format: expected 1",
    '"format": null': "format: expected 1",
    '"format": "1"': "format: expected 1",
    '"given": null': "given: expected a list of regions",
    '"given": {}': "given: expected a list of regions",
    '"given": "slot=0"': "given: expected a list of regions",
    '"given": [{}, 0]': "given[1]: expected an object",
    '"given": [[]]': "given[0]: expected an object",
    '"given": [null]': "given[0]: expected an object",
    '"given": [{"slot": -1}]': f"given[0].slot: {U32}",
    '"given": [{"slot": 4294967296}]': f"given[0].slot: {U32}",
    '"given": [{"slot": null}]': f"given[0].slot: {U32}",
    '"given": [{"slot": "0"}]': f"given[0].slot: {U32}",
    '"given": [{"slot": true}]': f"given[0].slot: {U32}",
    '"given": [{"slot": 1.0}]': f"given[0].slot: {U32}",
    '"given": [{"slot": 1e3}]': f"given[0].slot: {U32}",
    '"given": [{"slot": [0]}]': f"given[0].slot: {U32}",
    '"given": [{"flags": 4294967296}]': f"given[0].flags: {U32}",
    '"given": [{}, {"memory_size": 18446744073709551616}]': f"given[1].memory_size: {U64}",
    '"given": [{"guest_phys_addr": 1e999}]': f"given[0].guest_phys_addr: {U64}",
    f'"given": [{{"userspace_addr": 1{"0" * 4000}}}]': f"given[0].userspace_addr: {U64}",
    '"given": [{"invalidate_slot": 256}]': "given[0].invalidate_slot: expected a whole number, 0 to 0xff",
    '"given": [{"invalidate_slot": true}]': "given[0].invalidate_slot: expected a whole number, 0 to 0xff",
    '"given": [{"gpa": 0}]': f"given[0]: unknown key 'gpa', expected one of {REGION_KEYS}",
    '"given": [{"padding": 0}]': "given[0].padding: expected hexadecimal digits",
    '"given": [{"padding": null}]': "given[0].padding: expected hexadecimal digits",
    '"given": [{}, {"padding": "0"}]': "given[1].padding: expected 2 to 62 hexadecimal digits, two a byte",
    f'"given": [{{"padding": "{"0" * 64}"}}]': "given[0].padding: expected 2 to 62 hexadecimal digits, two a byte",
    '"nent": -1': f"nent: {U32}",
    '"nent": 4294967296': f"nent: {U32}",
    '"nent": false': f"nent: {U32}",
    '"nent": "1"': f"nent: {U32}",
    '"header_flags": null': f"header_flags: {U32}",
    '"header_flags": 0.5': f"header_flags: {U32}",
    '"faults": []': "faults: expected an object",
    '"faults": 0': "faults: expected an object",
    '"faults": false': "faults: expected an object",
    '"faults": ""': "faults: expected an object",
    '"faults": [["slot", 0]]': "faults: expected an object",
    '"faults": {"disk": 0}': "faults: unknown key 'disk', expected one of copy, array, slot, invalid, bitmap, prepare",
    '"faults": {"slot": -1}': f"faults.slot: {U32}",
    '"faults": {"slot": null}': f"faults.slot: {U32}",
    '"faults": {"slot": true}': f"faults.slot: {U32}",
    '"machine": "linux-5.4"': "machine 'linux-5.4': expected one of linux-6.1, linux-6.18",
    '"machine": 0': "machine: expected an object",
    '"machine": ["linux-6.1"]': "machine: expected an object",
    '"machine": {"profile": 6.1}': "machine.profile: expected a string",
    '"machine": {"pages": 1}': "machine: unknown key 'pages',"
    " expected one of address_spaces, page_size, max_gfn, user_slots, readonly",
    '"machine": {"max_gfn": -1}': f"machine: 'max_gfn': {U64}",
    '"machine": {"max_gfn": "1"}': f"machine: 'max_gfn': {U64}",
    '"machine": {"readonly": true}': f"machine: 'readonly': {U64}",
    '"machine": {"a\\nb": true}': f"machine: 'a\\nb': {U64}",
    '"machine": {"user_slots": 0}': "machine: user_slots=0x0: expected 0x1 to 0x7fff",
    '"machine": {"page_size": 12288}': "machine: page_size=0x3000: expected a power of two",
}


@pytest.mark.parametrize("fields", BAD_VALUES, ids=[fields[:60] for fields in BAD_VALUES])
def test_a_bad_value_is_named_with_what_was_expected_and_keeps_the_id(fields: str) -> None:
    with pytest.raises(BadJson) as caught:
        case_from_line(f'{{"id": "the \\u2603", {fields}, "apply": [{{}}]}}')
    assert str(caught.value) == BAD_VALUES[fields]
    assert caught.value.case_id == "the ☃"


NO_CASE = {
    '{"id": "x"}': ("x", "apply: expected a list of regions"),
    '{"id": "x", "apply": null}': ("x", "apply: expected a list of regions"),
    '{"id": "x", "apply": {}}': ("x", "apply: expected a list of regions"),
    '{"id": 1, "apply": []}': (None, "id: expected a string"),
    '{"id": ["x"], "apply": []}': (None, "id: expected a string"),
    "[]": (None, "a case: expected an object"),
    "null": (None, "a case: expected an object"),
    '"slots 1"': (None, "a case: expected an object"),
    "": (None, "empty line: expected an object"),
    "slots 1": (None, "not JSON: Expecting value: line 1 column 1 (char 0)"),
    '{"apply": [{}]': (None, "not JSON: Expecting ',' delimiter: line 1 column 15 (char 14)"),
    '{"apply": []} {"apply": []}': (None, "not JSON: Extra data: line 1 column 15 (char 14)"),
    '{"apply": [], "apply": []}': (None, "'apply': expected once"),
    '{"id": "x", "id": "y", "apply": []}': (None, "'id': expected once"),
    '{"apply": [{"slot": 0, "slot": 0}]}': (None, "'slot': expected once"),
    '{"apply": [], "faults": {"slot": 0, "\\u0073lot": 1}}': (None, "'slot': expected once"),
    '{"apply": [{"slot": NaN}]}': (None, "NaN: expected a number"),
    '{"apply": [{"slot": -Infinity}]}': (None, "-Infinity: expected a number"),
    f'{{"apply": [{{"slot": 1{"0" * 5000}}}]}}': (None, "not JSON: too deep, or a number too long"),
    "[" * 1_000_000: (None, "not JSON: too deep, or a number too long"),
    '{"apply": ' * 1_000_000: (None, "expected at most 200000 regions in a list"),
    '{"apply": ' * 100_000: (None, "not JSON: too deep, or a number too long"),
}


@pytest.mark.parametrize("line", NO_CASE, ids=[line[:60] for line in NO_CASE])
def test_a_line_that_is_no_case_says_so(line: str) -> None:
    with pytest.raises(BadJson) as caught:
        case_from_line(line)
    assert (caught.value.case_id, str(caught.value)) == NO_CASE[line]


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", '{"apply": []}'.encode("utf-16"), b'{"id": "\xed\xa0\x80", "apply": []}']
)
def test_bytes_that_are_not_utf_8_are_refused_as_such(data: bytes) -> None:
    with pytest.raises(BadJson, match=r"^not JSON: expected UTF-8$"):
        case_from_line(data)


def test_a_key_given_twice_is_found_among_very_many() -> None:
    keys = ", ".join(f'"{i}": 0' for i in range(100_000))
    with pytest.raises(BadJson, match=r"^'99999': expected once$"):
        case_from_line(f'{{{keys}, "99999": 0}}')


Value = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1 << 65) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
KNOWN = [*KEYS.split(", "), *REGION_KEYS.split(", "), "then", "profile", "max_gfn", "slot"]


@UNHURRIED
@given(fields=st.dictionaries(st.sampled_from(KNOWN), Value | st.lists(st.dictionaries(st.sampled_from(KNOWN), Value))))
def test_any_object_is_a_case_or_one_line_of_complaint(fields: dict[str, object]) -> None:
    try:
        case_id, case = case_from_line(json.dumps(fields))
    except BadJson as error:
        complaint = error
    else:
        assert case_from_line(line_from_case(case, case_id)) == (case_id, case)
        return
    assert re.fullmatch(r"[^\n]+", str(complaint))
    assert complaint.case_id in (None, fields.get("id"))


def test_an_outcome_has_the_keys_of_the_contract_and_slots_without_their_address_space() -> None:
    sets = ((Slot(0, 5, Gfn(1), 2, 3, 4),), ())
    written = json_of_outcome(
        Outcome("returned", sets, sets, value=0, errno=0, generation=(8, 1), damage=("double-free",))
    )
    assert written == {
        "ended": "returned",
        "kind": None,
        "value": 0,
        "errno": 0,
        "entry_errnos": None,
        "at_first_refusal": None,
        "active": {"0": [[5, 1, 2, 3, 4]], "1": []},
        "inactive": None,
        "generation": {"0": 8, "1": 1},
        "slots_lock": None,
        "slots_arch_lock": None,
        "nr_memslot_pages": None,
        "damage": ["double-free"],
        "dangling": None,
        "corrupt": None,
        "leaked": None,
        "warned": None,
        "publications": None,
    }
    assert list(written) == [
        *("ended", "kind", "value", "errno", "entry_errnos", "at_first_refusal", "active", "inactive", "generation"),
        *("slots_lock", "slots_arch_lock", "nr_memslot_pages", "damage", "dangling", "corrupt", "leaked", "warned"),
        "publications",
    ]
