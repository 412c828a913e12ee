# SPDX-License-Identifier: GPL-2.0-only
"""How drawn cases are judged, in a line a way: what compiled modules must have in common with their sources.

python -m fuzz.verdicts [CASES]
"""

import sys
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from itertools import islice
from random import Random

import click

from engines.catalogue import HERE, engine_named
from fuzz.campaign import buckets_shown
from fuzz.choices import choices_from_bytes, drawn
from fuzz.falsified import Falsified
from fuzz.features import Features
from fuzz.grammar import case_of
from fuzz.signature import signature_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Unfit
from oracles.policy import Policy
from reducers.reduce import reduced

ENGINES = ("rfc-v1", "serial-rfc-v1", "qemu-commit", "ideal")
WAYS = (
    *ENGINES,
    *[f"{engine}, at length" for engine in ENGINES],
    *["falsified ideal", "falsified serial-rfc-v1", "falsified rfc-v1, prefix"],
    "from bytes",
)
CASES = 2000
_BYTES = 120
_REDUCED = 12


def trial_of(way: str) -> Trial:
    """How the cases are judged this way: an engine runs as in a campaign, which takes short cuts, or at length as where
    a mismatch is written down; or it tells lies, so that every oracle has something to say.
    """
    words = way.replace(",", "").split()
    name = next((word for word in words if word in ENGINES), "rfc-v1")
    engine = HERE.named(name, quick="length" not in words)
    policy = Policy.PREFIX if "prefix" in words else Policy.ATOMIC
    return Trial(engine_named("serial"), Falsified(engine) if "falsified" in words else engine, policy)


def cases_of(way: str) -> Iterator[Case]:
    """The cases that are judged this way, without end: drawn, or spelt by bytes as atheris would have them."""
    rng = Random(1)
    if way == "from bytes":
        return map(case_of, map(choices_from_bytes, map(rng.randbytes, iter(partial(rng.randrange, _BYTES), -1))))
    return map(case_of, drawn(rng))


def verdicts(way: str, cases: int) -> str:
    """A digest of every verdict on these many cases, all facets of both outcomes and atheris's features included.

    And of the first case of each of the first buckets, reduced.
    """
    digest = sha256()
    small: dict[str, str] = {}
    trial = trial_of(way)
    features = Features()
    for case in islice(cases_of(way), cases):
        try:
            verdict = trial.verdict(case)
        except Unfit as unfit:
            digest.update(repr((case, str(unfit))).encode())
            continue
        met = sorted(features.of(case, verdict.reference, verdict.outcome))
        digest.update(repr((case, verdict, met)).encode())
        for bucket in {finding.bucket: None for finding in verdict.findings}:
            if bucket not in small and len(small) < _REDUCED:
                small[bucket] = _reduced(case, trial, bucket)
                digest.update(small[bucket].encode())
    return digest.hexdigest()


def _reduced(case: Case, trial: Trial, bucket: str) -> str:
    """What becomes of the case when it is made small, and in how many steps."""
    problem = reduced(case, lambda smaller: bucket in buckets_shown(trial, smaller))
    return f"{signature_of(bucket, problem.case)} {problem.case} {problem.calls}"


def main() -> None:
    """Print a line for each way."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    for way in WAYS:
        click.echo(f"{way}: {verdicts(way, cases)}")


if __name__ == "__main__":
    main()
