# SPDX-License-Identifier: GPL-2.0-only
"""Mutation that knows where a choice begins: whole gestures are swapped, repeated, moved, aimed at another slot.

A bonus on top of the decoder: a farm that preloads libFuzzer ignores it silently, and every string of bytes is a
plausible list anyway.
"""

from collections.abc import Callable
from random import Random

from fuzz.choices import CHUNK, bytes_from_choices, choices_from_bytes
from fuzz.layout import BASE, FLAGS, GESTURE, GIVEN, HEADER_KIND, MACHINE, PROFILE, RIGHT, SLOT, SPACE

_AIM = SLOT.mask | SPACE.mask
_DOING = GESTURE.mask | RIGHT.mask
_PLACE = BASE.mask | FLAGS.mask
_HEAD = (PROFILE.mask, MACHINE.mask, GIVEN.mask, HEADER_KIND.mask)


def mutated(data: bytes, max_size: int, seed: int, mutate: Callable[[bytes, int], bytes]) -> bytes:
    """Another string of bytes, of at most `max_size`; one time in four by `mutate`, libFuzzer's own."""
    rng = Random(seed)
    choices = choices_from_bytes(data)
    if not choices or rng.random() < 0.25:
        return mutate(data, max_size)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _mutate_once(choices, rng)
    return bytes_from_choices(choices[: max_size // CHUNK])


def _mutate_once(choices: list[int], rng: Random) -> None:
    if len(choices) < 2:
        choices.append(rng.getrandbits(CHUNK * 8))
        return
    i = rng.randrange(1, len(choices))
    j = rng.randrange(1, len(choices))
    match rng.randrange(9):
        case 0:
            choices[i], choices[j] = choices[j], choices[i]
        case 1:
            choices.insert(i, choices[j])
        case 2:
            del choices[i]
        case 3:
            choices.insert(i, rng.getrandbits(CHUNK * 8))
        case 4:
            choices[i] = _with(choices[i], _AIM, choices[j] if rng.random() < 0.5 else rng.getrandbits(48))
        case 5:
            choices[i] = _with(choices[i], _DOING, rng.getrandbits(48))
        case 6:
            choices[i] = _with(choices[i], _PLACE, rng.getrandbits(48))
        case 7:
            choices[i] ^= 1 << rng.randrange(CHUNK * 8)
        case _:
            choices[0] = _with(choices[0], rng.choice(_HEAD), rng.getrandbits(48))


def _with(choice: int, mask: int, other: int) -> int:
    """`choice` with the bits of `mask` taken from `other`."""
    return choice & ~mask | other & mask


def crossed_over(first: bytes, second: bytes, max_size: int, seed: int) -> bytes:
    """The head of one string of bytes and the tail of another, cut between choices."""
    rng = Random(seed)
    ours, theirs = choices_from_bytes(first), choices_from_bytes(second)
    cut = rng.randint(1, max(len(ours), 1))
    tail = theirs[rng.randint(1, max(len(theirs), 1)) :]
    return bytes_from_choices((ours[:cut] + tail)[: max_size // CHUNK])
