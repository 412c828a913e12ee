# SPDX-License-Identifier: GPL-2.0-only
"""What a call costs its readers, in words: INVALID windows, and the gfns that lose their memory on the way.

Lost is what the same memory backs before and after: without any slot (unbacked), or in an INVALID one (to be tried
again). A call's own end is taken for what comes after.
"""

from collections.abc import Mapping, Sequence

from memslots.outcome import UNSEEN, Outcome
from oracles.backing import Figures, Loss, figures
from reports.ending import counted
from reports.news import gfns

HEADING = "What it costs readers"
MEANING = "of the gfns that the same memory backs before and after"
_MOST_RANGES = 6


def figures_of(outcome: Outcome) -> Figures | None:
    """The figures; None of a call that does not show what it published and left, or whose sets went astray."""
    return None if outcome.active == UNSEEN or outcome.corrupt else figures(outcome)


def cost_lines(outcomes: Mapping[str, Outcome]) -> list[str]:
    """A line for each engine; none if nothing was published."""
    if not any(outcome.publications or outcome.published for outcome in outcomes.values()):
        return []
    return [f"{name}: {cost_words(figures_of(outcome))}" for name, outcome in outcomes.items()]


def cost_words(cost: Figures | None) -> str:
    """`2 INVALID windows; unbacked: 0x0..0xf at 1 publication; to be tried again: none`."""
    if cost is None:
        return "not known"
    windows = counted(cost.invalid_windows, "INVALID window")
    kept_out = f", {counted(cost.inhibited, 'publication')} with readers kept out" if cost.inhibited else ""
    return f"{windows}{kept_out}; unbacked: {_ranges(cost.unbacked)}; to be tried again: {_ranges(cost.retried)}"


def _ranges(losses: Sequence[Loss]) -> str:
    told = [_range(loss) for loss in losses[:_MOST_RANGES]]
    told += [f"and {len(losses) - _MOST_RANGES} more ranges"] if len(losses) > _MOST_RANGES else []
    return ", ".join(told) or "none"


def _range(loss: Loss) -> str:
    space = f" of address space {loss.as_id}" if loss.as_id else ""
    return f"{gfns(loss.base_gfn, loss.npages)}{space} at {counted(loss.publications, 'publication')}"
