# SPDX-License-Identifier: GPL-2.0-only
"""What readers see on the way, engine by engine: the figures to beat.

Run as a module: python -m bench.visibility. The seeds, where all engines can be given the list and accept it.
"""

from pathlib import Path

from engines.catalogue import engine_named
from memslots.case import Case
from memslots.errors import Unfit
from memslots.outcome import Outcome
from memslots.textreader import read_case
from oracles.backing import figures

SEEDS = Path(__file__).parent.parent / "corpus" / "seeds"
ENGINES = ("serial", "qemu-commit", "rfc-v1")
CASES = 3_000
RUNS = 15


def accepted(case: Case) -> list[Outcome] | None:
    """What each engine publishes, if all take the list."""
    try:
        outcomes = [engine_named(name).apply(case, record=True) for name in ENGINES]
    except Unfit:
        return None
    return outcomes if all(outcome.ended == "returned" and outcome.value == 0 for outcome in outcomes) else None


def tell_figures() -> None:
    """Print the sums over the seeds."""
    taken = [outcomes for path in sorted(SEEDS.rglob("*.slots")) if (outcomes := accepted(read_case(path).case))]
    print(f"{len(taken)} seeds that {', '.join(ENGINES)} all take")
    for i, name in enumerate(ENGINES):
        known = [each for outcomes in taken if (each := figures(outcomes[i])) is not None]
        print(
            f"{name:12} {sum(f.publications for f in known):5} publications, {sum(f.inhibited for f in known):4}"
            f" inhibited, {sum(f.invalid_windows for f in known):4} INVALID windows; gfns x publications:"
            f" {sum(f.retried_gfns for f in known):,} to be tried again,"
            f" {sum(f.unbacked_gfns for f in known):,} unbacked (by {sum(bool(f.unbacked) for f in known)} lists)"
        )


if __name__ == "__main__":
    tell_figures()
