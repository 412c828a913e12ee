# SPDX-License-Identifier: GPL-2.0-only
"""docs/format.md: every example in it is what it says, and it leaves nothing out."""

import json
import re
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from engines.catalogue import engine_named
from fuzz.lines import MAX_LINE_BYTES as MAX_JSON_BYTES
from fuzz.lines import LineRunner
from fuzz.trial import Trial
from memslots.case import FAULT_KINDS
from memslots.errors import BadInput
from memslots.jsonl import json_of_outcome
from memslots.machine import PROFILES
from memslots.outcome import Outcome
from memslots.region import FIELD_MAXIMA
from memslots.textreader import MAX_LINE_BYTES, MAX_LINES, parse_case
from memslots.textwords import ORACLES
from memslots.textwriter import text_of
from memslots.uapi import FLAG_NAMES

DOC = (Path(__file__).parent.parent.parent / "docs" / "format.md").read_text()


class Block(NamedTuple):
    language: str
    text: str
    lineno: int


BLOCKS = [
    Block(found[1], found[2], DOC.count("\n", 0, found.start()) + 1)
    for found in re.finditer(r"^```([a-z-]+)\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)
]
GOOD = [block for block in BLOCKS if block.language == "slots"]
BAD = [(block, after) for block, after in pairwise(BLOCKS) if block.language == "slots-bad"]
JSON = [block for block in BLOCKS if block.language == "json"]


def line_of(block: Block | tuple[Block, Block]) -> str:
    return f"line {(block if isinstance(block, Block) else block[0]).lineno}"


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.language for block in BLOCKS} == {"slots", "slots-bad", "text", "json", "ebnf"}
    assert 2 * len(BLOCKS) == DOC.count("```")
    assert len(BAD) == sum(block.language == "text" for block in BLOCKS)


@pytest.mark.parametrize("block", GOOD, ids=line_of)
def test_a_good_example_is_canonical(block: Block) -> None:
    assert text_of(parse_case(block.text.splitlines())) == block.text


@pytest.mark.parametrize("pair", BAD, ids=line_of)
def test_a_bad_example_gives_the_error_below_it(pair: tuple[Block, Block]) -> None:
    bad, error = pair
    assert error.language == "text"
    with pytest.raises(BadInput) as caught:
        parse_case(bad.text.splitlines(), "case.slots")
    assert f"{caught.value}\n" == error.text


def test_json_lines_give_the_results_below_them() -> None:
    runner = LineRunner([Trial(engine_named("serial"), engine_named("rfc-v1"))], [])
    results: dict[str, object] = {}
    wrapped = 0
    for block in JSON:
        if block.text.startswith("{\n"):
            result = json.loads(block.text)
            assert result == results[result["id"]]
            wrapped += 1
            continue
        for result in map(json.loads, runner.results(BytesIO(block.text.encode()))):
            assert ("error" in result) == (result["id"] == "x")
            results[result["id"]] = result
    assert wrapped == 2


NAMES = [
    *("slot", "gpa", "size", "hva", "flags", "invalidate", "padding", "base_gfn", "npages", "nent", "header_flags"),
    *FIELD_MAXIMA,
    *FLAG_NAMES,
    *FAULT_KINDS,
    *ORACLES,
    *PROFILES,
    *("address_spaces", "page_size", "max_gfn", "user_slots", "readonly"),
    *json_of_outcome(Outcome("returned", (), ())),
]


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_name_is_explained(name: str) -> None:
    assert f"`{name}`" in DOC


def test_every_kind_of_fault_is_explained_in_the_words_of_the_code() -> None:
    for kind, what in FAULT_KINDS.items():
        assert f"| `{kind}` | {what} |" in DOC


def test_the_limits_are_those_of_the_code() -> None:
    flowing = " ".join(DOC.split())
    assert f"at most {MAX_LINE_BYTES} bytes with its newline, a file at most {MAX_LINES} lines" in flowing
    assert f"at most {MAX_JSON_BYTES >> 20} MiB" in flowing
