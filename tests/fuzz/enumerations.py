# SPDX-License-Identifier: GPL-2.0-only
"""Enumerations as tests run them: small scopes, the settings that a folder keeps, and harm done to it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from fuzz.ledger import DATABASE
from fuzz.scope import Scope
from fuzz.source import source
from memslots.machine import Machine

SMALL = {
    "flagged, two flags": Scope(entries=2, slots=2, gfns=2),
    "three ids": Scope(entries=3, slots=3, gfns=1, flags=(0,)),
    "three gfns": Scope(entries=2, slots=2, gfns=3, flags=(0,), invalidate=(0,)),
    "a second piece of memory": Scope(entries=2, slots=2, gfns=2, flags=(0,), invalidate=(0,), hvas=2),
    "two address spaces": Scope(entries=1, slots=2, gfns=2, flags=(0,), spaces=2),
    "two of everything": Scope(entries=2, slots=2, gfns=1, flags=(0,), invalidate=(0,), hvas=2, spaces=2),
    "the last gfn within reach": Scope(entries=2, slots=2, gfns=2, flags=(0,), machine=Machine(max_gfn=0)),
    "the last gfn just out of reach": Scope(entries=2, slots=2, gfns=2, flags=(0,), machine=Machine(max_gfn=1)),
    "memory that follows the gfn": Scope(entries=2, slots=2, gfns=3, flags=(0,), invalidate=(0,), memory="follow"),
    "memory that follows, flagged": Scope(entries=3, slots=2, gfns=2, flags=(0,), memory="follow"),
    "memory that follows, two spaces": Scope(entries=1, slots=2, gfns=2, flags=(0,), spaces=2, memory="follow"),
    "memory of both kinds": Scope(entries=2, slots=2, gfns=2, flags=(0,), invalidate=(0,), memory="mixed"),
    "memory of both kinds, three ids": Scope(entries=2, slots=3, gfns=1, flags=(0,), memory="mixed"),
    "no entry": Scope(entries=0, slots=2, gfns=3),
}


SCOPE = Scope(entries=2, gfns=2)


def settings(scope: Scope = SCOPE, engine: str = "rfc-v1") -> dict[str, str]:
    return {
        "engine": engine,
        "reference": "serial",
        "policy": "atomic",
        "source": source(),
        **scope.settings(),
    }


def harm(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as database:
        database.execute(statement)
