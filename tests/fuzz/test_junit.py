# SPDX-License-Identifier: GPL-2.0-only
"""A replay's report for CI: what was found is in it, and it is XML whatever files are called."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.junit import Replayed, write_junit


def read_back(path: Path, results: list[Replayed]) -> ET.Element:
    write_junit(path, results)
    suites = ET.parse(path).getroot()
    assert suites.tag == "testsuites"
    [suite] = suites
    return suite


def test_a_report_counts_and_says_what_the_replay_found(tmp_path: Path) -> None:
    suite = read_back(
        tmp_path / "junit.xml",
        [
            Replayed("a.slots"),
            Replayed("b.slots", ("expected serial ok, got serial hung", "vanished: x")),
            Replayed("c.slots", error="c.slots: empty"),
            Replayed("d.slots", ("not on record: x",)),
            Replayed("e.slots", left_out="e.slots: fault slot"),
        ],
    )
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "2", "1")
    assert suite.get("skipped") == "1"
    assert [case.get("name") for case in suite] == ["a.slots", "b.slots", "c.slots", "d.slots", "e.slots"]
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"], ["failure"], ["skipped"]]
    assert suite[4][0].get("message") == "e.slots: fault slot"
    assert suite[1][0].get("message") == "expected serial ok, got serial hung"
    assert suite[1][0].text == "expected serial ok, got serial hung\nvanished: x"
    assert suite[2][0].get("message") == "c.slots: empty"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<a & \"b\" 'c'> ]]>", "<a & \"b\" 'c'> ]]>"),
        ("größer → 𝄞", "größer → 𝄞"),
        ("a\x01\x1b[31m\x7f\x9b", r"a\x01\x1b[31m\x7f\x9b"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\ufffe\uffff", r"\ufffe\uffff"),
        # A file name that is not UTF-8.
        ("b\udcffd.slots", r"b\udcffd.slots"),
    ],
)
def test_a_report_escapes_what_xml_cannot_hold(text: str, shown: str, tmp_path: Path) -> None:
    results = [Replayed(text, (text, text)), Replayed(text, error=text)]
    (failing, failure), (erring, error) = ((case, case[0]) for case in read_back(tmp_path / "junit.xml", results))
    assert failing.get("name") == erring.get("name") == shown
    assert failure.get("message") == error.get("message") == shown
    assert failure.text == f"{shown}\n{shown}"


@settings(deadline=None)
@given(text=st.text(st.characters()))
def test_a_report_is_xml_whatever_it_holds(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any-junit.xml"
    suite = read_back(path, [Replayed(text, (text,)), Replayed(text, error=text)])
    if text.isprintable():
        assert [case.get("name") for case in suite] == [text, text]
        assert suite[0][0].text == (text or None)
