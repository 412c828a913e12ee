# SPDX-License-Identifier: GPL-2.0-only
"""Where choices come from: a seeded generator, or any string of bytes."""

from collections.abc import Sequence
from random import Random

from fuzz.grammar import CHOICE_BITS
from fuzz.layout import GIVEN

CHUNK = CHOICE_BITS // 8
"""Bytes a choice. A choice keeps its place, so a changed byte is a changed choice and nothing else."""

MOST_BYTES = 24 * CHUNK
"""The longest string of bytes that a coverage-guided fuzzer should try: longer lists show nothing that these do not."""
_USUAL_MOST = 6
_LONG_MOST = 250
_LONG_BITS = 8


def choices_from_bytes(data: bytes) -> list[int]:
    """The choices that a string of bytes spells; a last incomplete one is filled up with zeros."""
    return [int.from_bytes(data[i : i + CHUNK], "little") for i in range(0, len(data), CHUNK)]


def bytes_from_choices(choices: Sequence[int]) -> bytes:
    """The string of bytes that spells these choices."""
    return b"".join([choice.to_bytes(CHUNK, "little") for choice in choices])


def drawn_choices(rng: Random) -> list[int]:
    """Choices for a case of a few entries, once in 256 times of many."""
    head = rng.getrandbits(CHOICE_BITS)
    given = GIVEN.of(head)
    most = _LONG_MOST if rng.getrandbits(_LONG_BITS) == 0 else _USUAL_MOST
    entries = 1 + int(rng.random() * most)
    return [head] + [rng.getrandbits(CHOICE_BITS) for _ in range(given + entries)]
