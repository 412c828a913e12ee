# SPDX-License-Identifier: GPL-2.0-only
"""An enumeration as it runs: its ledger, its statement, how it is split, interrupted, killed and resumed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engines.protocol import Engine
from engines.real.host import Host
from engines.simulated.engines import RfcV1, Serial
from fuzz.enumerate_command import processes
from fuzz.enumerated import case_at, first_lists, statement
from fuzz.enumeration import Enumeration
from fuzz.ledger import DATABASE, Ledger, Place, Sighting, Tally, settings_of
from fuzz.replay import surprises
from fuzz.scope import Scope
from fuzz.source import source
from fuzz.sweep import Sweep
from fuzz.trial import Trial
from memslots.case import Case
from memslots.casefile import case_file
from memslots.errors import BadInput, Unfit
from memslots.outcome import Outcome
from memslots.textreader import read_case
from memslots.textwriter import text_of
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES
from oracles.policy import Policy

SAMESLOTS = Path(sys.executable).parent / "sameslots"
SCOPE = Scope(entries=2, gfns=2)
QUICK = Trial(Serial(), RfcV1(aftermath=False))


def settings(scope: Scope = SCOPE, engine: str = "rfc-v1") -> dict[str, str]:
    return {
        "engine": engine,
        "reference": "serial",
        "policy": "atomic",
        "source": source(),
        **scope.settings(),
    }


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


def test_of_a_list_that_an_engine_cannot_be_given_a_statement_says_nothing(tmp_path: Path) -> None:
    result = enumerated("--engine", "qemu-commit", "--entries", "1", "--gfns", "2", "--jobs", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == (
        "qemu-commit against serial, policy prefix: those that qemu-commit can be given of all 315 lists of up to 1"
        " entry over 2 slots and 2 gfns, with flags 0 or LOG_DIRTY_PAGES, userspace_addr the slot's own wherever it"
        " lies, from all 21 given states (57 tried, one of those that differ by names and places alone; 85 left out): 0"
        " mismatches"
    )


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


# -- the ledger -----------------------------------------------------------------------------------------------------


def tallied(*sightings: Sighting) -> Tally:
    return Tally(trials=len(sightings), mismatches=len(sightings), seen={each.bucket: each for each in sightings})


def test_the_first_place_is_kept_whoever_writes_it_first(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, settings(), 2000)
    ledger.take_over("run")
    late, early = ledger.claim("run"), ledger.claim("run")
    assert late is not None
    assert early is not None
    ledger.add("run", early._replace(next=600), tallied(Sighting("b", 3, Place(599)), Sighting("c", 1, Place(510))))
    ledger.add("run", late._replace(next=9), tallied(Sighting("b", 2, Place(7, 2, "copy", 1))))
    ledger.add("run", late._replace(next=12), tallied(Sighting("b", 2, Place(11))))
    assert list(ledger.tally().seen.values()) == [
        Sighting("b", 7, Place(7, 2, "copy", 1)),
        Sighting("c", 1, Place(510)),
    ]
    assert ledger.done() == 112


def test_every_number_is_claimed_once(tmp_path: Path) -> None:
    for total in (0, 1, 500, 501, 1000, 999_999):
        ledger = Ledger(tmp_path / str(total), settings(), total)
        ledger.take_over("run")
        claimed = []
        while (stretch := ledger.claim("run")) is not None:
            claimed.append((stretch.next, stretch.until))
        assert [begin for begin, _ in claimed] == [0, *(until for _, until in claimed)][: len(claimed)]
        assert (claimed[-1][1] if claimed else 0) == total


def test_a_run_that_was_taken_over_writes_nothing_more(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, settings(), 2000)
    ledger.take_over("first")
    stretch = ledger.claim("first")
    assert stretch is not None
    ledger.add("first", stretch._replace(next=10), Tally(trials=10))
    other = Ledger(tmp_path, settings(), 2000)
    other.take_over("second")
    with pytest.raises(BadInput, match="another enumeration has taken this folder over"):
        ledger.add("first", stretch._replace(next=20), Tally(trials=10))
    with pytest.raises(BadInput, match="another enumeration has taken this folder over"):
        ledger.claim("first")
    assert other.tally().trials == 10
    assert other.claim("second") == stretch._replace(next=10), "what the first had claimed goes on where it was"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (settings(replace(SCOPE, gfns=3)), "its enumeration has gfns=2, expected gfns=3"),
        (settings(replace(SCOPE, faults=True)), "its enumeration has faults=no, expected faults=yes"),
        (settings(engine="kvm-list"), "its enumeration has engine=rfc-v1, expected engine=kvm-list"),
        ({**settings(), "source": "0"}, f"its enumeration has source={source()}, expected source=0"),
        ({**settings(), "kernel": "6.1"}, "its enumeration has kernel=None, expected kernel=6.1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_folder_of_another_enumeration_is_refused_by_name(
    tmp_path: Path, other: dict[str, str], message: str
) -> None:
    Ledger(tmp_path, settings(), 10).close()
    with pytest.raises(BadInput, match=message):
        Ledger(tmp_path, other, 10)
    assert settings_of(tmp_path) == settings()


def test_what_is_no_ledger_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected the database of an enumeration"):
        settings_of(tmp_path)
    (tmp_path / DATABASE).write_text("this is no database, and long enough to be told apart from an empty one" * 20)
    for use in (lambda: Ledger(tmp_path, settings(), 10), lambda: settings_of(tmp_path)):
        with pytest.raises(BadInput, match=rf"/{DATABASE}: file is not a database: expected the database of an enum"):
            use()


def test_an_emptied_database_is_begun_anew_and_that_is_said(tmp_path: Path) -> None:
    small = ("--entries", "0", "--gfns", "1", "--jobs", "1", "--engine", "ideal", "--out", "out")
    first = enumerated(*small, cwd=tmp_path)
    assert "begins anew" not in first.stderr
    assert "begins anew" not in enumerated(*small, cwd=tmp_path).stderr
    (tmp_path / "out" / DATABASE).write_bytes(b"")
    again = enumerated(*small, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert again.stderr.startswith(
        "sameslots: out/enumeration.db: there was nothing in it: the enumeration begins anew\n"
    )


def test_a_folder_that_is_a_file_is_told_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, why in (("file", "File exists"), ("file/below", "Not a directory")):
        with pytest.raises(BadInput, match=f"/{folder}: {why}: expected a folder to keep an enumeration in$"):
            Ledger(tmp_path / folder, settings(), 10)


DAMAGES = {
    "DROP TABLE tally": "no such table: tally",
    "DROP TABLE allowance": "no such table: allowance",
    "DROP TABLE stretch": "no such table: stretch",
    "DELETE FROM stretch WHERE first = 500": "stretches of 1,500 lists where there are 2,000",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_told_when_it_is_opened(tmp_path: Path, damage: str) -> None:
    Ledger(tmp_path, settings(), 2000).close()
    harm(tmp_path, damage)
    with pytest.raises(BadInput, match=rf"/{DATABASE}: {DAMAGES[damage]}: expected the database of an enumeration"):
        Ledger(tmp_path, settings(), 2000)


def harm(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as database:
        database.execute(statement)


def test_a_database_that_is_damaged_under_way_is_bad_input_too(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, settings(), 2000)
    ledger.take_over("run")
    stretch = ledger.claim("run")
    assert stretch is not None
    for table in ("bucket", "stretch", "setting"):
        harm(tmp_path, f"DROP TABLE {table}")
    uses: list[Callable[[], object]] = [
        ledger.done,
        ledger.tally,
        lambda: ledger.take_over("other"),
        lambda: ledger.claim("run"),
        lambda: ledger.add("run", stretch, Tally()),
    ]
    for use in uses:
        with pytest.raises(BadInput, match=rf"/{DATABASE}: .*: expected the database of an enumeration"):
            use()


@pytest.mark.parametrize("table", ["tally", "bucket", "stretch", "setting", "allowance"])
def test_a_damaged_folder_is_one_line_and_bad_input(tmp_path: Path, table: str) -> None:
    small = ("--entries", "1", "--gfns", "1", "--jobs", "1", "--engine", "ideal", "--out", "out")
    assert enumerated(*small, cwd=tmp_path).returncode == 0
    harm(tmp_path / "out", f"DROP TABLE {table}")
    result = enumerated(*small, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"sameslots: out/enumeration.db: no such table: {table}: expected the database of an enumeration (without this"
        " file, or with another --out, it begins anew)\n"
    )


@pytest.mark.parametrize(
    ("asked", "cpus", "stretches", "started"),
    [(None, 2, 256, 2), (1, 2, 256, 1), (1000, 2, 256, 2), (None, 64, 3, 3), (2, 2, 1, 1), (3, 8, 256, 3)],
)
def test_no_process_is_started_that_would_have_nothing_to_do(
    asked: int | None, cpus: int, stretches: int, started: int
) -> None:
    assert processes(asked, cpus, stretches) == started


def test_stretches_that_are_claimed_are_left_until_they_are_done(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, settings(), 1001)
    ledger.take_over("run")
    stretch = ledger.claim("run")
    assert stretch is not None
    assert ledger.stretches_left() == 3
    ledger.add("run", stretch._replace(next=stretch.until), Tally())
    assert ledger.stretches_left() == 2


def test_a_thousand_jobs_are_a_worker_a_stretch_at_most(tmp_path: Path) -> None:
    result = enumerated("--entries", "1", "--gfns", "1", "--jobs", "1000", "--out", "out", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert [path.name for path in tmp_path.glob("out/worker-*.log")] == ["worker-0.log"]


# -- as a user runs it ----------------------------------------------------------------------------------------------

ARGUMENTS = ("--entries", "2", "--gfns", "2")
LONGER = ("--entries", "2", "--gfns", "4", "--flags", "0", "--jobs", "2")


def heed_ctrl_c() -> None:
    """Whoever runs the tests may ignore SIGINT, as a script does for what it puts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def enumerated(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SAMESLOTS, "enumerate", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


def started(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [SAMESLOTS, "enumerate", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - there are no threads
    )


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def under_way(folder: Path) -> bool:
    if not (folder / DATABASE).exists():
        return False
    try:
        return done_in(folder) > 0
    except BadInput:
        return False  # it is being made


def done_in(folder: Path) -> int:
    there = settings_of(folder)
    total = Enumeration(Scope.of_settings(there)).total
    ledger = Ledger(folder, there, total)
    try:
        return ledger.done()
    finally:
        ledger.close()


def workers_of(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"fuzz.enumerator" in words and str(folder).encode() in words:
            found.append(int(entry.parent.name))
    return found


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.slots")}


def test_one_process_and_two_come_to_the_same(tmp_path: Path) -> None:
    one = enumerated(*ARGUMENTS, "--jobs", "1", "--out", "one", cwd=tmp_path)
    two = enumerated(*ARGUMENTS, "--jobs", "2", "--out", "two", cwd=tmp_path)
    assert one.returncode == two.returncode == 1, one.stderr + two.stderr
    assert one.stdout == two.stdout
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert "survival ok hung P1 CREATE lock" in one.stdout
    assert one.stdout.splitlines()[-1].startswith("rfc-v1 against serial, policy atomic: all ")
    assert "event=enumerate" in one.stderr
    for path in (tmp_path / "one").glob("*.slots"):
        assert list(surprises(path, read_case(path), "serial", Policy.ATOMIC)) == []
    again = enumerated(*ARGUMENTS, "--record", "two", "--out", "one", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "NEW" not in again.stdout
    assert again.stdout.endswith(" buckets, 0 not on record\n")


def test_an_interrupted_run_ends_with_its_table_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    whole = enumerated(*LONGER, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 1, whole.stderr
    folder = tmp_path / "out"
    process = started(*LONGER, "--out", str(folder), cwd=tmp_path)
    wait_until(lambda: under_way(folder))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "its changes (! flagged)" in out
    assert "not yet all" in out.splitlines()[-1]
    assert "Traceback" not in err
    assert not workers_of(folder)
    done = done_in(folder)
    process = started(*LONGER, "--out", str(folder), cwd=tmp_path)
    wait_until(lambda: done_in(folder) > done)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not workers_of(folder))
    last = enumerated(*LONGER, "--out", str(folder), cwd=tmp_path)
    assert last.returncode == 1, last.stderr
    assert last.stdout == whole.stdout
    assert files(folder) == files(tmp_path / "whole")


def test_a_killed_worker_is_told_with_what_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process = started(*LONGER, "--out", str(folder), cwd=tmp_path)
    wait_until(lambda: under_way(folder))
    workers = workers_of(folder)
    assert len(workers) == min(2, len(os.sched_getaffinity(0)))
    os.kill(workers[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a worker ended with -9" in err
    assert "its changes (! flagged)" in out
    assert not workers_of(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--entries", "9"], "entries=9: expected 0 to 8"),
        (["--entries", "many"], "--entries"),
        (["--gfns", "0"], "gfns=0: expected 1 to 64"),
        (["--flags", "DIRTY"], "flags: 'DIRTY': expected 0, or names of LOG_DIRTY_PAGES, READONLY"),
        (["--flags", "0,0"], "flags=0,0: expected each of them once"),
        (["--spaces", "3"], "spaces=3: expected 1 to 2"),
        (["--slots", "8", "--gfns", "40"], "expected fewer entries, slots, gfns"),
        (["--max-gfn", "-1"], "max_gfn"),
        (["--jobs", "0"], "--jobs"),
        (["--hvas", "3"], "--hvas"),
        (["--record", "nowhere"], "nowhere"),
        (["--out", "/dev/null/x"], "expected a folder to keep an enumeration in"),
    ],
    ids=str,
)
def test_bad_usage_is_said_at_once_and_leaves_no_folder(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = enumerated(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_engine_of_single_ioctls_is_not_given_flagged_entries(tmp_path: Path) -> None:
    small = ("--entries", "1", "--gfns", "1", "--jobs", "1")
    plain = enumerated(*small, "--engine", "serial", cwd=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert "flagged" not in plain.stdout
    assert plain.stdout.startswith("serial against serial, policy prefix: all ")
    assert plain.stdout.endswith(": 0 mismatches\n")


@pytest.mark.parametrize("engine", ["serial", "serial-rfc-v1", "qemu-commit"])
def test_flagged_entries_are_not_asked_of_an_engine_that_has_no_flag(tmp_path: Path, engine: str) -> None:
    result = enumerated("--engine", engine, "--invalidate", "both", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        f"sameslots: --invalidate both: a request of {engine} has no invalidate_slot: expected never, or nothing\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_memory_may_follow_the_gfn_and_the_statement_says_what_it_does(tmp_path: Path) -> None:
    small = ("--engine", "ideal", "--entries", "1", "--gfns", "2", "--flags", "0", "--jobs", "1")
    said = {}
    for hvas in ("1", "2", "follow", "mixed"):
        result = enumerated(*small, "--hvas", hvas, "--out", hvas, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        said[hvas] = result.stdout.splitlines()[-1].partition("2 gfns, userspace_addr ")[2].partition(", flagged")[0]
    assert said == {
        "1": "the slot's own wherever it lies",
        "2": "the slot's own wherever it lies or its second one",
        "follow": "following the gfn",
        "mixed": "following the gfn or the slot's own",
    }


def test_a_real_kernel_is_named_and_keeps_its_own_last_gfn(tmp_path: Path, host: Host) -> None:
    small = ("--engine", "kvm", "--entries", "1", "--gfns", "1", "--jobs", "1")
    result = enumerated(*small, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith(f"kvm against serial on Linux {host.release}, policy prefix: all ")
    for option in (["--faults"], ["--max-gfn", "5"]):
        refused = enumerated(*small, *option, "--out", "refused", cwd=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"sameslots: {option[0]}: ")
    assert not (tmp_path / "refused").exists()


def test_slots_beyond_the_last_gfn_are_asked_for_and_refused(tmp_path: Path) -> None:
    small = ("--entries", "1", "--gfns", "2", "--jobs", "1", "--engine", "serial")
    result = enumerated(*small, "--max-gfn", "0", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "over 2 slots and 2 gfns of which 0x0 is the last that there is" in result.stdout


def test_the_page_shows_what_the_command_prints(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "enumerate.md").read_text()
    command, _, shown = page.partition("```text\n$ sameslots ")[2].partition("```")[0].partition("\n")
    words = command.split()
    assert words[0] == "enumerate"
    printed = enumerated(*words[1:], cwd=tmp_path).stdout
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()
