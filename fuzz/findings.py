# SPDX-License-Identifier: GPL-2.0-only
"""The findings of a campaign: a folder with a database and one case file for each signature.

Several processes write to it at once. What is written stays when a process is killed; counts are at most a second
old. A campaign that is given the folder of an earlier one goes on with it.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fuzz.written import write_whole
from memslots.errors import BadInput

DATABASE = "findings.db"
_VERSION = 2
_SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE bucket (bucket TEXT PRIMARY KEY, seen INTEGER NOT NULL, first_trial INTEGER NOT NULL,
                     first_seconds REAL NOT NULL, backend TEXT NOT NULL);
CREATE TABLE record (signature TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, before INTEGER NOT NULL,
                     after INTEGER NOT NULL, calls INTEGER NOT NULL, changes TEXT NOT NULL);
CREATE TABLE allowance (name TEXT PRIMARY KEY, met INTEGER NOT NULL);
CREATE TABLE worker (name TEXT PRIMARY KEY, trials INTEGER NOT NULL, unfit INTEGER NOT NULL,
                     seconds REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One signature: a reduced list that shows a bucket. `before` and `after` count entries, given ones included."""

    signature: str
    bucket: str
    name: str
    before: int
    after: int
    calls: int
    changes: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """One bucket: how often it was seen, when first, and by which backend."""

    bucket: str
    seen: int
    first_trial: int
    first_seconds: float
    backend: str


class Findings:
    """The folder of a campaign, open for one process."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """Open or make the folder. Raises BadInput if it belongs to a campaign with other settings."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / DATABASE, timeout=30, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._make(settings)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInput(f"{folder}: {reason}: expected a folder to keep findings in") from None

    def _make(self, settings: Mapping[str, str]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        [version] = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            self._database.execute("ROLLBACK")
            raise BadInput(f"{self.folder}: findings of version {version}, expected {_VERSION}")
        if version == 0:
            for statement in _SCHEMA.strip().split(";\n"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
            self._database.executemany("INSERT INTO setting VALUES (?, ?)", settings.items())
        self._database.execute("COMMIT")
        there = dict(self._database.execute("SELECT name, value FROM setting").fetchall())
        for name, value in settings.items():
            if there.get(name) != value:
                raise BadInput(f"{self.folder}: its campaign has {name}={there.get(name)}, expected {name}={value}")

    def close(self) -> None:
        """Close the database; the folder is as it was after the last call."""
        self._database.close()

    def sightings(self) -> list[Sighting]:
        """Every bucket, the most frequent first."""
        rows = self._database.execute("SELECT * FROM bucket ORDER BY seen DESC, bucket").fetchall()
        return [Sighting(*row) for row in rows]

    def records(self) -> list[Record]:
        """Every record, in the order in which they were made."""
        return [Record(*row) for row in self._database.execute("SELECT * FROM record ORDER BY rowid").fetchall()]

    def work_of(self, worker: str) -> tuple[int, float]:
        """Trials and seconds of one worker, this campaign's and earlier ones'."""
        row = self._database.execute("SELECT trials, seconds FROM worker WHERE name = ?", (worker,)).fetchone()
        return (int(row[0]), float(row[1])) if row else (0, 0.0)

    def trials(self) -> int:
        """How many trials there were, in all processes and in earlier campaigns in this folder."""
        [trials] = self._database.execute("SELECT COALESCE(SUM(trials), 0) FROM worker").fetchone()
        return int(trials)

    def unfit(self) -> int:
        """How many of the trials were none: cases that one of the two engines cannot be given."""
        [unfit] = self._database.execute("SELECT COALESCE(SUM(unfit), 0) FROM worker").fetchone()
        return int(unfit)

    def seconds(self) -> float:
        """How many seconds workers have worked, added up."""
        [seconds] = self._database.execute("SELECT COALESCE(SUM(seconds), 0) FROM worker").fetchone()
        return float(seconds)

    def allowed(self) -> dict[str, int]:
        """How often each allowance was made use of."""
        return dict(self._database.execute("SELECT name, met FROM allowance ORDER BY name").fetchall())

    def add(
        self,
        worker: str,
        trials: int,
        unfit: int,
        seconds: float,
        seen: Mapping[str, tuple[int, int, float]],
        allowed: Mapping[str, int],
    ) -> None:
        """Add what a worker has done since it last said so.

        `seen` has, for each bucket, how often it was seen, and trial and second of the first time.
        """
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(
            "INSERT INTO worker VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET trials = trials + excluded.trials,"
            " unfit = unfit + excluded.unfit, seconds = seconds + excluded.seconds",
            (worker, trials, unfit, seconds),
        )
        self._database.executemany(
            "INSERT INTO bucket VALUES (?, ?, ?, ?, ?) ON CONFLICT (bucket) DO UPDATE SET seen = seen + excluded.seen,"
            " first_trial = IIF(excluded.first_seconds < first_seconds, excluded.first_trial, first_trial),"
            " backend = IIF(excluded.first_seconds < first_seconds, excluded.backend, backend),"
            " first_seconds = MIN(first_seconds, excluded.first_seconds)",
            [(bucket, n, trial, second, worker) for bucket, (n, trial, second) in seen.items()],
        )
        self._database.executemany(
            "INSERT INTO allowance VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET met = met + excluded.met",
            allowed.items(),
        )
        self._database.execute("COMMIT")

    def keep(self, record: Record, text: str) -> bool:
        """Whether the record is a new one; then its case file is written, whole or not at all."""
        known = self._database.execute("SELECT 1 FROM record WHERE signature = ?", (record.signature,)).fetchone()
        if known:
            return False
        path = self.folder / f"{record.name}.slots"
        write_whole(path, text)
        cursor = self._database.execute(
            "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                record.signature,
                record.bucket,
                record.name,
                record.before,
                record.after,
                record.calls,
                record.changes,
            ),
        )
        return cursor.rowcount > 0


def settings_of(folder: Path) -> dict[str, str]:
    """What the campaign in `folder` was started with; empty if there is none. Raises BadInput."""
    path = folder / DATABASE
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            return dict(database.execute("SELECT name, value FROM setting").fetchall())
    except sqlite3.Error as error:
        raise BadInput(f"{path}: {error}: expected the database of a campaign") from None
