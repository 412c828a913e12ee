# SPDX-License-Identifier: GPL-2.0-only
"""What an enumeration keeps in its folder: whose turn which lists are, and what came of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.ledger import DATABASE, Ledger, Place, Sighting, Tally, settings_of
from fuzz.source import source
from memslots.errors import BadInput
from tests.fuzz.enumerations import SCOPE, harm, settings


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


def test_stretches_that_are_claimed_are_left_until_they_are_done(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, settings(), 1001)
    ledger.take_over("run")
    stretch = ledger.claim("run")
    assert stretch is not None
    assert ledger.stretches_left() == 3
    ledger.add("run", stretch._replace(next=stretch.until), Tally())
    assert ledger.stretches_left() == 2
