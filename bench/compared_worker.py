# SPDX-License-Identifier: GPL-2.0-only
"""Workers that no campaign uses, for comparison: Hypothesis's own loop, and raw 64-byte entries under atheris."""

import argparse
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engines.simulated.engines import RfcV1, Serial
from fuzz.campaign import Campaign
from fuzz.findings import Findings
from fuzz.trial import Trial, Verdict
from memslots.case import Case
from memslots.region import Region

Observe = Callable[[Case], Verdict | None]

ENTRY = struct.Struct("<IIQQQB31s")


def raw_case(data: bytes) -> Case:
    """A list of 64-byte entries as they stand, on three slots that are there."""
    given = tuple(Region(i, 0, i << 16, 1 << 16, 0x1000_0000_0000 + (i << 16)) for i in range(3))
    entries = [Region(*ENTRY.unpack_from(data, i)) for i in range(0, len(data) - ENTRY.size + 1, ENTRY.size)]
    return Case(tuple(entries), given)


def main() -> None:
    """Run until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("hypothesis", "raw"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time", type=float, default=10)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    settings = {"engine": "rfc-v1", "reference": "serial", "policy": "atomic"}
    # On equal terms with the campaign's own workers.
    quick, whole = Trial(Serial(), RfcV1(aftermath=False)), Trial(Serial(), RfcV1())
    campaign = Campaign(quick, Findings(options.out, settings), options.kind, whole=whole)
    deadline = time.monotonic() + options.time

    def observe(case: Case) -> Verdict | None:
        verdict = campaign.observe(case)
        if not campaign.trials & 15 and time.monotonic() > deadline:
            campaign.flush()
            os._exit(0)
        return verdict

    if options.kind == "raw":
        _raw(observe, options.seed)
    else:
        _hypothesis(observe, options.seed)


def _raw(observe: Observe, seed: int) -> None:
    import atheris

    from fuzz.features import COUNTERS, Features

    features = Features()
    counters = [atheris._reserve_counter() for _ in range(COUNTERS)]

    def test_one_input(data: bytes) -> None:
        case = raw_case(data)
        verdict = observe(case)
        assert verdict is not None, "the simulated kernels can be given anything"
        for feature in features.of(case, verdict.reference, verdict.outcome):
            atheris._trace_branch(counters[feature])

    atheris.Setup([sys.argv[0], "-max_len=640", "-len_control=0", f"-seed={seed}"], test_one_input)
    atheris.Fuzz()


def _hypothesis(observe: Observe, seed: int) -> None:
    import hypothesis
    from hypothesis import HealthCheck, Phase

    from fuzz.strategies import cases

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=10**9,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(cases())
    def examples(case: Case) -> None:
        observe(case)

    examples()


if __name__ == "__main__":
    main()
