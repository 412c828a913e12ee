# SPDX-License-Identifier: GPL-2.0-only
"""The record: minimal, in normal form, with a true reason, and a list for each way in which the RFC goes wrong."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from engines.simulated.engines import RfcV1, Serial, SerialRfcV1
from fuzz.campaign import shows, text_of_record
from fuzz.replay import surprises
from fuzz.trial import Trial
from memslots.case import Case
from memslots.casefile import CaseFile
from memslots.expectation import Agreement, Ending, MismatchExpected
from memslots.region import Region
from memslots.textreader import read_case
from memslots.textwriter import text_of
from oracles.policy import Policy
from reducers.measure import measure
from reducers.minimal import one_step_smaller
from reducers.reduce import reduced

CORPUS = Path(__file__).parent.parent / "corpus"
RECORDS = sorted((CORPUS / "mismatches").glob("*.slots"))
SEEDS = sorted((CORPUS / "seeds").rglob("*.slots"))
TRIALS = {engine.name: Trial(Serial(), engine) for engine in (RfcV1(), SerialRfcV1())}

MECHANISMS = {
    "c.3 entries larger than INT_MAX bytes (X2)": "invariants warned EINVAL ENOMEM UNKNOWN warn",
    "c.3 batch array NULL, tested with IS_ERR": "survival EINVAL crashed-null-dereference UNKNOWN unnoticed",
    "c.3 as_to_swap out of bounds": "balance out-of-bounds EINVAL EINVAL P2 UNKNOWN damage",
    "c.3 two entries on one slot, DELETE": "invariants corrupt ok corrupt P2 DELETE stray",
    "c.3 two entries on one slot, MOVE": "invariants corrupt ok corrupt P2 MOVE stray",
    "c.4 unflagged no-op": "survival ok crashed-null-dereference P3 NO_OP crashed",
    "c.4 unflagged DELETE among others": "invariants corrupt ok corrupt P2 DELETE early-publish",
    "c.4 unflagged MOVE among others": "invariants corrupt ok corrupt P2 MOVE early-publish",
    "c.5 MOVE tested for overlap in P1 alone": "invariants overlap EEXIST ok MOVE refuse",
    "c.5 MOVE onto the base of a CREATE": "survival EEXIST crashed-bug P2 MOVE crashed",
    "c.5 MOVE refused for a slot that is deleted before it": "error_codes ok EEXIST P1 MOVE refuse",
    "c.5 pages counted in P3 alone": "invariants warned ok EIO P2 DELETE warn",
    "X3 bad id, slots_lock held": "balance slots_lock-held EINVAL EINVAL P1 UNKNOWN refuse",
    "X4 check in P1": "invariants left-invalid EINVAL EINVAL P1 DELETE refuse",
    "X5 flagged no-op": "error_codes ok returned-1 P1 NO_OP refuse",
    "X6 prepare in P1": "invariants left-invalid EINVAL EINVAL P1 CREATE refuse",
    "X7 flagged CREATE, hung": "survival ok hung P1 CREATE lock",
    "X7 flagged FLAGS_ONLY, hung": "survival ok hung P1 FLAGS_ONLY lock",
    "X7 returned with slots_arch_lock held": "balance slots_arch_lock-held EINVAL EINVAL P1 CREATE lock",
    "X8 check in P2": "invariants sets-differ EEXIST EEXIST P2 CREATE refuse",
    "X9 prepare in P2, CREATE": "balance leaked EINVAL EINVAL P2 CREATE refuse",
    "X10 prepare in P2, unflagged MOVE": "balance dangling EINVAL EINVAL P2 MOVE refuse",
    "X11 prepare in P2, flagged MOVE": "survival EINVAL crashed-bug P2 MOVE crashed",
    "c.1 patch 5, kfree(new) gone": "balance leaked EINVAL EINVAL CREATE refuse",
    "c.1 patch 7, rollback not adapted": "balance dangling EINVAL EINVAL MOVE refuse",
    "c.3 P1 publishes each invalidation": "visibility invalid-windows ok ok P1 UNKNOWN another-window",
    "c.3 P2 publishes half a list": "visibility outside ok crashed-bug P2 MOVE early-publish",
}
"""Each mechanism of the description of the posted code that a list can show, and a bucket that shows it.

X1, a header that cannot be copied, changes nothing and answers as the single ioctl does: there is no mismatch.
"""


def trial_of(file: CaseFile) -> Trial:
    """The trial that a record speaks of: of the one engine that it names beside the reference."""
    [name] = {expectation.engine for expectation in file.expectations} - {"serial"}
    return TRIALS[name]


def test_there_are_records_and_seeds() -> None:
    assert len(RECORDS) > 100
    assert len(SEEDS) > 40


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_minimal_in_normal_form_and_its_reason_true(path: Path) -> None:
    file = read_case(path)
    bucket, reason = file.comment.splitlines()
    trial = trial_of(file)
    holds = shows(trial, bucket)
    assert holds(file.case)
    assert path.stem.startswith("-".join(bucket.lower().split()))
    for smaller in one_step_smaller(file.case):
        assert measure(smaller) >= measure(file.case) or not holds(smaller)
    assert reduced(file.case, holds).case == file.case
    # Everything that a campaign would write of it today, the reason read off the events included.
    assert text_of_record(trial, file.case, bucket) == text_of(file) == path.read_text()
    assert reason.endswith(".")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_the_one_form_of_all_its_namings(path: Path) -> None:
    file = read_case(path)
    bucket = file.comment.splitlines()[0]
    holds = shows(trial_of(file), bucket)
    rng = Random(path.stem)
    for _ in range(3):
        other = renamed(file.case, rng)
        if holds(other):
            assert reduced(other, holds).case == file.case


def renamed(case: Case, rng: Random) -> Case:
    """The case with other ids, moved in both address spaces of addresses, and given in another order."""
    ids = sorted({r.id for r in case.given + case.apply if r.id < case.machine.user_slots})
    fresh = dict(zip(ids, rng.sample(range(2000), len(ids)), strict=True)) if case.nent is None else {}
    top = max((r.guest_phys_addr + r.memory_size for r in case.given + case.apply), default=0)
    shift = rng.randrange(64) * case.machine.page_size if top < 1 << 30 else 0

    def other(region: Region) -> Region:
        slot = region.as_id << 16 | fresh.get(region.id, region.id)
        if not region.memory_size:
            return region._replace(slot=slot)
        place, memory = region.guest_phys_addr + shift, region.userspace_addr + 8 * shift
        return region._replace(slot=slot, guest_phys_addr=place, userspace_addr=memory)

    given = rng.sample(case.given, len(case.given))
    return replace(case, given=tuple(map(other, given)), apply=tuple(map(other, case.apply)))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_of_the_posted_code_is_on_record(mechanism: str) -> None:
    on_record = {
        expectation.bucket
        for path in RECORDS
        for expectation in read_case(path).expectations
        if isinstance(expectation, MismatchExpected)
    }
    assert MECHANISMS[mechanism] in on_record


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_is_canonical_and_says_what_both_engines_make_of_it(path: Path) -> None:
    file = read_case(path)
    assert text_of(file) == path.read_text()
    assert len(file.comment.splitlines()) >= 2
    ended = {expectation.engine for expectation in file.expectations if isinstance(expectation, Ending)}
    assert ended == {"serial", "rfc-v1"}
    judged = [e for e in file.expectations if isinstance(e, (Agreement, MismatchExpected)) and e.engine == "rfc-v1"]
    assert judged
    assert list(surprises(path, file, "serial", Policy.ATOMIC)) == []


def test_every_scenario_has_seeds() -> None:
    scenarios = {path.stem.split("-")[0] for path in SEEDS}
    assert scenarios >= {f"f{number:02}" for number in range(1, 17)}
