# SPDX-License-Identifier: GPL-2.0-only
"""Weight profiles for swarm testing: each favours some gestures, mistakes and places, and leaves others out.

A campaign that draws everything all the time seldom draws much of anything; one that draws a profile for each list
tries lists of moves alone, lists without a mistake, lists on two slots (Groce et al., "Swarm testing", 2012).
"""

from dataclasses import dataclass
from functools import cache
from random import Random

GESTURES = (
    "put",
    "delete",
    "move",
    "flags",
    "no-op",
    "resize",
    "split",
    "merge",
    "exchange",
    "toggle",
    "log all",
    "reset",
    "boundary",
)
"""What an entry of the choice sequence can ask for; `grammar.py` says what each becomes."""

PROFILES = 256
TABLE = 64
"""Tables have this many places: six bits of choice pick one."""

_USUAL = {"put": 8, "delete": 5, "move": 5, "flags": 4, "no-op": 2, "resize": 2, "toggle": 1, "boundary": 2}


@dataclass(frozen=True, slots=True)
class Profile:
    """Tables from six bits of choice to a gesture and to whether an entry is flagged as the RFC wants it."""

    gestures: tuple[str, ...]
    flagged_right: tuple[bool, ...]
    ids: int
    """How many ids are used, a power of two."""
    grid: int
    """How many gfns are aimed at, a power of two."""
    second_space: bool
    """Whether address space 1 is used."""
    flags: tuple[int, ...]
    """Four sets of flags to choose from."""


@cache
def profile(number: int) -> Profile:
    """The profile of this number, the same on every machine. Number 0 favours nothing and leaves nothing out."""
    if number == 0:
        gestures = [GESTURES[i % len(GESTURES)] for i in range(TABLE)]
        return Profile(tuple(gestures), (True,) * 48 + (False,) * 16, 8, 32, True, (0, 1, 2, 3))
    rng = Random(number)
    weights = dict.fromkeys(GESTURES, 1) | _USUAL
    kept = {name: weight * rng.choice((1, 1, 2, 4)) for name, weight in weights.items() if rng.random() < 0.6}
    kept = kept or _USUAL
    kept.setdefault("put", 2)
    gestures = rng.choices(list(kept), list(kept.values()), k=TABLE)
    wrong = rng.choice((0, 0, 2, 8, 24))
    return Profile(
        tuple(gestures),
        (True,) * (TABLE - wrong) + (False,) * wrong,
        rng.choice((2, 4, 8)),
        rng.choice((8, 16, 32)),
        rng.random() < 0.4,
        rng.choice(((0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 2), (0, 1, 2, 3))),
    )
