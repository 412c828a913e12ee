# SPDX-License-Identifier: GPL-2.0-only
"""The case text: what is read is written again as it was, and a bad line says where it is and what was expected."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memslots.case import Case
from memslots.casefile import CaseFile, Line, case_file
from memslots.errors import BadInput
from memslots.expectation import Expectation
from memslots.machine import Machine, machine_of
from memslots.region import Region
from memslots.textreader import MAX_LINE_BYTES, MAX_LINES, parse_case, read_case
from memslots.textwriter import text_of

UNHURRIED = settings(deadline=None)
TEXT = st.characters(codec="utf-8", exclude_categories=["Cc"])


def read(text: str) -> CaseFile:
    assert text.endswith("\n")
    return parse_case(text[:-1].split("\n"), "x.slots")


def case_of(*lines: str) -> Case:
    return read("\n".join(("slots 1", *lines, ""))).case


CANONICAL_LINES = [
    "machine linux-6.1",
    "machine linux-6.18",
    "machine linux-6.1 max_gfn=0xfffff",
    "machine linux-6.18 address_spaces=0x2 page_size=0x10000 max_gfn=0x0 user_slots=0x1 readonly=0x0",
    "given slot=0 size=0",
    "given slot=5 gpa=0x1000 size=0x2000 hva=0x100000000000",
    "given slot=1:5 gpa=0x0 size=0x2000 hva=0x0 flags=READONLY",
    "list nent=0",
    "list nent=4294967295 header_flags=0xffffffff",
    "list header_flags=0x1",
    "list header_flags=0x0",
    "apply slot=0 size=0 invalidate",
    "apply slot=0 size=0 invalidate_slot=2",
    "apply slot=0 size=0 invalidate_slot=255",
    "apply slot=0 size=0 hva=0x1000",
    "apply slot=0 gpa=0x1000 size=0",
    "apply slot=65535 size=0",
    "apply slot=65535:65535 size=0",
    "apply slot=0 size=0 flags=LOG_DIRTY_PAGES",
    "apply slot=0 size=0 flags=LOG_DIRTY_PAGES|READONLY",
    "apply slot=0 size=0 flags=LOG_DIRTY_PAGES|READONLY|INVALID",
    "apply slot=0 size=0 flags=0x4",
    "apply slot=0 size=0 flags=0xffffffff",
    "apply slot=0 gpa=0xffffffffffffffff size=0xffffffffffffffff hva=0xffffffffffffffff",
    f"apply slot=0 size=0 padding={'00' * 30}01",
    f"apply slot=1:5 gpa=0x1000 size=0x1000 hva=0x1000 flags=READONLY invalidate padding={'ff' * 31}",
    "fault copy=0",
    "fault array=1",
    "fault slot=2",
    "fault invalid=4294967295",
    "fault bitmap=0",
    "fault prepare=0",
    "expect serial ok",
    "expect serial refused EEXIST",
    "expect serial refused EEXIST at 1",
    "expect rfc-v1 returned 1",
    "expect rfc-v1 hung",
    "expect rfc-v1 looped",
    "expect rfc-v1 crashed",
    "expect rfc-v1 crashed null-dereference",
    "expect rfc-v1 crashed bug",
    "expect rfc-v1 crashed use-after-free",
    "expect rfc-v1 agrees",
    "expect rfc-v1 active none",
    "expect rfc-v1 active slot=0 base_gfn=0x0 npages=0x10 hva=0x100000000000",
    "expect rfc-v1 active slot=1:5 base_gfn=0x0 npages=0x10 hva=0x0 flags=READONLY|INVALID",
    "expect rfc-v1 final_slots EEXIST EEXIST P2 CREATE refuse",
    "expect rfc-v1 error_codes ok returned-1 P1 NO_OP refuse",
    "expect rfc-v1 invariants left-invalid ok EINVAL nowhere",
    "expect rfc-v1 balance leaked ok EINVAL nowhere",
    "expect rfc-v1 survival ok hung P1 DELETE lock",
    "expect rfc-v1 visibility outside ok ok P2 MOVE early-publish",
    "",
    "#",
    "# a comment",
    "#  its blanks, its # and its key=value stay",
]
ORDER = ["machine", "given", "list", "apply", "fault", "expect"]


def around(line: str) -> str:
    """A whole case text with `line` at its place."""
    before, behind = ["slots 1"], []
    keyword = line.split(" ", maxsplit=1)[0]
    if keyword in ORDER and ORDER.index(keyword) > ORDER.index("apply"):
        before.append("apply slot=0 size=0")
    elif keyword != "apply":
        behind.append("apply slot=0 size=0")
    return "\n".join([*before, line, *behind, ""])


@pytest.mark.parametrize("line", CANONICAL_LINES)
def test_canonical_text_is_written_as_it_was_read(line: str) -> None:
    assert text_of(read(around(line))) == around(line)


@pytest.mark.parametrize("line", [line for line in CANONICAL_LINES if line and not line.startswith("#")])
def test_a_comment_survives_behind_any_line(line: str) -> None:
    for comment in (" why", "", "why", "  = # |", " größer\t→", " \xa0"):
        text = around(f"{line} #{comment}")
        assert text_of(read(text)) == text
        assert read(text).case == read(around(line)).case


def test_a_file_of_every_form_is_written_as_it_was_read() -> None:
    by_keyword: dict[str, list[str]] = {keyword: [] for keyword in ORDER}
    for line in CANONICAL_LINES[:-4]:
        by_keyword[line.split(" ")[0]].append(line)
    by_keyword["machine"] = by_keyword["machine"][-1:]
    by_keyword["list"] = by_keyword["list"][1:2]
    lines = ["slots 1", "# head", ""]
    for keyword in ORDER:
        lines += [f"# {keyword}", *by_keyword[keyword], ""]
    text = "\n".join([*lines, "# tail", ""])
    assert text_of(read(text)) == text


OTHER_SPELLINGS = {
    "apply slot=0": "apply slot=0 size=0",
    "apply  slot=0\tsize=0  ": "apply slot=0 size=0",
    "  apply slot=0": "apply slot=0 size=0",
    "apply size=0 slot=0": "apply slot=0 size=0",
    "apply slot=00": "apply slot=0 size=0",
    "apply slot=010": "apply slot=10 size=0",
    "apply slot=0xA": "apply slot=10 size=0",
    "apply slot=0x10005": "apply slot=1:5 size=0",
    "apply slot=65541": "apply slot=1:5 size=0",
    "apply slot=0:5": "apply slot=5 size=0",
    "apply slot=0x1:0x5": "apply slot=1:5 size=0",
    "apply slot=0 gpa=0": "apply slot=0 size=0",
    "apply slot=0 size=4096": "apply slot=0 gpa=0x0 size=0x1000 hva=0x0",
    "apply slot=0 flags=0": "apply slot=0 size=0",
    "apply slot=0 flags=3": "apply slot=0 size=0 flags=LOG_DIRTY_PAGES|READONLY",
    "apply slot=0 flags=READONLY|1": "apply slot=0 size=0 flags=LOG_DIRTY_PAGES|READONLY",
    "apply slot=0 flags=READONLY|READONLY": "apply slot=0 size=0 flags=READONLY",
    "apply slot=0 flags=READONLY|4": "apply slot=0 size=0 flags=0x6",
    "apply slot=0 invalidate_slot=1": "apply slot=0 size=0 invalidate",
    "apply slot=0 invalidate_slot=0": "apply slot=0 size=0",
    "apply slot=0 padding=00": "apply slot=0 size=0",
    "apply slot=0 padding=Ab": f"apply slot=0 size=0 padding=ab{'00' * 30}",
    "machine linux-6.1 address_spaces=2": "machine linux-6.1",
    "machine linux-6.18 readonly=0 max_gfn=16": "machine linux-6.18 max_gfn=0x10 readonly=0x0",
    "list header_flags=0 nent=0x10": "list nent=16",
    "list header_flags=00": "list header_flags=0x0",
    "fault copy=0x0": "fault copy=0",
    "expect  serial   refused  EEXIST at 0x1": "expect serial refused EEXIST at 1",
    "expect serial active slot=0x10005 base_gfn=1 hva=0 npages=1 flags=0": (
        "expect serial active slot=1:5 base_gfn=0x1 npages=0x1 hva=0x0"
    ),
    "expect rfc-v1 final_slots  ok\tEINVAL": "expect rfc-v1 final_slots ok EINVAL",
    "apply slot=0 size=0#x": "apply slot=0 size=0 #x",
    "   # x  ": "# x",
    " \t ": "",
}


@pytest.mark.parametrize("line", OTHER_SPELLINGS)
def test_other_spellings_become_canonical(line: str) -> None:
    context = around(OTHER_SPELLINGS[line])
    assert text_of(read(context.replace(f"\n{OTHER_SPELLINGS[line]}\n", f"\n{line}\n"))) == context


def test_line_ends_of_dos_and_a_missing_last_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.slots"
    path.write_bytes(b"slots 1\r\napply slot=0 size=0 # x\r\n# tail")
    assert text_of(read_case(path)) == "slots 1\napply slot=0 size=0 # x\n# tail\n"


MEANINGS = {
    "apply slot=1:5 gpa=0x1000 size=0x2000 hva=0x3000 flags=READONLY invalidate padding=01": Case(
        (Region(0x10005, 2, 0x1000, 0x2000, 0x3000, 1, b"\1" + bytes(30)),)
    ),
    "given slot=7\napply slot=8": Case((Region(8),), (Region(7),)),
    "machine linux-6.18 max_gfn=15\napply slot=0": Case((Region(),), machine=machine_of("linux-6.18", {"max_gfn": 15})),
    "list nent=2 header_flags=5\napply slot=0": Case((Region(),), nent=2, header_flags=5),
    "list nent=1\napply slot=0": Case((Region(),)),
    "list nent=0\napply slot=0": Case((Region(),), nent=0),
    "list nent=0": Case(()),
    "list nent=3": Case((), nent=3),
    "apply slot=0\nfault slot=3\nfault copy=1": Case((Region(),), faults=(("copy", 1), ("slot", 3))),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_lines_say_what_the_case_is(text: str) -> None:
    assert case_of(*text.splitlines()) == MEANINGS[text]


def test_the_comment_of_a_file_is_what_stands_before_its_first_word() -> None:
    text = "slots 1\n# a\n#\n#  b\ngiven slot=0\n# c\napply slot=0\n"
    assert read(text).comment == "a\n\nb"
    assert read("slots 1\n\n# a\napply slot=0\n").comment == ""


@UNHURRIED
@given(
    case=st.from_type(Case),
    expectations=st.lists(st.one_of(*map(st.from_type, get_args(Expectation))), max_size=3),
    comment=st.sampled_from(["", "a", "a\n\nb # c"]),
)
def test_any_case_comes_back_from_its_text(case: Case, expectations: list[Expectation], comment: str) -> None:
    file = case_file(case, expectations, comment)
    again = read(text_of(file))
    assert again == file
    assert again.case == case
    assert again.expectations == tuple(expectations)
    assert again.comment == comment
    assert text_of(again) == text_of(file)


@UNHURRIED
@given(
    machine=st.from_type(Machine),
    region=st.from_type(Region),
    comment=st.text(TEXT),
)
def test_any_comment_comes_back_behind_any_line(machine: Machine, region: Region, comment: str) -> None:
    comment = comment.rstrip(" ")
    lines = (
        Line("machine", machine, comment),
        Line("", None, comment),
        Line("apply", region, comment),
        Line(""),
    )
    assert read(text_of(CaseFile(lines))) == CaseFile(lines)


NUMBER = "expected a number, decimal or 0x"
REGION_KEYS = "slot, flags, gpa, size, hva, invalidate_slot, padding"
EXPECTATIONS = (
    "expected ENGINE and one of: ok; refused ERRNO [at K]; returned 1; hung; looped;"
    " crashed [null-dereference|bug|use-after-free|unresolved-helper]; agrees; active ...;"
    " final_slots|error_codes|invariants|balance|survival|visibility ..."
)
KEYWORDS = "expected one of machine, given, list, apply, fault, expect"
BAD_LINES = {
    "aply slot=0": f"unknown keyword 'aply', {KEYWORDS}",
    "Apply slot=0": f"unknown keyword 'Apply', {KEYWORDS}",
    "slots 1": f"unknown keyword 'slots', {KEYWORDS}",
    "then slot=0": "'then': not supported by this release",
    "dirty slot=0": "'dirty': not supported by this release",
    "schedule": "'schedule': not supported by this release",
    "apply": "expected slot=N",
    "apply size=0": "expected slot=N",
    "apply slot": "'slot': expected key=value",
    "apply slot=0 invalid": "'invalid': expected key=value",
    "apply slot=": f"slot: {NUMBER}",
    "apply slot=-1": f"slot: {NUMBER}",
    "apply slot=+1": f"slot: {NUMBER}",
    "apply slot=1_0": f"slot: {NUMBER}",
    "apply slot=0X1": f"slot: {NUMBER}",
    "apply slot=0x": f"slot: {NUMBER}",
    "apply slot=1.0": f"slot: {NUMBER}",
    "apply slot=٣": f"slot: {NUMBER}",
    "apply slot=0 slot=0": "expected 'slot' once",
    "apply slot=0 invalidate invalidate": "expected 'invalidate_slot' once",
    "apply slot=0 invalidate=1": f"unknown key 'invalidate', expected one of {REGION_KEYS}",
    "apply slot=0 addr=1": f"unknown key 'addr', expected one of {REGION_KEYS}",
    "apply slot=0 =1": f"unknown key '', expected one of {REGION_KEYS}",
    "apply slot=0 Gpa=1": f"unknown key 'Gpa', expected one of {REGION_KEYS}",
    "apply slot=0x100000000": "slot: expected 0 to 0xffffffff",
    "apply slot=0x10000:0": "slot's address space: expected 0 to 0xffff",
    "apply slot=0:65536": "slot's id: expected 0 to 0xffff",
    "apply slot=:1": f"slot's address space: {NUMBER}",
    "apply slot=1:2:3": f"slot's id: {NUMBER}",
    "apply slot=0 gpa=0x10000000000000000": "gpa: expected 0 to 0xffffffffffffffff",
    "apply slot=0 size=18446744073709551616": "size: expected 0 to 0xffffffffffffffff",
    "apply slot=0 hva=0x10000000000000000": "hva: expected 0 to 0xffffffffffffffff",
    "apply slot=0 flags=0x100000000": "flags: expected 0 to 0xffffffff",
    "apply slot=0 flags=readonly": "flags: no such name, expected a number, or names of"
    " LOG_DIRTY_PAGES, READONLY, INVALID with | between them",
    "apply slot=0 invalidate_slot=256": "invalidate_slot: expected 0 to 0xff",
    "apply slot=0 padding=0": "padding: expected 2 to 62 hexadecimal digits, two a byte",
    "apply slot=0 padding=": "padding: expected 2 to 62 hexadecimal digits, two a byte",
    "apply slot=0 padding=0x00": "padding: expected 2 to 62 hexadecimal digits, two a byte",
    f"apply slot=0 padding={'00' * 32}": "padding: expected 2 to 62 hexadecimal digits, two a byte",
    "machine": "expected a profile",
    "machine linux-5.4": "machine 'linux-5.4': expected one of linux-6.1, linux-6.18",
    "machine max_gfn=1": "machine 'max_gfn=1': expected one of linux-6.1, linux-6.18",
    "machine linux-6.1 max_gfn": "'max_gfn': expected key=value",
    "machine linux-6.1 pages=1": "machine: unknown key 'pages', expected one of"
    " address_spaces, page_size, max_gfn, user_slots, readonly",
    "machine linux-6.1 max_gfn=0x10000000000000": "machine: max_gfn=0x10000000000000: expected 0x0 to 0xfffffffffffff",
    "machine linux-6.1 page_size=12288": "machine: page_size=0x3000: expected a power of two",
    "list": "expected nent=N or header_flags=N",
    "list nent=0x100000000": "nent: expected 0 to 0xffffffff",
    "list header_flags=READONLY": f"header_flags: {NUMBER}",
    "list entries=1": "unknown key 'entries', expected one of nent, header_flags",
    "fault": "expected one KIND=N, KIND one of copy, array, slot, invalid, bitmap, prepare",
    "fault copy=0 slot=0": "expected one KIND=N, KIND one of copy, array, slot, invalid, bitmap, prepare",
    "fault disk=0": "unknown key 'disk', expected one of copy, array, slot, invalid, bitmap, prepare",
    "fault copy=first": f"copy: {NUMBER}",
    "expect": EXPECTATIONS,
    "expect serial": EXPECTATIONS,
    "expect serial fine": EXPECTATIONS,
    "expect serial ok ok": EXPECTATIONS,
    "expect serial refused": EXPECTATIONS,
    "expect serial refused EWHAT": EXPECTATIONS,
    "expect serial refused EEXIST at": EXPECTATIONS,
    "expect serial refused EEXIST at one": f"at: {NUMBER}",
    "expect serial returned 0": EXPECTATIONS,
    "expect serial crashed badly": EXPECTATIONS,
    "expect serial final_slots": EXPECTATIONS,
    "expect serial colour ok": EXPECTATIONS,
    "expect serial active": "expected slot=N",
    "expect serial active slot=0 npages=1 hva=0": "expected base_gfn=N",
    "expect serial active slot=0 base_gfn=0 npages=1": "expected hva=N",
    "expect serial active slot=0 gpa=0": "unknown key 'gpa', expected one of slot, base_gfn, npages, hva, flags",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_says_where_it_is_and_what_was_expected(line: str) -> None:
    text = around(line)
    lineno = text.split("\n").index(line) + 1
    if line == "slots 1":
        text, lineno = "slots 1\nslots 1\n", 2
    with pytest.raises(BadInput) as caught:
        read(text)
    assert str(caught.value) == f"x.slots:{lineno}: {BAD_LINES[line]}, found: {line}"


OUT_OF_PLACE = {
    "slots 1\ngiven slot=0\nmachine linux-6.1\napply slot=0": "3: 'machine' stands before the first 'given'",
    "slots 1\napply slot=0\ngiven slot=0": "3: 'given' stands before the first 'apply'",
    "slots 1\napply slot=0\nlist nent=1": "3: 'list' stands before the first 'apply'",
    "slots 1\napply slot=0\nexpect serial ok\nfault copy=0": "4: 'fault' stands before the first 'expect'",
    "slots 1\nmachine linux-6.1\nmachine linux-6.1\napply slot=0": "3: expected one 'machine' line",
    "slots 1\nlist nent=1\nlist nent=1\napply slot=0": "3: expected one 'list' line",
    "slots 1\napply slot=0\nfault copy=0\nfault copy=1": "4: expected one fault of the kind 'copy'",
    "slots 2\napply slot=0": "1: expected 'slots 1' as the first line",
    "slots\napply slot=0": "1: expected 'slots 1' as the first line",
    "# x\nslots 1\napply slot=0": "1: expected 'slots 1' as the first line",
    "slots 1 # x\napply slot=0": "1: expected 'slots 1' as the first line",
    "\nslots 1\napply slot=0": "1: expected 'slots 1' as the first line",
}


@pytest.mark.parametrize("text", OUT_OF_PLACE)
def test_a_line_out_of_its_place_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(text + "\n")
    lineno = int(OUT_OF_PLACE[text].split(":")[0])
    line = text.splitlines()[lineno - 1]
    found = f", found: {line}" if line else ""
    assert str(caught.value) == f"x.slots:{OUT_OF_PLACE[text]}{found}"


@pytest.mark.parametrize("text", ["slots 1\n", "slots 1\ngiven slot=0\n", "slots 1\nlist header_flags=1\n"])
def test_a_file_without_a_list_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"^x\.slots: no list: expected an 'apply' line, or 'list nent=N'"):
        read(text)


BAD_BYTES = {
    b"": ": empty: expected 'slots 1' as the first line",
    b"slots 1\napply slot=0\0\n": r":2: expected text, found a control character, found: apply slot=0\x00",
    b"slots 1\napply # \x1b[31m\n": r":2: expected text, found a control character, found: apply # \x1b[31m",
    b"slots 1\napply\rslot=0\n": r":2: expected text, found a control character, found: apply\rslot=0",
    b"slots 1\napply slot=0 \x7f\n": r":2: expected text, found a control character, found: apply slot=0 \x7f",
    b"slots 1\napply # \xc2\x9b31m\n": r":2: expected text, found a control character, found: apply # \x9b31m",
    b"slots 1\napply\xc2\xa0slot=0\n": rf":2: unknown keyword 'apply\xa0slot=0', {KEYWORDS}, found: apply\xa0slot=0",
    b"slots 1\napply slot=0\xe2\x80\xa8\n": r":2: slot: expected a number, decimal or 0x, found: apply slot=0\u2028",
    b"slots 1\n\xff\xfe\n": r":2: expected UTF-8, found: ÿþ\n",
    b"slots 1\n# \xed\xa0\x80\n": ":2: expected UTF-8, found: # í\\xa0\\x80\\n",
    b"\xef\xbb\xbfslots 1\napply slot=0\n": r":1: expected 'slots 1' as the first line, found: \ufeffslots 1",
    b"slots 1\n#" + b"x" * MAX_LINE_BYTES + b"\n": f":2: expected at most 4096 bytes a line, found: #{'x' * 59}",
    b"slots 1\n" + b"\n" * MAX_LINES: ":200001: expected at most 200000 lines",
}


@pytest.mark.parametrize("data", BAD_BYTES, ids=[repr(data[:20]) for data in BAD_BYTES])
def test_bytes_that_are_no_text_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.slots"
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read_case(path)
    assert str(caught.value) == f"{path}{BAD_BYTES[data]}"


def test_a_line_and_a_file_may_be_as_long_as_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "x.slots"
    path.write_text("slots 1\n#" + "x" * (MAX_LINE_BYTES - 2) + "\n" + "\n" * (MAX_LINES - 3) + "apply slot=0\n")
    assert read_case(path).case == Case((Region(),))


WORDS = ["slots", *ORDER, "then", "linux-6.1", "nent=0", "copy=1", "serial", "ok", "active", "none", "1", "\t", "#"]
WORDS += ["slot=0", "slot=1:1", "gpa=0x1000", "size=", "=", "flags=READONLY|"]


@UNHURRIED
@given(
    lines=st.lists(st.lists(st.sampled_from(WORDS) | st.text(TEXT, max_size=8), max_size=5).map(" ".join), max_size=4)
)
def test_any_text_is_a_case_or_one_line_of_complaint(lines: list[str]) -> None:
    try:
        file = parse_case(["slots 1", *lines], "x.slots")
    except BadInput as error:
        complaint = str(error)
    else:
        assert text_of(read(text_of(file))) == text_of(file)
        return
    assert complaint.startswith("x.slots:")
    assert complaint.isprintable()
