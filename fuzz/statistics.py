# SPDX-License-Identifier: GPL-2.0-only
"""What the grammar makes: how often each change, errno, pass and bucket occurs, so that a dead branch is seen."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random

from fuzz.choices import drawn
from fuzz.grammar import case_of
from fuzz.signature import changes_of
from fuzz.trial import Trial, Verdict
from memslots.case import Case
from memslots.errors import Unfit
from memslots.region import NO_PADDING
from oracles.bucket import how_ended

Spelt = Callable[[Sequence[int]], Case]
"""Makes the case that choices spell."""


def statistics_of(trial: Trial, seed: int, cases: int, spelt: Spelt = case_of) -> Iterator[str]:
    """Lines of text: for each kind of thing, each thing with its share of the cases that have it."""
    counters = counted(trial, seed, cases, spelt)
    yield f"{cases:,} cases, seed {seed}; shares of the cases in which something occurs"
    for kind, counter in counters.items():
        yield ""
        yield f"{kind}:"
        for name, n in sorted(counter.items(), key=lambda item: (-item[1], item[0])):
            yield f"  {n / cases:8.3%}  {name}"


def counted(trial: Trial, seed: int, cases: int, spelt: Spelt = case_of) -> dict[str, Counter[str]]:
    """In how many cases each thing occurs, by kind of thing.

    Of a case that an engine cannot be given, only what it asks for counts.
    """
    counters: dict[str, Counter[str]] = {
        kind: Counter()
        for kind in ("changes", "answers of serial", "the case", "engine ended", "faults met", "parting", "buckets")
    }
    for choices in islice(drawn(Random(seed)), cases):
        case = spelt(choices)
        changes = [change for change in changes_of(case) if not change.startswith("nent=")]
        counters["changes"].update({change.split()[0] for change in changes})
        counters["answers of serial"].update(
            {change.split()[2] if len(change.split()) > 2 else "ok" for change in changes}
        )
        counters["the case"].update(_traits(case))
        try:
            verdict = trial.verdict(case)
        except Unfit:
            counters["engine ended"].update(["not given: unfit"])
            continue
        counters["engine ended"].update([how_ended(verdict.outcome)])
        counters["parting"].update(_partings(verdict))
        counters["faults met"].update(verdict.outcome.failed)
        counters["buckets"].update({finding.bucket for finding in verdict.findings} or {"none"})
    return counters


def _partings(verdict: Verdict) -> set[str]:
    events = [finding.parting for finding in verdict.findings]
    return {f"{event.phase or 'before P1'} {event.kind}" for event in events if event is not None}


def _traits(case: Case) -> set[str]:
    """What can be said of a case without applying it."""
    slots = [region.slot for region in case.apply]
    traits = {
        "given state": bool(case.given),
        "a slot more than once": len(set(slots)) < len(slots),
        "both address spaces": len({slot >> 16 for slot in slots}) > 1,
        "more than 32 entries": len(case.apply) > 32,
        "no entries": not case.apply,
        "nent short": case.entries < len(case.apply),
        "nent long": case.entries > len(case.apply),
        "header flags": case.header_flags != 0,
        "padding": any(region.padding != NO_PADDING for region in case.apply),
        "invalidate_slot above 1": any(region.invalidate_slot > 1 for region in case.apply),
        **{f"fault {kind}": True for kind, _ in case.faults},
        f"profile {case.machine.profile}": True,
        "max_gfn": "max_gfn" in case.machine.overrides(),
        "no readonly support": not case.machine.readonly,
    }
    return {name for name, there in traits.items() if there}
