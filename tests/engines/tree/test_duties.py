# SPDX-License-Identifier: GPL-2.0-only
"""The shim's rules of what whoever publishes a set owes others, by themselves: sets are lists of slots here."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from engines.tree.flags import SHIM, Options, shim_flags

HARNESS = """
#include <string.h>
#include "shim.h"
#define SLOTS 200
struct ms_state ms = { .spaces = 2, .vm = &ms };
static struct set { int n; struct memslot_slot of[SLOTS]; } sets[2];
static char said[65536];
static int locked;
API const char *what_was_said(void) { return said; }
API void set_locked(int yes) { locked = yes; }
API void add(int as, int id, msu64 base, msu64 hva, int invalid)
{
	sets[as].of[sets[as].n++] = (struct memslot_slot){ base, 1, hva, invalid ? 1 << 16 : 0, id, as };
}
API void clear(int as) { sets[as].n = 0; }
API void begin(void) { said[0] = 0; ms_duties_begin(); }
API void publish(int as, int astray)
{
	struct ms_visit visit = { .astray = astray };
	int i;

	for (i = 0; i < sets[as].n; i++)
		if (sets[as].of[i].flags >> 16 && visit.ninvalid < MS_INVALIDS)
			visit.invalid[visit.ninvalid++] = sets[as].of[i];
	ms_duties_of_publication(as, &sets[as], &visit);
}
API void wait(int done) { ms_duty_to_notifiers(done); }
API void pay(int duty, int as, int id)
{
	struct memslot_slot s = { .as_id = as, .id = id };

	ms_duty_done(duty, &s);
}
API void changed(int nbefore, int nafter)
{
	ms_duties_of_change(sets[0].of, nbefore, sets[0].of + nbefore, nafter);
}
API void end(void) { ms_duties_end(); }
void ms_rule(const char *which, const void *pc) { strcat(strcat(said, which), "\\n"); }
int ms_holds_lock(const void *at) { return locked; }
const void *k_ms_notifier_lock(const void *vm) { return vm; }
void k_ms_describe(const void *slot, struct memslot_slot *out) { *out = *(const struct memslot_slot *)slot; }
int k_ms_holds(const void *p, const struct memslot_slot *s)
{
	const struct set *set = p;
	int i;

	for (i = 0; i < set->n; i++)
		if (set->of[i].id == s->id)
			return set->of[i].base_gfn == s->base_gfn && set->of[i].userspace_addr == s->userspace_addr;
	return 0;
}
"""
COMMIT, UPDATED, FLUSH, FLUSH_ALL = 0, 2, 3, 4
MOST = 64
"""INVALID slots that are looked at (MS_INVALIDS)."""
NOT_FLUSHED = "no kvm_arch_flush_shadow_memslot: slot {}:{}"
NOT_COMMITTED = "no kvm_arch_commit_memory_region: slot {}:{}"


class Slot(NamedTuple):
    """A slot of one page."""

    id: int
    invalid: bool = False
    base: int = 0
    hva: int = 0


class Rules:
    """The rules, with a case under way in which everything owed is paid unless a test does otherwise."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.c = library
        self.c.what_was_said.restype = ctypes.c_char_p
        self.begin()

    def begin(self) -> None:
        """Another case."""
        self.c.begin()
        self.c.set_locked(1)
        self.c.wait(1)

    def publish(self, slots: Sequence[Slot], as_id: int = 0, *, updated: bool = True, astray: bool = False) -> None:
        """A set becomes active."""
        self.c.clear(as_id)
        for slot in slots:
            self.c.add(
                as_id, slot.id, ctypes.c_uint64(slot.base or slot.id), ctypes.c_uint64(slot.hva), int(slot.invalid)
            )
        self.c.publish(as_id, int(astray))
        if updated:
            self.c.pay(UPDATED, 0, 0)

    def flush(self, slot_id: int, as_id: int = 0) -> None:
        """The architecture's hook is called."""
        self.c.pay(FLUSH, as_id, slot_id)

    def change(self, before: Sequence[Slot], after: Sequence[Slot]) -> None:
        """A call has succeeded."""
        self.c.clear(0)
        for slot in (*before, *after):
            self.c.add(0, slot.id, ctypes.c_uint64(slot.base), ctypes.c_uint64(slot.hva), 0)
        self.c.changed(len(before), len(after))

    @property
    def said(self) -> list[str]:
        """The rules that are broken."""
        return str(self.c.what_was_said().decode()).splitlines()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("duties")
    (folder / "harness.c").write_text(HARNESS)
    made = folder / "duties.so"
    sources = [str(folder / "harness.c"), str(SHIM / "duties.c")]
    subprocess.run(["gcc", *shim_flags(Options()), "-shared", "-o", str(made), *sources], check=True)
    return ctypes.CDLL(str(made))


@pytest.fixture
def rules(library: ctypes.CDLL) -> Rules:
    return Rules(library)


GONE: dict[str, list[Slot]] = {
    "deleted": [],
    "moved": [Slot(5, base=9)],
    "other memory": [Slot(5, hva=4096)],
    "moved, INVALID still": [Slot(5, True, base=9)],
}


@pytest.mark.parametrize("as_id", [0, 1])
@pytest.mark.parametrize("after", GONE.values(), ids=list(GONE))
def test_what_goes_is_flushed_while_invalid(after: list[Slot], as_id: int, rules: Rules) -> None:
    rules.publish([Slot(5, True)], as_id)
    rules.publish(after, as_id)
    assert rules.said == [NOT_FLUSHED.format(as_id, 5)]
    rules.begin()
    rules.publish([Slot(5, True)], as_id)
    rules.flush(5, as_id)
    rules.publish(after, as_id)
    assert rules.said == []


@pytest.mark.parametrize("way", ["before", "another id", "another address space", "in the case before"])
def test_another_flush_does_not_count(way: str, rules: Rules) -> None:
    match way:
        case "in the case before":
            rules.publish([Slot(5, True)])
            rules.flush(5)
            rules.publish([])
            rules.begin()
        case "before":
            rules.flush(5)
    rules.publish([Slot(5, True)])
    match way:
        case "another id":
            rules.flush(6)
        case "another address space":
            rules.flush(5, 1)
    rules.publish([])
    assert rules.said == [NOT_FLUSHED.format(0, 5)]


@pytest.mark.parametrize("id_", [0, 32763, 32766])
def test_ids_at_their_limits(id_: int, rules: Rules) -> None:
    rules.publish([Slot(id_, True)])
    rules.publish([])
    assert rules.said == [NOT_FLUSHED.format(0, id_)]


def test_what_is_restored_need_not_be_flushed(rules: Rules) -> None:
    rules.publish([Slot(5, True)])
    rules.publish([Slot(5)])
    assert rules.said == []


def test_all_at_once_will_do(rules: Rules) -> None:
    rules.publish([Slot(5, True), Slot(6, True)])
    rules.c.pay(FLUSH_ALL, 0, 0)
    rules.publish([])
    assert rules.said == []


def test_flushed_once_while_invalid_in_two_sets_is_flushed(rules: Rules) -> None:
    rules.publish([Slot(5, True)])
    rules.flush(5)
    rules.publish([Slot(5, True), Slot(6, True)])
    rules.publish([])
    assert rules.said == [NOT_FLUSHED.format(0, 6)]


def test_sets_that_have_gone_astray_are_not_judged(rules: Rules) -> None:
    rules.publish([Slot(5, True)])
    rules.publish([], astray=True)
    assert rules.said == []


def test_of_too_many_the_first_are_judged_and_the_others_not_falsely(rules: Rules) -> None:
    many = [Slot(id_, True) for id_ in range(MOST + 10)]
    rules.publish(many)
    for slot in many:
        rules.flush(slot.id)
    for done in range(1, len(many) + 1):
        rules.publish(many[done:])
    assert rules.said == []
    rules.begin()
    rules.publish(many)
    rules.publish([])
    assert rules.said == [NOT_FLUSHED.format(0, id_) for id_ in range(MOST)]


def test_each_set_is_told_of(rules: Rules) -> None:
    rules.publish([], updated=False)
    rules.publish([], 1, updated=False)
    assert rules.said == []
    rules.publish([], 1, updated=False)
    assert rules.said == ["no kvm_arch_memslots_updated before the next set"]
    rules.c.end()
    assert rules.said[1:] == ["no kvm_arch_memslots_updated after the last set"] * 2


def test_one_call_tells_of_both_address_spaces(rules: Rules) -> None:
    rules.publish([], updated=False)
    rules.publish([], 1)
    rules.c.end()
    assert rules.said == []


def test_nothing_is_owed_from_the_case_before(rules: Rules) -> None:
    rules.publish([Slot(5, True)], updated=False)
    rules.begin()
    rules.publish([])
    rules.c.end()
    assert rules.said == []


def test_notifiers_are_awaited_under_the_lock(rules: Rules) -> None:
    rules.c.wait(0)
    rules.publish([])
    assert rules.said == ["published with MMU notifiers not awaited"]
    rules.begin()
    rules.publish([])
    rules.publish([], 1)  # under the same lock
    assert rules.said == []
    rules.c.set_locked(0)
    rules.publish([])
    assert rules.said == ["published without mn_invalidate_lock"]


CHANGES: dict[str, tuple[list[Slot], list[Slot], list[int]]] = {
    "nothing": ([Slot(1), Slot(2)], [Slot(1), Slot(2)], []),
    "created": ([], [Slot(3)], [3]),
    "deleted": ([Slot(3)], [], [3]),
    "moved": ([Slot(1), Slot(3)], [Slot(1), Slot(3, base=7)], [3]),
    "other memory": ([Slot(3)], [Slot(3, hva=4096)], [3]),
    "many": ([Slot(1), Slot(2), Slot(4)], [Slot(0), Slot(2, base=1), Slot(5)], [0, 1, 2, 4, 5]),
}


@pytest.mark.parametrize(("before", "after", "owed"), CHANGES.values(), ids=list(CHANGES))
def test_each_change_is_told_of(before: list[Slot], after: list[Slot], owed: list[int], rules: Rules) -> None:
    rules.change(before, after)
    assert rules.said == [NOT_COMMITTED.format(0, id_) for id_ in owed]
    rules.begin()
    for id_ in owed[1:]:
        rules.c.pay(COMMIT, 0, id_)
    rules.change(before, after)
    assert rules.said == [NOT_COMMITTED.format(0, id_) for id_ in owed[:1]]
