# SPDX-License-Identifier: GPL-2.0-only
"""All oracles in their order, each asked only where the engine shows what it needs."""

from collections.abc import Callable, Iterator

from memslots.outcome import Outcome
from oracles.allowances import allowed
from oracles.balance import NEEDS as BALANCE_NEEDS
from oracles.balance import PARTS as BALANCE_PARTS
from oracles.balance import balance
from oracles.error_codes import NEEDS as ERROR_CODES_NEEDS
from oracles.error_codes import error_codes
from oracles.final_slots import NEEDS as FINAL_SLOTS_NEEDS
from oracles.final_slots import final_slots
from oracles.invariants import NEEDS as INVARIANTS_NEEDS
from oracles.invariants import PARTS as INVARIANTS_PARTS
from oracles.invariants import invariants
from oracles.mismatch import Judgement, Mismatch
from oracles.policy import Policy
from oracles.survival import NEEDS as SURVIVAL_NEEDS
from oracles.survival import survival
from oracles.visibility import NEEDS as VISIBILITY_NEEDS
from oracles.visibility import backing, visibility

Oracle = Callable[[Outcome, Outcome, Policy], Iterator[Mismatch]]

ORACLES: dict[str, tuple[Oracle, frozenset[str]]] = {
    "invariants": (invariants, INVARIANTS_NEEDS),
    "survival": (survival, SURVIVAL_NEEDS),
    "error_codes": (error_codes, ERROR_CODES_NEEDS),
    "final_slots": (final_slots, FINAL_SLOTS_NEEDS),
    "balance": (balance, BALANCE_NEEDS),
    "visibility": (visibility, VISIBILITY_NEEDS),
}
"""Each oracle with the facets that it needs, the worst news first.

That sets are corrupt is worse than what happens next, which is a matter of luck.
"""


PARTS: dict[str, tuple[tuple[Oracle, frozenset[str]], ...]] = {
    "invariants": INVARIANTS_PARTS,
    "balance": BALANCE_PARTS,
}
"""What remains of an oracle that has several findings, where an engine shows what some of them need."""


ONE_BY_ONE: dict[str, Oracle] = {"visibility": backing}
"""What an oracle asks of an engine that stops at its first refusal: its list is no single step, by design."""


def asked(shows: frozenset[str]) -> tuple[Oracle, ...]:
    """The oracles that can judge an engine which shows these facets, or parts of them; the others are not asked."""
    able: list[Oracle] = []
    one_by_one = ONE_BY_ONE if "at_first_refusal" in shows else {}
    for name, (whole, needs) in ORACLES.items():
        oracle = one_by_one.get(name, whole)
        able += [oracle] if needs <= shows else [part for part, wants in PARTS.get(name, ()) if wants <= shows]
    return tuple(able)


def judge(reference: Outcome, outcome: Outcome, oracles: tuple[Oracle, ...], policy: Policy) -> Judgement:
    """What `oracles` say of `outcome`, beside the reference."""
    return Judgement(
        tuple([mismatch for oracle in oracles for mismatch in oracle(reference, outcome, policy)]),
        tuple(allowed(reference, outcome)),
    )
