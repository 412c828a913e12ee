# SPDX-License-Identifier: GPL-2.0-only
"""Inside a guest whose kernel has kernel/astray.c: kvm-list on each of its variants, a line of JSON each.

`python tests/guest/list_variants.py CASES VARIANT...`; of `naive` as many random cases are tried. A variant that wrecks
the kernel is best the last.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from engines.real.kvm_list import IoctlList
from engines.real.list_vm import ThisKvm
from engines.simulated.engines import Serial
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Unfit
from memslots.jsonl import Json, json_of_outcome
from memslots.region import Region
from oracles.policy import Policy

VARIANT = Path("/sys/module/kvm/parameters/list_variant")
PAGE = 4096
GIVEN = (Region(0, 0, 0, 16 * PAGE, 0x10000), Region(0x10005, 1, 0, 16 * PAGE, 0x10000))
APPLY = (
    Region(7, 0, 0x100 * PAGE, PAGE, 0x10000, 1),
    Region(7),
    Region(0),
    Region(1, 0, 0, 32 * PAGE, 0x10000),
)
"""It names slot 7, which the variant extra-slot leaves behind."""


def compared(cases: int) -> dict[str, Json]:
    """How often each bucket came of random cases, under both policies."""
    reference, engine = Serial(), IoctlList()
    machine = ThisKvm().host().machine
    trials = {policy.value: Trial(reference, engine, policy) for policy in Policy}
    counts: dict[str, Counter[str]] = {policy: Counter() for policy in trials}
    rng = Random(6)
    tried = unfit = refused = torn = 0
    begin = time.monotonic()
    while tried < cases:
        case = case_of(drawn_choices(rng), machine)
        try:
            verdicts = {policy: trial.verdict(case) for policy, trial in trials.items()}
        except Unfit:
            unfit += 1
            continue
        tried += 1
        expected = verdicts["atomic"].reference
        refused += expected.errno != 0
        torn += expected.at_first_refusal not in (None, expected.before)
        for policy, verdict in verdicts.items():
            counts[policy].update({finding.mismatch.oracle for finding in verdict.findings})
    engine.close()
    totals = {policy: dict(counter) for policy, counter in counts.items()}
    return {
        "cases": tried,
        "unfit": unfit,
        "refused": refused,
        "torn": torn,
        "seconds": round(time.monotonic() - begin, 1),
        "found": json.loads(json.dumps(totals)),
    }


def tried_once(variant: str) -> dict[str, Json]:
    """The outcome and the findings of one case."""
    engine = IoctlList()
    case = Case(APPLY, GIVEN, ThisKvm().host().machine)
    VARIANT.write_text(variant)
    begin = time.monotonic()
    verdict = Trial(Serial(), engine, Policy.PREFIX).verdict(case)
    seconds = time.monotonic() - begin
    suspect = engine.suspect
    # The child may be held by the kernel; closing says so, and does not wait for it.
    engine.close()
    VARIANT.write_text("naive")
    return {
        "variant": variant,
        "outcome": json_of_outcome(verdict.outcome),
        "expected": json_of_outcome(verdict.reference)["active"],
        "buckets": [finding.bucket for finding in verdict.findings],
        "mishaps": [[event.kind, event.detail] for event in verdict.outcome.mishaps or ()],
        "suspect": suspect,
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Try what the command line names."""
    cases, *variants = sys.argv[1:]
    VARIANT.write_text("naive")
    if int(cases):
        print(json.dumps({"variant": "naive", **compared(int(cases))}), flush=True)
    for variant in variants:
        print(json.dumps(tried_once(variant)), flush=True)


if __name__ == "__main__":
    main()
