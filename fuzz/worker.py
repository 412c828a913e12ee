#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""One process of a campaign: draws or decodes cases and hands them to its `Campaign`, until told to stop.

A program of its own: atheris runs argv[0] again for -fork, -jobs and -merge, and ends the process without unwinding.
What `sameslots fuzz` starts stops when its standard input is closed, so none is left behind, however the parent ends.
Options that it does not know go to libFuzzer.
"""

import argparse
import json
import os
import select
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engines.protocol import Engines
    from fuzz.campaign import Campaign

_OURS = "SAMESLOTS_WORKER"
_UNUSABLE = 2
"""The exit code where what is asked for cannot be used, or cannot any more: the last line says what."""
_LOOK_EVERY = 16
"""Trials between two looks at the clock and at standard input."""


def _parsed(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="worker.py", description=__doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("--backend", choices=("random", "atheris"), default="atheris")
    parser.add_argument("--engine", default="rfc-v1")
    parser.add_argument("--reference", default="serial")
    parser.add_argument("--policy", default="atomic")
    parser.add_argument("--out", type=Path, default=Path("findings"))
    parser.add_argument("--time", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--runs", type=int, default=sys.maxsize)
    parser.add_argument("--guest", help="the kernel of a guest that the engine is to run in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=Path, action="append", default=[], help="case files that seed atheris")
    parser.add_argument("--no-mutator", action="store_true", help="atheris's own byte mutator alone")
    parser.add_argument("--raise", dest="raises", action="store_true", help="raise at the first mismatch, for farms")
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input is closed")
    # libFuzzer runs argv[0] again with its own options alone (-fork, -jobs, -merge): ours come by the environment.
    inherited = json.loads(os.environ.get(_OURS, "[]"))
    options, libfuzzer = parser.parse_known_args(inherited + arguments)
    ours = [argument for argument in inherited + arguments if argument not in libfuzzer]
    os.environ[_OURS] = json.dumps([argument for argument in ours if argument != "--watch-stdin"])
    return options, libfuzzer


class _Limits:
    """When to stop: the time is up, the runs are done, or the parent has closed our standard input."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._deadline = time.monotonic() + options.time
        self._runs: int = options.runs
        # A trial in a guest takes as long as many here.
        self._every = _LOOK_EVERY if options.guest is None else 1
        self._watched = [sys.stdin] if options.watch_stdin else []

    def reached(self, trials: int) -> bool:
        """Whether this is the end."""
        if trials >= self._runs:
            return True
        if trials % self._every:
            return False
        return time.monotonic() >= self._deadline or bool(select.select(self._watched, [], [], 0)[0])


def _campaign(options: argparse.Namespace, engines: "Engines") -> "Campaign":
    from engines.catalogue import engine_named
    from fuzz.campaign import Campaign
    from fuzz.findings import Findings
    from fuzz.trial import Trial
    from fuzz.where import label
    from oracles.policy import Policy

    trial, whole = (
        Trial(engine_named(options.reference), engines.named(options.engine, quick=quick), Policy(options.policy))
        for quick in (True, False)
    )
    engine = label(options.engine, options.guest)
    settings = {"engine": engine, "reference": options.reference, "policy": options.policy}
    return Campaign(trial, Findings(options.out, settings), options.backend, whole=whole, raises=options.raises)


def _random(options: argparse.Namespace) -> None:
    from random import Random

    from fuzz.choices import drawn
    from fuzz.fitted import fitted
    from fuzz.where import engines_in

    with engines_in(options.guest) as engines:
        campaign = _campaign(options, engines)
        case_of = fitted(engines, options.engine, options.reference)
        limits = _Limits(options)
        # What is done in another process is done for several cases at once.
        look_ahead = getattr(campaign.trial.engine, "look_ahead", None)
        at_once = _LOOK_EVERY if look_ahead is not None else 1
        choices = drawn(Random(options.seed))
        try:
            while not limits.reached(campaign.trials):
                cases = [case_of(next(choices)) for _ in range(at_once)]
                if look_ahead is not None:
                    look_ahead(cases)
                for case in cases[: max(options.runs - campaign.trials, 0)]:
                    campaign.observe(case)
        finally:
            campaign.flush()


def _seed(corpus: Path, paths: list[Path]) -> None:
    """Put the case files at `paths` into libFuzzer's corpus, as the bytes that spell them."""
    from fuzz.choices import bytes_from_choices
    from fuzz.inverse import choices_of
    from fuzz.replay import case_paths
    from memslots.textreader import read_case

    for path in case_paths(tuple(paths)):
        (corpus / f"seed-{path.stem}").write_bytes(bytes_from_choices(choices_of(read_case(path).case)))


def _atheris(options: argparse.Namespace, libfuzzer: list[str]) -> None:
    import atheris

    from fuzz.choices import MOST_BYTES, choices_from_bytes
    from fuzz.features import BLOCKS, COUNTERS, Features, NewBlocks
    from fuzz.fitted import fitted
    from fuzz.where import engines_in
    from memslots.errors import BadInput, Missing

    # Never closed: this process ends without unwinding, and a guest with it.
    engines = engines_in(options.guest).__enter__()
    campaign = _campaign(options, engines)
    case_of = fitted(engines, options.engine, options.reference)
    features = Features()
    counters = [atheris._reserve_counter() for _ in range(COUNTERS)]
    # A kernel tree's own code tells which of its basic blocks a case has run.
    ran = getattr(campaign.trial.engine, "ran", None)
    new_blocks = NewBlocks()
    blocks = [atheris._reserve_counter() for _ in range(BLOCKS)] if ran and ran() else []
    limits = _Limits(options)

    def test_one_input(data: bytes) -> None:
        case = case_of(choices_from_bytes(data))
        try:
            verdict = campaign.observe(case)
        except (BadInput, Missing) as error:
            # libFuzzer would take it for a finding.
            campaign.flush()
            print(error, file=sys.stderr, flush=True)  # noqa: T201 - the log of a worker
            os._exit(_UNUSABLE)
        if verdict is not None:
            for feature in features.of(case, verdict.reference, verdict.outcome):
                atheris._trace_branch(counters[feature])
            if ran is not None and blocks:
                for block in new_blocks.of(ran()):
                    atheris._trace_branch(blocks[block])
        if limits.reached(campaign.trials):
            campaign.flush()
            # libFuzzer would say goodbye without unwinding; so do we, with all written down.
            os._exit(0)

    corpus = options.out / "atheris-corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    if options.seeds:
        _seed(corpus, options.seeds)
    # Files or folders of the caller's own: an input to replay or minimise, or corpora to merge.
    own = [argument for argument in libfuzzer if not argument.startswith("-")]
    arguments = [
        # What libFuzzer runs again, through a shell: this file under this Python, whatever PATH says.
        f"{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).resolve()))}",
        "-len_control=0",
        f"-max_len={MOST_BYTES}",
        f"-seed={options.seed % (1 << 32) or 1}",
        f"-artifact_prefix={options.out.resolve()}/",
        *libfuzzer,
        *([] if own else [str(corpus.resolve())]),
    ]
    if options.no_mutator:
        atheris.Setup(arguments, test_one_input)
    else:
        from fuzz.mutate import crossed_over, mutated

        def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
            # Not before: atheris.Mutate is another function once Fuzz() runs.
            return mutated(data, max_size, seed, atheris.Mutate)

        atheris.Setup(arguments, test_one_input, custom_mutator=custom_mutator, custom_crossover=crossed_over)
    atheris.Fuzz()


def main() -> None:
    """Run until a limit is reached."""
    options, libfuzzer = _parsed(sys.argv[1:])
    if options.backend == "atheris":
        _atheris(options, libfuzzer)
        return

    from memslots.errors import BadInput, Missing

    try:
        _random(options)
    except (BadInput, Missing) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log of a worker
        sys.exit(_UNUSABLE)


if __name__ == "__main__":
    main()
