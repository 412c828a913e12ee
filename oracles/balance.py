# SPDX-License-Identifier: GPL-2.0-only
"""What the call took it must give back, and nothing else: locks and memory."""

from collections.abc import Iterator

from memslots.outcome import Outcome
from oracles.mismatch import Mismatch
from oracles.policy import Policy

NEEDS = frozenset(("ended", "slots_lock", "slots_arch_lock", "leaked", "damage", "dangling"))


def balance(reference: Outcome, outcome: Outcome, policy: Policy) -> Iterator[Mismatch]:
    """One mismatch for each lock held, each kind of memory error, and for objects leaked or left dangling.

    Memory errors are judged however the call ended. Locks and leaks are judged when it returned; what the sets
    reach, leaks and dangling objects, only while the sets are vouched for.
    """
    for kind in outcome.damage or ():
        yield Mismatch("balance", kind, {"damage": list(outcome.damage or ())})
    if outcome.ended != "returned":
        return
    for lock in ("slots_lock", "slots_arch_lock"):
        if getattr(outcome, lock):
            yield Mismatch("balance", f"{lock}-held", {lock: True})
    if outcome.corrupt:
        return
    if outcome.dangling:
        yield Mismatch("balance", "dangling", {"dangling": True})
    if outcome.leaked:
        yield Mismatch("balance", "leaked", {"leaked": outcome.leaked})
