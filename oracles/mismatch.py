# SPDX-License-Identifier: GPL-2.0-only
"""What an oracle finds: one way in which an outcome is not what the reference makes it ought to be.

What every trial makes is a named tuple, at half the price of a frozen dataclass (bench/values.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from memslots.jsonl import Json


class Mismatch(NamedTuple):
    """One finding of one oracle.

    `what` tells an oracle's findings apart where it has several (`left-invalid`), otherwise it is empty. `facts`
    holds what was expected and what was got, in the form of the JSON contract.
    """

    oracle: str
    what: str
    facts: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Allowance:
    """A difference that is there by design: its name, and where it is written that it may be."""

    name: str
    citation: str


class Judgement(NamedTuple):
    """All that the oracles say of one pair of outcomes."""

    mismatches: tuple[Mismatch, ...]
    allowances: tuple[Allowance, ...]
