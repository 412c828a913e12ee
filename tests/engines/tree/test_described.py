# SPDX-License-Identifier: GPL-2.0-only
"""A description of a list ioctl is taken at its word, or refused with the field and what was expected of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from engines.tree.described import described
from memslots.errors import BadInput

GOOD: dict[str, Any] = {
    "ioctl": "0x4008ae49",
    "header_size": 8,
    "entry_size": 64,
    "nent": [0, 4],
    "header_flags": [4, 4],
    "entries": [8, 0],
    "slot": [0, 4],
    "flags": [4, 4],
    "guest_phys_addr": [8, 8],
    "memory_size": [16, 8],
    "userspace_addr": [24, 8],
    "invalidate_slot": [32, 1],
    "padding": [33, 31],
}
POINTER = {"ioctl": 0x4010AE49, "header_size": 16, "entries": [8, 8]}


def said_of(path: Path, words: object) -> str:
    path.write_text(words if isinstance(words, str) else json.dumps(words))
    with pytest.raises(BadInput) as failure:
        described(path)
    text = str(failure.value)
    assert text.startswith(f"{path}: ")
    assert "expected" in text
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "words",
    [
        GOOD,
        GOOD | POINTER,
        GOOD | {"ioctl": 0xAE49},
        {name: said for name, said in GOOD.items() if name not in ("entries", "flags", "header_flags", "padding")},
    ],
    ids=["behind", "pointed at", "_IO", "little"],
)
def test_what_can_be_is_taken(words: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "layout.json"
    path.write_text(json.dumps(words))
    ioctl, layout = described(path)
    assert ioctl == int(str(words["ioctl"]), 0)
    assert layout == {name: said for name, said in words.items() if name != "ioctl"}


@pytest.mark.parametrize(
    "name",
    ["ioctl", "header_size", "entry_size", "nent", "slot", "guest_phys_addr", "memory_size", "userspace_addr"],
)
def test_what_is_needed_is_missed(name: str, tmp_path: Path) -> None:
    words = {each: said for each, said in GOOD.items() if each != name}
    assert said_of(tmp_path / "x", words).startswith(f"{name}: is missing: expected ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON ("),
        ("{", "no JSON ("),
        ("[" * 100_000, "no JSON ("),
        ("\x00\x01", "no JSON ("),
        ('{"nent": ' + "9" * 5000 + "}", "no JSON ("),
        ("[]", "expected an object"),
        ("null", "expected an object"),
        ('{"slot": [0, 4], "slot": [4, 4]}', "slot: is said twice"),
        ('{"length": 3}', "length: unknown: expected ioctl, header_size, "),
        ('{"a\\nb": 3}', "a\\nb: unknown"),
    ],
    ids=range(10),
)
def test_what_is_no_description_at_all(text: str, said: str, tmp_path: Path) -> None:
    assert said_of(tmp_path / "x", text).startswith(said)


@pytest.mark.parametrize("value", ["x", "", "0x", None, True, 1.5, -1, 0, 1 << 32, "-1", [1], "0x1_0000_0000"], ids=str)
def test_a_number_of_an_ioctl_that_is_none(value: object, tmp_path: Path) -> None:
    assert said_of(tmp_path / "x", GOOD | {"ioctl": value}).startswith("ioctl: expected a number of 32 bits")


def test_an_ioctl_of_another_argument(tmp_path: Path) -> None:
    said = said_of(tmp_path / "x", GOOD | {"ioctl": "0x4018ae49"})
    assert said == "ioctl: 0x4018ae49 is of an argument of 24 bytes: expected header_size, 8"


@pytest.mark.parametrize("name", ["header_size", "entry_size"])
@pytest.mark.parametrize("value", [0, -8, True, 8.0, "8", None, [8], 4097, 1 << 70], ids=str)
def test_a_size_that_is_none(value: object, name: str, tmp_path: Path) -> None:
    assert said_of(tmp_path / "x", GOOD | {name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["nent", "header_flags", "slot", "padding", "entries"])
@pytest.mark.parametrize(
    "value", [4, None, [], [0], [0, 4, 4], [-4, 4], [0, -4], [True, 4], [0, "4"], {}, [0.0, 4]], ids=str
)
def test_a_place_that_is_none(value: object, name: str, tmp_path: Path) -> None:
    assert said_of(tmp_path / "x", GOOD | {name: value}).startswith(f"{name}: expected [offset, size]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"slot": [0, 3]}, "slot: 3 bytes: expected 1, 2, 4 or 8"),
        ({"slot": [0, 0]}, "slot: 0 bytes: expected 1, 2, 4 or 8"),
        ({"nent": [0, 16]}, "nent: 16 bytes: expected 1, 2, 4 or 8"),
        ({"entries": [4, 4], "header_flags": [0, 4]}, "entries: 4 bytes: expected 8, a pointer to them, or 0"),
        ({"entries": [4, 0]}, "entries: follow the header at byte 4: expected at header_size, byte 8"),
        ({"entries": [8, 8]}, "entries: ends at byte 16: expected within header_size, 8 bytes"),
        ({"header_flags": [6, 4]}, "header_flags: ends at byte 10: expected within header_size, 8 bytes"),
        ({"userspace_addr": [60, 8]}, "userspace_addr: ends at byte 68: expected within entry_size, 64 bytes"),
        ({"padding": [33, 32]}, "padding: ends at byte 65: expected within entry_size, 64 bytes"),
        ({"flags": [2, 4]}, "flags: begins at byte 2, within slot: expected byte 4 or behind it"),
        ({"header_flags": [0, 4]}, "nent: begins at byte 0, within header_flags: expected byte 4 or behind it"),
        ({"padding": [30, 8]}, "padding: begins at byte 30, within userspace_addr: expected byte 32 or behind it"),
    ],
)
def test_fields_that_cannot_lie_there(words: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said_of(tmp_path / "x", GOOD | words).startswith(said)


@pytest.mark.parametrize("name", [".", "nothing", "a/b"])
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r": expected a description of a list ioctl \(JSON"):
        described(tmp_path / name)
