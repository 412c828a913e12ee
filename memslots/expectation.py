# SPDX-License-Identifier: GPL-2.0-only
"""What a case file says should come out of it: the `expect` lines."""

from dataclasses import dataclass

from memslots.slot import Slot


@dataclass(frozen=True, slots=True)
class Ending:
    """`expect ENGINE ok`, `refused ERRNO [at K]`, `returned 1`, `hung`, `looped` or `crashed [KIND]`."""

    engine: str
    how: str
    """ok, refused, returned-1, hung, looped or crashed."""
    errno: str | None = None
    index: int | None = None
    """The first refused entry, from 0; only an engine that answers each entry alone can be held to it."""
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """`expect ENGINE agrees`: no mismatch with the reference."""

    engine: str


@dataclass(frozen=True, slots=True)
class MismatchExpected:
    """`expect ENGINE ORACLE ...`: a mismatch of this bucket, and of no bucket that is not named."""

    engine: str
    bucket: str


@dataclass(frozen=True, slots=True)
class ActiveSlot:
    """`expect ENGINE active REGION`, or `active none`: the active sets hold the slots named so, and no others."""

    engine: str
    slot: Slot | None


Expectation = Ending | Agreement | MismatchExpected | ActiveSlot
