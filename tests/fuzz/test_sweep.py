# SPDX-License-Identifier: GPL-2.0-only
"""An enumeration in one process: what it finds and says, and that it may be stopped at any list."""

from dataclasses import replace
from pathlib import Path

from engines.protocol import Engine
from engines.simulated.engines import RfcV1, Serial
from fuzz.enumerated import case_at, first_lists, statement
from fuzz.enumeration import Enumeration
from fuzz.ledger import Ledger, Place
from fuzz.scope import Scope
from fuzz.sweep import Sweep
from fuzz.trial import Trial
from memslots.case import Case
from memslots.casefile import case_file
from memslots.errors import Unfit
from memslots.outcome import Outcome
from memslots.textwriter import text_of
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES
from tests.fuzz.enumerations import SCOPE, settings

QUICK = Trial(Serial(), RfcV1(aftermath=False))


class Planted:
    """A list ioctl that is serial's, but for one bug: it forgets to log dirty pages of every entry but the first."""

    name = "planted"
    shows = RfcV1.shows

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        first, rest = case.apply[:1], case.apply[1:]
        forgetful = tuple(region._replace(flags=region.flags & ~KVM_MEM_LOG_DIRTY_PAGES) for region in rest)
        outcome = Serial().apply(replace(case, apply=first + forgetful), record=record)
        if outcome.value:
            # All or nothing.
            outcome = (
                Serial().apply(replace(case, apply=()))._replace(value=-1, errno=outcome.errno, mishaps=outcome.mishaps)
            )
        return outcome._replace(entry_errnos=None, at_first_refusal=None)


class Choosy(Planted):
    """One that cannot be given lists of two entries."""

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        if len(case.apply) == 2:
            raise Unfit("two entries")
        return super().apply(case, record=record)


def swept(folder: Path, engine: Engine, scope: Scope, *, stop_after: int | None = None) -> tuple[Ledger, Enumeration]:
    """The ledger of a run of one process, stopped once it has written so many times."""
    enumeration = Enumeration(scope)
    ledger = Ledger(folder, settings(scope, engine.name), enumeration.total)
    ledger.take_over("run")
    sweep = Sweep(Trial(Serial(), engine), enumeration, ledger, "run", 1e9 if stop_after is None else 0)
    asked = iter(range(1, 1 << 30))
    sweep.go(lambda: stop_after is not None and next(asked) >= stop_after)
    return ledger, enumeration


def test_a_planted_bug_is_found_and_its_first_list_is_named(tmp_path: Path) -> None:
    engine = Planted()
    ledger, enumeration = swept(tmp_path, engine, Scope(entries=2, gfns=2, invalidate=(0,)))
    trial = Trial(Serial(), engine)
    rows = first_lists(ledger, enumeration, trial, set())
    assert text_of(case_file(rows[0].case)) == (
        "slots 1\n"
        "apply slot=0 gpa=0x0 size=0x1000 hva=0x0\n"
        "apply slot=0 gpa=0x0 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES\n"
    )
    assert rows[0].changes == "CREATE 0, FLAGS_ONLY 0"
    assert rows[0].bucket == "final_slots ok ok nowhere"
    # Held against all cases, one by one.
    expected: dict[str, list[int]] = {}
    mismatches = 0
    for number, case in enumerate(enumeration.cases(0, enumeration.total)):
        found = {finding.bucket for finding in trial.verdict(case).findings}
        mismatches += bool(found)
        for bucket in found:
            expected.setdefault(bucket, []).append(number)
    assert {row.bucket: (row.seen, row.number) for row in rows} == {
        bucket: (len(numbers), numbers[0]) for bucket, numbers in expected.items()
    }
    assert ledger.tally().mismatches == mismatches
    assert f"{mismatches:,} mismatch, in {len(rows)} buckets" in statement(ledger, enumeration, settings(), None)


def test_an_engine_that_agrees_gets_a_statement_to_quote(tmp_path: Path) -> None:
    scope = Scope(entries=1, slots=2, gfns=2, flags=(0,))
    ledger, enumeration = swept(tmp_path, Planted(), scope)
    assert first_lists(ledger, enumeration, QUICK, set()) == []
    assert statement(ledger, enumeration, settings(scope, "planted"), None) == (
        "planted against serial, policy atomic: all 153 lists of up to 1 entry over 2 slots and 2 gfns, userspace_addr"
        " the slot's own wherever it lies, flagged and not, from all 9 given states (66 tried, one of those that differ"
        " by names and places alone): 0 mismatches"
    )


def test_lists_that_an_engine_cannot_be_given_are_told_and_prove_nothing(tmp_path: Path) -> None:
    ledger, enumeration = swept(tmp_path, Choosy(), SCOPE)
    left_out = sum(len(case.apply) == 2 for case in enumeration.cases(0, enumeration.total))
    tally = ledger.tally()
    assert (tally.unfit, tally.trials) == (left_out, enumeration.total - left_out)
    said = statement(ledger, enumeration, settings(engine="choosy"), None)
    assert said.startswith(
        "choosy against serial, policy atomic: those that choosy can be given of all 17,073 lists of "
    )
    assert said.endswith(
        f" ({tally.trials:,} tried, one of those that differ by names and places alone; {left_out:,} left out):"
        " 0 mismatches"
    )


class Faultless(Planted):
    """One whose allocations cannot be made to fail."""

    def apply(self, case: Case, *, record: bool = False) -> Outcome:
        if dict(case.faults).keys() & {"slot", "invalid"}:
            raise Unfit("its allocations are its own")
        return super().apply(case, record=record)


def test_failures_that_an_engine_cannot_be_asked_for_are_told_apart_from_lists(tmp_path: Path) -> None:
    scope = Scope(entries=1, slots=1, gfns=1, flags=(0,), invalidate=(0,), faults=True)
    ledger, enumeration = swept(tmp_path, Faultless(), scope)
    tally = ledger.tally()
    assert (tally.unfit, tally.unfit_failures) == (0, 2 * enumeration.total)
    said = statement(ledger, enumeration, settings(scope, "faultless"), None)
    assert "faultless can be given" not in said, "every list was"
    assert f" ({enumeration.total} tried, one of " in said
    assert f", in {tally.trials} trials; {tally.unfit_failures} failures left out): " in said


def test_a_run_that_is_stopped_again_and_again_comes_to_the_same(tmp_path: Path) -> None:
    scope = Scope(entries=1, gfns=2)
    whole, enumeration = swept(tmp_path / "whole", RfcV1(aftermath=False), scope)
    done = -1
    while True:
        ledger, _ = swept(tmp_path / "stopped", RfcV1(aftermath=False), scope, stop_after=100)
        assert ledger.done() > done, "a run that goes on nowhere would go on for ever"
        done = ledger.done()
        if done == enumeration.total:
            break
        assert "rfc-v1 against serial, policy atomic: not yet all 609 lists" in statement(
            ledger, enumeration, settings(), None
        )
        ledger.close()
    assert ledger.tally() == whole.tally()
    assert ledger.tally().seen


def test_who_is_told_to_stop_stops_after_a_short_stretch(tmp_path: Path) -> None:
    scope = Scope(entries=1, gfns=3)
    enumeration = Enumeration(scope)
    ledger = Ledger(tmp_path, settings(scope), enumeration.total)
    ledger.take_over("run")
    Sweep(QUICK, enumeration, ledger, "run", 1e9).go(lambda: True)
    assert 0 < ledger.done() < enumeration.total


def test_faults_are_tried_as_long_as_the_engine_meets_them(tmp_path: Path) -> None:
    scope = Scope(entries=1, slots=1, gfns=1, faults=True)
    ledger, enumeration = swept(tmp_path, RfcV1(), scope)
    tally = ledger.tally()
    expected: dict[str, Place] = {}
    trials = 0
    for number, case in enumerate(enumeration.cases(0, enumeration.total)):
        step = 0
        # More than any of them can meet: nothing is met behind what is not.
        singles = [(kind, n) for kind in ("copy", "array", "slot", "invalid", "bitmap", "prepare") for n in range(9)]
        for fault in [None, *singles]:
            verdict = QUICK.verdict(case if fault is None else replace(case, faults=(fault,)))
            if fault is not None:
                if not verdict.outcome.failed:
                    continue
                step += 1
            trials += 1
            for finding in verdict.findings:
                expected.setdefault(finding.bucket, Place(number, step, *(fault or ())))
    assert tally.trials == trials
    assert {bucket: sighting.first for bucket, sighting in tally.seen.items()} == expected
    assert any(place.kind for place in expected.values())
    for place in expected.values():
        assert case_at(enumeration, place).faults == (((place.kind, place.n),) if place.kind else ())
