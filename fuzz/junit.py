# SPDX-License-Identifier: GPL-2.0-only
"""The result of a replay as JUnit XML, for CI systems."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True)
class Replayed:
    """One case file: what was surprising about it, or why it could not be replayed, or why it was left out."""

    path: str
    surprises: tuple[str, ...] = ()
    error: str | None = None
    left_out: str | None = None


def write_junit(path: Path, results: Sequence[Replayed]) -> None:
    """Write one test suite with a test case for each file. Raises OSError."""
    suite = ET.Element(
        "testsuite",
        name="sameslots replay",
        tests=str(len(results)),
        failures=str(sum(bool(result.surprises) for result in results)),
        errors=str(sum(result.error is not None for result in results)),
        skipped=str(sum(result.left_out is not None for result in results)),
    )
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="sameslots.replay", name=_printable(result.path))
        if result.error is not None:
            ET.SubElement(case, "error", message=_printable(result.error))
        elif result.left_out is not None:
            ET.SubElement(case, "skipped", message=_printable(result.left_out))
        elif result.surprises:
            surprises = [_printable(surprise) for surprise in result.surprises]
            failure = ET.SubElement(case, "failure", message=surprises[0])
            failure.text = "\n".join(surprises)
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _printable(text: str) -> str:
    """XML has no word for most control characters, nor for file names that are not UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
