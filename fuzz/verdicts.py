# SPDX-License-Identifier: GPL-2.0-only
"""How drawn cases are judged, in a line an engine: what compiled modules must have in common with their sources.

python -m fuzz.verdicts [CASES]
"""

import sys
from hashlib import sha256
from itertools import islice
from random import Random

import click

from engines.catalogue import HERE, engine_named
from fuzz.choices import drawn
from fuzz.grammar import case_of
from fuzz.trial import Trial
from memslots.errors import Unfit

ENGINES = ("rfc-v1", "serial-rfc-v1", "qemu-commit", "ideal")
CASES = 2000


def verdicts(engine: str, cases: int) -> str:
    """A digest of every verdict on these many drawn cases, all facets of both outcomes included.

    The engine runs as in a campaign, which takes short cuts, and as where a mismatch is written down.
    """
    digest = sha256()
    for quick in (True, False):
        trial = Trial(engine_named("serial"), HERE.named(engine, quick=quick))
        for choices in islice(drawn(Random(1)), cases):
            case = case_of(choices)
            try:
                digest.update(repr((case, trial.verdict(case))).encode())
            except Unfit as unfit:
                digest.update(repr((case, str(unfit))).encode())
    return digest.hexdigest()


def main() -> None:
    """Print a line for each engine."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    for engine in ENGINES:
        click.echo(f"{engine} {verdicts(engine, cases)}")


if __name__ == "__main__":
    main()
