# SPDX-License-Identifier: GPL-2.0-only
"""A scope: what it can be, how it is kept in a folder, and how it is put in words."""

import pytest

from fuzz.scope import Scope, flags_of
from memslots.errors import BadInput
from memslots.machine import PROFILES, Machine
from tests.fuzz.enumerations import SMALL

LOG = 1


@pytest.mark.parametrize("scope", [*SMALL.values(), Scope(flags=(0, 3, 2), faults=True)], ids=str)
def test_a_folder_keeps_a_scope_as_it_is(scope: Scope) -> None:
    assert Scope.of_settings({"engine": "rfc-v1", **scope.settings()}) == scope


def test_different_scopes_have_different_settings_and_words() -> None:
    scopes = [*SMALL.values(), Scope(), Scope(faults=True), Scope(flags=(0, 2)), Scope(flags=(0, 3))]
    assert len({scope.in_words() for scope in scopes}) == len(scopes)
    assert len({tuple(scope.settings().items()) for scope in scopes}) == len(scopes)
    assert Scope(entries=3, flags=(0,)).in_words() == (
        "lists of up to 3 entries over 2 slots and 4 gfns, userspace_addr the slot's own wherever it lies, flagged and"
        " not, from all 51 given states"
    )
    assert Scope(entries=1, slots=1, gfns=1, flags=(0, LOG), invalidate=(0,)).in_words() == (
        "lists of up to 1 entry over 1 slot and 1 gfn, with flags 0 or LOG_DIRTY_PAGES, userspace_addr the slot's own"
        " wherever it lies, from all 3 given states"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"entries": -1}, "entries=-1: expected 0 to 8"),
        ({"slots": 0}, "slots=0: expected 1 to 8"),
        ({"gfns": 65}, "gfns=65: expected 1 to 64"),
        ({"hvas": 3}, "hvas=3: expected 1 to 2"),
        ({"hvas": 2, "memory": "follow"}, "hvas=2, memory=follow: expected hvas=1"),
        ({"memory": "gpa"}, "memory=gpa: expected one of own, follow, mixed"),
        ({"spaces": 2, "machine": PROFILES["linux-6.18"]}, "the machine has 1 address space"),
        ({"flags": (0, 0)}, "flags=0,0: expected each of them once"),
        ({"flags": ()}, "expected each of them once"),
        ({"flags": (0, 2), "machine": Machine(readonly=0)}, "flags=READONLY: this machine's kernel refuses them"),
        ({"flags": (1 << 16,)}, "flags=INVALID: this machine's kernel refuses them"),
        ({"invalidate": (1,)}, "expected 0, or 0 and 1"),
        ({"slots": 8, "gfns": 32}, "expected fewer entries, slots, gfns, flags or spaces"),
        ({"entries": 8, "slots": 3, "gfns": 64}, "expected fewer entries"),
    ],
    ids=str,
)
def test_a_scope_that_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Scope(**values)  # type: ignore[arg-type]  # that is what is tested


def test_flags_are_read_as_they_are_written() -> None:
    assert flags_of("0,LOG_DIRTY_PAGES,READONLY,LOG_DIRTY_PAGES|READONLY") == (0, 1, 2, 3)
    assert flags_of("READONLY|READONLY") == (2,)
    for text in ("", "0,", "log", "4", "0|"):
        with pytest.raises(BadInput, match="expected 0, or names of LOG_DIRTY_PAGES, READONLY with"):
            flags_of(text)
