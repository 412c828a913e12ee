# SPDX-License-Identifier: GPL-2.0-only
"""Where choices come from: a seeded generator, or any string of bytes."""

from collections.abc import Iterator, Sequence
from random import Random

from fuzz.grammar import CHOICE_BITS
from fuzz.layout import GIVEN, HEADER_KIND, HEADER_VALUE

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


LISTS_OF_A_STATE = 4
"""How many lists are drawn for one given state: to draw the state costs as much as to draw a list."""
_HEADER = HEADER_KIND.mask | HEADER_VALUE.mask


def drawn_choices(rng: Random) -> list[int]:
    """Choices for a case of a few entries, once in 256 times of many."""
    head = rng.getrandbits(CHOICE_BITS)
    entries = _drawn_length(rng)
    return [head, *_gestures(rng, GIVEN.of(head) + entries)]


def drawn(rng: Random) -> Iterator[list[int]]:
    """The choices of case after case, without end: a few lists with headers for one given state, then for another."""
    while True:
        first = drawn_choices(rng)
        yield first
        state = first[0] & ~_HEADER
        given = first[1 : 1 + GIVEN.of(state)]
        for _ in range(LISTS_OF_A_STATE - 1):
            header = rng.getrandbits(CHOICE_BITS) & _HEADER
            yield [state | header, *given, *_gestures(rng, _drawn_length(rng))]


def _drawn_length(rng: Random) -> int:
    """How many gestures a list has."""
    most = _LONG_MOST if rng.getrandbits(_LONG_BITS) == 0 else _USUAL_MOST
    return 1 + int(rng.random() * most)


def _gestures(rng: Random, n: int) -> list[int]:
    return [rng.getrandbits(CHOICE_BITS) for _ in range(n)]
