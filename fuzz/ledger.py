# SPDX-License-Identifier: GPL-2.0-only
"""The ledger of an enumeration: a folder with a database that knows what has been tried, and what came of it.

The numbers from 0 to the total are cut into stretches. A worker claims one, goes through it in order, and writes down
how far it is together with what it has counted since: so a killed enumeration has lost a second at most, has counted
nothing twice, and goes on where it was. Whoever begins a run in the folder takes it over: the claims of an earlier run
are void, and what its workers would write down later is refused.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from memslots.errors import BadInput

DATABASE = "enumeration.db"
_VERSION = 1
_STRETCHES = 256
_LEAST = 500
"""Lists of a stretch: to claim one costs as much as some lists."""
_SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE stretch (first INTEGER PRIMARY KEY, next INTEGER NOT NULL, until INTEGER NOT NULL, run TEXT);
CREATE TABLE bucket (bucket TEXT PRIMARY KEY, seen INTEGER NOT NULL, number INTEGER NOT NULL, step INTEGER NOT NULL,
                     kind TEXT NOT NULL, n INTEGER NOT NULL);
CREATE TABLE tally (name TEXT PRIMARY KEY, times INTEGER NOT NULL);
CREATE TABLE allowance (name TEXT PRIMARY KEY, met INTEGER NOT NULL);
"""


class Place(NamedTuple):
    """Where a bucket was seen: the number of the case, which of its trials, and the fault of that one."""

    number: int
    step: int = 0
    kind: str = ""
    n: int = 0


class Sighting(NamedTuple):
    """One bucket: in how many trials it was seen, and where first."""

    bucket: str
    seen: int
    first: Place


class Stretch(NamedTuple):
    """Numbers that a worker has claimed: those before `next` are done."""

    first: int
    next: int
    until: int


@dataclass(slots=True)
class Tally:
    """What was counted: trials, and what they showed.

    No trial are the lists that an engine cannot be given (`unfit`), nor the failures that it cannot be asked for with a
    list that it can be given (`unfit_failures`).
    """

    trials: int = 0
    unfit: int = 0
    unfit_failures: int = 0
    mismatches: int = 0
    seen: dict[str, Sighting] = field(default_factory=dict)
    allowed: Counter[str] = field(default_factory=Counter)

    def sighted(self, bucket: str, place: Place) -> None:
        """Count a bucket. Places come in order: the first stays."""
        known = self.seen.get(bucket)
        self.seen[bucket] = Sighting(bucket, 1, place) if known is None else known._replace(seen=known.seen + 1)


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """What is done in here finds the database as an enumeration has made it. Raises BadInput where it does not."""
    try:
        yield
    except sqlite3.Error as error:
        raise BadInput(f"{path}: {error}: {_EXPECTED}") from None


_EXPECTED = "expected the database of an enumeration (without this file, or with another --out, it begins anew)"
_COUNTS = ("trials", "unfit", "unfit_failures", "mismatches")


class Ledger:
    """The folder of an enumeration, open for one process."""

    def __init__(self, folder: Path, settings: Mapping[str, str], total: int) -> None:
        """Open or make the folder. Raises BadInput if it belongs to another enumeration."""
        self.folder = folder
        self._path = folder / DATABASE
        there = self._path.exists()
        self.emptied = False
        """Whether there was a database that nothing stood in: whatever it knew, it is begun anew."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{folder}: {error.strerror}: expected a folder to keep an enumeration in") from None
        with _sound(self._path):
            self._database = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._make(settings, total, there=there)

    def _make(self, settings: Mapping[str, str], total: int, *, there: bool) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        [version] = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self.emptied = there
            for statement in _SCHEMA.strip().split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {_VERSION}")
            database.executemany("INSERT INTO setting VALUES (?, ?)", settings.items())
            size = max(-(-total // _STRETCHES), _LEAST)
            database.executemany(
                "INSERT INTO stretch VALUES (?, ?, ?, NULL)",
                [(first, first, min(first + size, total)) for first in range(0, total, size)],
            )
        database.execute("COMMIT")
        if version not in (0, _VERSION):
            raise BadInput(f"{self.folder}: an enumeration of version {version}, expected {_VERSION}")
        kept = dict(database.execute("SELECT name, value FROM setting WHERE name != 'run'").fetchall())
        for name in {**kept, **settings}:
            if kept.get(name) != settings.get(name):
                raise BadInput(
                    f"{self.folder}: its enumeration has {name}={kept.get(name)}, expected {name}={settings.get(name)}"
                    " (another --out begins another one)"
                )
        # A row that is lost would never be tried, and nothing else would tell.
        [cut] = database.execute("SELECT COALESCE(SUM(until - first), 0) FROM stretch").fetchone()
        if cut != total:
            raise BadInput(f"{self._path}: stretches of {cut:,} lists where there are {total:,}: {_EXPECTED}")
        self.tally()

    def close(self) -> None:
        """Close the database; the folder is as it was after the last call."""
        self._database.close()

    def take_over(self, run: str) -> None:
        """Begin a run: from now on its workers are the only ones."""
        with _sound(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("INSERT OR REPLACE INTO setting VALUES ('run', ?)", (run,))
            self._database.execute("UPDATE stretch SET run = NULL")
            self._database.execute("COMMIT")

    def claim(self, run: str) -> Stretch | None:
        """The first stretch that is neither done nor claimed; None if there is none. Raises BadInput: see `add`."""
        with _sound(self._path):
            self._begin(run)
            row = self._database.execute(
                "SELECT first, next, until FROM stretch WHERE next < until AND run IS NULL ORDER BY first LIMIT 1"
            ).fetchone()
            if row is not None:
                self._database.execute("UPDATE stretch SET run = ? WHERE first = ?", (run, row[0]))
            self._database.execute("COMMIT")
            return None if row is None else Stretch(*row)

    def add(self, run: str, stretch: Stretch, tally: Tally) -> None:
        """Write down that `stretch` is done up to its `next`, and what was counted on the way.

        Raises BadInput, and writes nothing, if another run has taken the folder over.
        """
        with _sound(self._path):
            self._begin(run)
            execute, many = self._database.execute, self._database.executemany
            execute("UPDATE stretch SET next = ? WHERE first = ?", (stretch.next, stretch.first))
            many(
                "INSERT INTO tally VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET times = times + excluded.times",
                [(name, getattr(tally, name)) for name in _COUNTS],
            )
            many(
                "INSERT INTO allowance VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET met = met + excluded.met",
                tally.allowed.items(),
            )
            for bucket, seen, place in tally.seen.values():
                execute(
                    "INSERT INTO bucket VALUES (?, 0, ?, ?, ?, ?) ON CONFLICT (bucket) DO UPDATE"
                    " SET number = excluded.number, step = excluded.step, kind = excluded.kind, n = excluded.n"
                    " WHERE (excluded.number, excluded.step) < (number, step)",
                    (bucket, *place),
                )
                execute("UPDATE bucket SET seen = seen + ? WHERE bucket = ?", (seen, bucket))
            execute("COMMIT")

    def _begin(self, run: str) -> None:
        """Begin a transaction of this run."""
        self._database.execute("BEGIN IMMEDIATE")
        row = self._database.execute("SELECT value FROM setting WHERE name = 'run'").fetchone()
        if row is None or row[0] != run:
            self._database.execute("ROLLBACK")
            raise BadInput(f"{self.folder}: another enumeration has taken this folder over")

    def stretches_left(self) -> int:
        """How many stretches are not done: as many workers have something to do."""
        with _sound(self._path):
            [left] = self._database.execute("SELECT COUNT(*) FROM stretch WHERE next < until").fetchone()
            return int(left)

    def done(self) -> int:
        """How many cases have been tried."""
        with _sound(self._path):
            [done] = self._database.execute("SELECT COALESCE(SUM(next - first), 0) FROM stretch").fetchone()
            return int(done)

    def tally(self) -> Tally:
        """All that was counted, in all runs; the buckets in the order in which they are first met."""
        with _sound(self._path):
            times = Counter(dict(self._database.execute("SELECT name, times FROM tally").fetchall()))
            buckets = self._database.execute("SELECT * FROM bucket ORDER BY number, step, bucket").fetchall()
            return Tally(
                times["trials"],
                times["unfit"],
                times["unfit_failures"],
                times["mismatches"],
                {row[0]: Sighting(row[0], row[1], Place(*row[2:])) for row in buckets},
                Counter(dict(self._database.execute("SELECT name, met FROM allowance ORDER BY name").fetchall())),
            )


def settings_of(folder: Path) -> dict[str, str]:
    """What the enumeration in `folder` was begun with. Raises BadInput if there is none."""
    path = folder / DATABASE
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with _sound(path), closing(sqlite3.connect(uri, timeout=30, uri=True)) as database:
        return dict(database.execute("SELECT name, value FROM setting WHERE name != 'run'").fetchall())
