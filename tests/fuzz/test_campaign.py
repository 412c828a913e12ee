# SPDX-License-Identifier: GPL-2.0-only
"""A campaign: what it keeps, what it counts, how it ends, and what is left when it is killed."""

import subprocess
from pathlib import Path
from random import Random

import pytest

from engines.simulated.engines import RfcV1, Serial
from fuzz.campaign import Campaign, MismatchFound, shows
from fuzz.choices import drawn_choices
from fuzz.findings import DATABASE, Findings, settings_of
from fuzz.grammar import case_of
from fuzz.record import buckets_on_record
from fuzz.replay import surprises
from fuzz.signature import changes_of, short_name, signature_of
from fuzz.statistics import counted
from fuzz.trial import Trial, Verdict
from memslots.case import Case
from memslots.errors import BadInput
from memslots.outcome import Change
from memslots.textreader import parse_case, read_case
from oracles.policy import Policy
from reducers.reduce import reduced
from tests.fuzz.campaigns import SAMESLOTS, fuzz, opened

TRIAL = Trial(Serial(), RfcV1())
SETTINGS = {"engine": "rfc-v1", "reference": "serial", "policy": "atomic"}

FLAGGED_CREATE = "apply slot=5 gpa=0x7000 size=0x3000 hva=0x100000000000 invalidate"
FLAGGED_NO_OP = """\
given slot=3 gpa=0x7000 size=0x3000 hva=0x100000000000
apply slot=3 gpa=0x7000 size=0x3000 hva=0x100000000000 invalidate"""
SOUND = "apply slot=5 gpa=0x7000 size=0x3000 hva=0x100000000000"


def case(text: str) -> Case:
    return parse_case(["slots 1", *text.splitlines()]).case


def campaign(folder: Path, *, raises: bool = False) -> Campaign:
    return Campaign(TRIAL, Findings(folder, SETTINGS), "random", raises=raises)


def test_each_bucket_is_counted_and_kept_once_and_the_campaign_goes_on(tmp_path: Path) -> None:
    running = campaign(tmp_path)
    for text in (FLAGGED_CREATE, SOUND, FLAGGED_NO_OP, FLAGGED_CREATE, FLAGGED_CREATE):
        running.observe(case(text))
    running.flush()
    findings = opened(tmp_path)
    assert findings.trials() == running.trials == 5
    seen = {sighting.bucket: (sighting.seen, sighting.first_trial) for sighting in findings.sightings()}
    assert seen == {"survival ok hung P1 CREATE lock": (3, 1), "error_codes ok returned-1 P1 NO_OP refuse": (1, 3)}
    assert len(findings.records()) == 2
    assert len(list(tmp_path.glob("*.slots"))) == 2


def test_what_is_kept_is_minimal_and_comes_out_as_it_says(tmp_path: Path) -> None:
    running = campaign(tmp_path)
    running.observe(case(FLAGGED_CREATE))
    [path] = tmp_path.glob("*.slots")
    assert path.read_text() == (
        "slots 1\n"
        "# survival ok hung P1 CREATE lock\n"
        "# P1 prepares a CREATE that is flagged by mistake and goes on with slots_arch_lock held: the call itself waits"
        " for it for ever.\n"
        "apply slot=0 gpa=0x0 size=0x1000 hva=0x0 invalidate\n"
        "expect serial ok\n"
        "expect rfc-v1 hung\n"
        "expect rfc-v1 survival ok hung P1 CREATE lock\n"
    )
    assert list(surprises(path, read_case(path), "serial", Policy.ATOMIC)) == []
    [record] = opened(tmp_path).records()
    assert (record.before, record.after, record.changes) == (1, 1, "CREATE! 0")


@pytest.mark.parametrize(
    "text",
    [
        f"{SOUND} invalidate\nfault array=2",  # rfc-v1 alone has arrays
        "apply slot=0 gpa=0x0 size=0x1000 hva=0x0\n" * 3 + "fault array=1",
        "apply slot=0 gpa=0x0 size=0x1000 hva=0x0\n" * 3 + "fault copy=2",  # serial alone copies a third time
    ],
    ids=str,
)
def test_a_record_with_a_failure_that_one_alone_meets_says_what_each_does(tmp_path: Path, text: str) -> None:
    running = campaign(tmp_path)
    running.observe(case(text))
    paths = list(tmp_path.glob("*.slots"))
    assert paths
    for path in paths:
        assert list(surprises(path, read_case(path), "serial", Policy.ATOMIC)) == []


def test_every_record_of_many_trials_replays(tmp_path: Path) -> None:
    running = campaign(tmp_path)
    rng = Random(11)
    for _ in range(600):
        running.observe(case_of(drawn_choices(rng)))
    paths = sorted(tmp_path.glob("*.slots"))
    assert len(paths) > 60
    for path in paths:
        assert list(surprises(path, read_case(path), "serial", Policy.ATOMIC)) == []
    running.flush()
    buckets = {sighting.bucket for sighting in opened(tmp_path).sightings()}
    assert buckets == buckets_on_record("rfc-v1", [tmp_path]) & buckets
    assert {record.bucket for record in opened(tmp_path).records()} == buckets


def test_a_mismatch_raises_where_that_is_asked_for_and_is_kept_first(tmp_path: Path) -> None:
    running = campaign(tmp_path, raises=True)
    running.observe(case(SOUND))
    with pytest.raises(MismatchFound, match="survival ok hung"):
        running.observe(case(FLAGGED_CREATE))
    assert len(opened(tmp_path).records()) == 1


SEVERAL_BUCKETS = """\
given slot=0 gpa=0x0 size=0x1000 hva=0x0
given slot=1 gpa=0x1000 size=0x1000 hva=0x1000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x2000 hva=0x0"""


def test_every_bucket_of_a_case_is_counted_and_reduced(tmp_path: Path) -> None:
    """One cause, several findings: what hides behind another today may have a cause of its own tomorrow."""
    several = case(SEVERAL_BUCKETS)
    running = campaign(tmp_path)
    running.observe(several)
    running.flush()
    expected = {finding.bucket for finding in TRIAL.verdict(several).findings}
    assert len(expected) == 4
    assert {sighting.bucket for sighting in opened(tmp_path).sightings()} == expected
    assert {record.bucket for record in opened(tmp_path).records()} == expected


def test_reductions_try_no_list_twice_and_keep_what_each_alone_would_keep(tmp_path: Path) -> None:
    several = case(SEVERAL_BUCKETS)
    tried: list[Case] = []

    class Counting(Trial):
        def verdict(self, case: Case) -> Verdict:
            tried.append(case)
            return super().verdict(case)

    running = Campaign(Counting(Serial(), RfcV1()), Findings(tmp_path, SETTINGS), "random", whole=TRIAL)
    running.observe(several)
    records = opened(tmp_path).records()
    assert len(tried) == 1 + len(set(tried[1:]))
    assert len(tried) < sum(record.calls for record in records)
    for record in records:
        alone = reduced(several, shows(TRIAL, record.bucket))
        assert (signature_of(record.bucket, alone.case), alone.calls) == (record.signature, record.calls)
        assert read_case(tmp_path / f"{record.name}.slots").case == alone.case


def test_a_folder_goes_on_with_its_own_campaign_only(tmp_path: Path) -> None:
    running = campaign(tmp_path)
    running.observe(case(FLAGGED_CREATE))
    running.flush()
    again = campaign(tmp_path)
    again.observe(case(FLAGGED_CREATE))
    again.flush()
    [sighting] = opened(tmp_path).sightings()
    assert (sighting.seen, sighting.first_trial) == (2, 1)
    assert len(opened(tmp_path).records()) == 1
    with pytest.raises(BadInput, match="policy=atomic, expected policy=prefix"):
        Findings(tmp_path, {**SETTINGS, "policy": "prefix"})


def test_a_file_that_is_no_database_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_text("this is no database, and long enough to be told apart from an empty one" * 20)
    with pytest.raises(BadInput, match="expected a folder to keep findings in"):
        Findings(tmp_path, SETTINGS)
    with pytest.raises(BadInput, match="expected the database of a campaign"):
        settings_of(tmp_path)


def test_signatures_tell_changes_apart_and_names_do_not_clash() -> None:
    one, other = case(FLAGGED_CREATE), case(FLAGGED_NO_OP)
    assert changes_of(one) == ("CREATE! 0",)
    assert changes_of(other) == ("NO_OP! 0",)
    assert changes_of(case(["apply slot=9 size=0", "list nent=4294967295"][0])) == ("DELETE 0 EINVAL",)
    assert short_name(signature_of("a b", one)) != short_name(signature_of("a b", other))
    assert changes_of(case("list nent=4294967295\napply slot=0 size=0")) == ("DELETE 0 EINVAL", "nent=4294967295")
    assert len(changes_of(case("apply slot=0 size=0\n" * 100))) == 64


def test_what_is_no_case_shows_nothing() -> None:
    refused = case("given slot=0 size=0\napply slot=0 size=0")
    assert not shows(TRIAL, "any")(refused)


# -- as a user runs it --------------------------------------------------------------------------------------------


def test_the_random_backend_repeats_exactly(tmp_path: Path) -> None:
    def once(name: str) -> tuple[list[str], list[tuple[str, int, int]]]:
        result = fuzz("--backend", "random", "--seed", "5", "--runs", "1500", "--out", name, cwd=tmp_path)
        assert result.returncode == 1, result.stderr
        findings = opened(tmp_path / name)
        files = sorted(path.name + path.read_text() for path in (tmp_path / name).glob("*.slots"))
        return files, [(s.bucket, s.seen, s.first_trial) for s in findings.sightings()]

    assert once("one") == once("two")


def test_a_campaign_ends_with_its_table_and_knows_what_is_on_record(tmp_path: Path) -> None:
    first = fuzz("--backend", "random", "--seed", "5", "--runs", "800", "--out", "one", cwd=tmp_path)
    assert first.returncode == 1
    assert "minimal list (! flagged)" in first.stdout
    assert "survival ok hung P1 CREATE lock" in first.stdout
    assert first.stdout.splitlines()[-1].startswith("800 trials")
    assert "event=campaign" in first.stderr
    assert "Traceback" not in first.stderr
    known = fuzz("--backend", "random", "--seed", "5", "--runs", "800", "--out", "two", "--record", "one", cwd=tmp_path)
    assert known.returncode == 0, known.stdout
    assert "NEW" not in known.stdout
    assert ", 0 not on record" in known.stdout


def test_stats_print_what_the_grammar_makes(tmp_path: Path) -> None:
    result = fuzz("--stats", "--runs", "200", "--seed", "1", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("200 cases, seed 1;")
    assert "%  CREATE" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_stats_count_changes_that_are_some() -> None:
    counters = counted(Trial(Serial(), RfcV1()), 1, 500)
    assert counters["the case"]["nent long"] > 0
    assert {name.rstrip("!") for name in counters["changes"]} <= {change.name for change in Change}


def test_stats_count_what_an_engine_cannot_be_given(tmp_path: Path) -> None:
    result = fuzz("--stats", "--engine", "qemu-commit", "--runs", "200", "--seed", "1", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    _, *how = next(part for part in result.stdout.split("\n\n") if part.startswith("engine ended:")).splitlines()
    shares = {name: float(share[:-1]) for share, name in (line.split(maxsplit=1) for line in how)}
    assert 10 < shares["not given: unfit"] < 90
    assert sum(shares.values()) == pytest.approx(100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--record", "nowhere"], "nowhere"),
        (["--seeds", "nowhere"], "nowhere"),
        (["--out", "/dev/null/x"], "sameslots: /dev/null/x: Not a directory: expected a folder to keep findings in\n"),
        (["--time", "-1"], "--time"),
        (["--backend", "magic"], "--backend"),
    ],
    ids=str,
)
def test_bad_usage_is_said_at_once(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = fuzz("--runs", "10", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_reduce_writes_the_minimal_case(tmp_path: Path) -> None:
    path = tmp_path / "big.slots"
    path.write_text(f"slots 1\n{FLAGGED_NO_OP}\napply slot=9 gpa=0x90000 size=0x1000 hva=0x0\n")
    result = subprocess.run(
        [SAMESLOTS, "reduce", path, "--out", tmp_path / "small.slots"], capture_output=True, text=True, check=True
    )
    assert result.stderr == "3 entries -> 2, " + result.stderr.partition(", ")[2]
    small = read_case(tmp_path / "small.slots")
    assert len(small.case.apply) == 1
    assert list(surprises(path, small, "serial", Policy.ATOMIC)) == []


def test_reduce_keeps_the_bucket_asked_for_or_says_which_there_are(tmp_path: Path) -> None:
    path = tmp_path / "two.slots"
    path.write_text("slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0 invalidate\napply slot=32764 size=0\n")
    kept = "balance slots_lock-held EINVAL EINVAL P1 UNKNOWN refuse"
    command = [str(SAMESLOTS), "reduce", str(path), "--bucket"]
    good = subprocess.run([*command, kept], capture_output=True, text=True, check=False)
    assert good.returncode == 0
    assert f"expect rfc-v1 {kept}\n" in good.stdout
    assert "invalidate" not in good.stdout
    bad = subprocess.run([*command, "no such"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert kept in bad.stderr
