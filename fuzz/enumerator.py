#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""One process of an enumeration: judges the cases of one stretch after the other, until the ledger has none left.

What it is to do stands in the ledger of the folder that it is given, with the run that it belongs to. It stops when
its standard input is closed, so none is left behind, however the parent ends.
"""

import select
import sys
from collections.abc import Mapping
from pathlib import Path

from engines.catalogue import engine_named
from fuzz.enumeration import Enumeration
from fuzz.ledger import Ledger, settings_of
from fuzz.scope import Scope
from fuzz.sweep import Sweep
from fuzz.trial import Trial
from memslots.errors import BadInput, Missing, Withheld
from oracles.policy import Policy


def command_of(folder: Path, run: str) -> list[str]:
    """The command that starts one. -P: what lies where the user stands is not imported."""
    return [sys.executable, "-P", "-m", "fuzz.enumerator", str(folder), run]


def trial_of(settings: Mapping[str, str], *, quick: bool) -> Trial:
    """The reference and the engine that the settings name. Raises BadInput."""
    engine = engine_named(settings["engine"], quick=quick)
    return Trial(engine_named(settings["reference"]), engine, Policy(settings["policy"]))


def main(folder: Path, run: str) -> None:
    """Run until all is done, or the parent has gone."""
    settings = settings_of(folder)
    enumeration = Enumeration(Scope.of_settings(settings))
    ledger = Ledger(folder, settings, enumeration.total)
    sweep = Sweep(trial_of(settings, quick=True), enumeration, ledger, run)
    sweep.go(lambda: bool(select.select([sys.stdin], [], [], 0)[0]))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except (BadInput, Missing, Withheld) as error:
        sys.exit(f"sameslots: {error}")
