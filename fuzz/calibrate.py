# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots calibrate`: does the serial reference say what the kernel of this machine does?"""

import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from errno import errorcode
from hashlib import sha256
from pathlib import Path
from random import Random

import click

from engines.real.kvm import IoctlSerial
from engines.simulated.engines import Serial
from fuzz.calibration import Calibration, Difference, drawn_sequence, smallest
from fuzz.campaign import text_of_record
from fuzz.cli import INTERRUPTED, MISMATCH, NOTHING_NEW, PATH, cli
from fuzz.progress import Progress
from fuzz.replay import ending_of
from fuzz.trial import Trial
from memslots.case import Case
from memslots.casefile import case_file
from memslots.errors import BadCase, BadInput
from memslots.expectation import Agreement, Expectation
from memslots.outcome import Change
from memslots.textwriter import text_of
from oracles.policy import Policy

RUNS_AGAIN = 3
"""How often a difference is tried again before it is reported."""


@cli.command()
@click.option("--ops", type=click.IntRange(min=1), help="Stop after so many requests.")
@click.option("--time", "seconds", type=click.FloatRange(min=0), help="Seconds.  [default: 60, unless --ops is given]")
@click.option("--seed", type=click.IntRange(min=0), help="Makes the sequences repeat exactly.  [default: drawn]")
@click.option("--out", type=PATH, default=Path("findings/calibration"), show_default=True, help="For differences.")
def calibrate(ops: int | None, seconds: float | None, seed: int | None, out: Path) -> int:
    """Compare the serial reference with the kernel that runs here, request by request.

    Random sequences, many of them at the limits of a field; after each request the errno and all slots are compared.
    """
    if seconds is not None and not math.isfinite(seconds):
        raise click.UsageError("--time: expected a number of seconds")
    if ops is None and seconds is None:
        seconds = 60.0
    drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    calibration = Calibration()
    found: dict[str, Path] = {}
    seen: Counter[str] = Counter()
    interrupted = False
    deadline = None if seconds is None else time.monotonic() + seconds
    rng = Random(drawn)
    begin = time.monotonic()
    try:
        with Progress("calibrate", kernel=calibration.host.release, seed=drawn) as progress:
            while not _done(calibration, ops, deadline):
                difference = calibration.compare(drawn_sequence(rng, calibration.host.machine))
                if difference is not None:
                    seen[difference.kind] += 1
                    if difference.kind not in found:
                        found[difference.kind] = kept_in(out, calibration, difference)
                        progress.news("difference", kind=difference.kind, file=str(found[difference.kind]))
                rate = calibration.ops / max(progress.seconds, 0.1)
                progress.tick(
                    f"{progress.seconds:5.0f} s   {calibration.ops:,} requests   {rate:,.0f} a second"
                    f"   {seen.total()} differences",
                    ops=calibration.ops,
                    differences=seen.total(),
                )
    except KeyboardInterrupt:
        interrupted = True
    finally:
        calibration.close()
    took = time.monotonic() - begin
    for line in summary(calibration, took, drawn, interrupted):
        click.echo(line)
    for kind, path in found.items():
        click.echo(f"\n{kind}: {seen[kind]:,} times; the smallest that shows it, {path}:")
        click.echo(path.read_text(), nl=False)
    return INTERRUPTED if interrupted else MISMATCH if found else NOTHING_NEW


def _done(calibration: Calibration, ops: int | None, deadline: float | None) -> bool:
    return (ops is not None and calibration.ops >= ops) or (deadline is not None and time.monotonic() >= deadline)


def summary(calibration: Calibration, seconds: float, seed: int, interrupted: bool) -> Iterator[str]:
    """Lines of text: what was compared, and how often each change got each answer, so that an idle draw is seen."""
    host = calibration.host
    numbers = ", ".join(f"{name}={value:#x}" for name, value in host.machine.numbers().items())
    yield f"Linux {host.release}: {numbers}; slots read by {'REGION2' if host.region2 else 'the plain ioctl, undone'}"
    changes = [change for change in Change if any(asked is change for asked, _ in calibration.counts)]
    errnos = sorted({errno for _, errno in calibration.counts})
    if changes:
        yield f"{'':8}" + "".join(f"{change.name:>12}" for change in changes)
    for errno in errnos:
        cells = "".join(f"{calibration.counts[change, errno]:12,}" for change in changes)
        yield f"{errorcode.get(errno, str(errno)) if errno else 'ok':8}{cells}"
    yield (
        f"{calibration.ops:,} requests in {seconds:.0f} s, seed {seed}: errno and all slots after each;"
        f" {calibration.left_out:,} left out, for they could have made the kernel allocate too much"
        + (", interrupted" if interrupted else "")
    )


def kept_in(out: Path, calibration: Calibration, difference: Difference) -> Path:
    """The file with the smallest form of a difference, and how often it showed again."""
    small = smallest(calibration, difference)
    again = [calibration.compare(small.regions, counted=False) for _ in range(RUNS_AGAIN)]
    times = sum(found is not None and found.kind == small.kind for found in again)
    comment = f"{small.kind}\nLinux {calibration.host.release}; shown again in {times} of {RUNS_AGAIN} runs."
    text = _text(calibration, small, comment)
    path = out / f"{sha256(text.encode()).hexdigest()[:16]}.slots"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}: expected a file to keep a difference in") from None
    return path


def _text(calibration: Calibration, small: Difference, comment: str) -> str:
    """The case file: what was accepted is given and the last request is the list, if the two engines part there too."""
    machine = calibration.host.machine
    answers = Serial(keep_going=True).apply(Case(small.regions[:-1], machine=machine)).entry_errnos or ()
    given = tuple(region for region, errno in zip(small.regions, answers, strict=False) if not errno)
    trial = Trial(Serial(), IoctlSerial(), Policy.PREFIX)
    with suppress(BadCase):
        case = Case(small.regions[-1:], given, machine)
        findings = trial.verdict(case).findings
        if findings:
            return text_of_record(trial, case, findings[0].bucket, comment)
    # What is refused on the way matters, too, or `serial` is not the model that errs.
    case = Case(small.regions, machine=machine)
    expected: list[Expectation] = [ending_of("serial", Serial().apply(case)), Agreement("kvm")]
    return text_of(case_file(case, expected, comment=f"{comment}\nEach entry is a request of its own."))
