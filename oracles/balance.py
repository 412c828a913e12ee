# SPDX-License-Identifier: GPL-2.0-only
"""What the call took it must give back, and nothing else: locks and memory."""

from collections.abc import Callable, Iterator

from memslots.outcome import Outcome
from oracles.mismatch import Mismatch
from oracles.policy import Policy

NEEDS = frozenset(("ended", "slots_lock", "slots_arch_lock", "leaked", "damage", "dangling"))


def balance(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """One mismatch for each lock held, each kind of memory error, and for objects leaked or left dangling.

    Memory errors are judged however the call ended. Locks and leaks are judged when it returned; what the sets
    reach, leaks and dangling objects, only while the sets are vouched for.
    """
    for part, _ in PARTS:
        yield from part(reference, outcome, policy)


def damage(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """There must be no memory error."""
    for kind in outcome.damage or ():
        yield Mismatch("balance", kind, {"damage": list(outcome.damage or ())})


def locks(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """No lock may stay held."""
    if outcome.ended != "returned":
        return
    for lock in ("slots_lock", "slots_arch_lock"):
        if getattr(outcome, lock):
            yield Mismatch("balance", f"{lock}-held", {lock: True})


def dangling(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """No freed object may stay linked."""
    if outcome.dangling and outcome.ended == "returned" and not outcome.corrupt:
        yield Mismatch("balance", "dangling", {"dangling": True})


def leaked(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """Every object must be reached by a set."""
    if outcome.leaked and outcome.ended == "returned" and not outcome.corrupt:
        yield Mismatch("balance", "leaked", {"leaked": outcome.leaked})


PARTS: tuple[tuple[Callable[[Outcome, Outcome, Policy], Iterator[Mismatch]], frozenset[str]], ...] = (
    (damage, frozenset(("damage",))),
    (locks, frozenset(("ended", "slots_lock", "slots_arch_lock"))),
    (dangling, frozenset(("ended", "dangling"))),
    (leaked, frozenset(("ended", "leaked"))),
)
"""Each finding with what it needs, for engines that do not show all of `NEEDS`."""
