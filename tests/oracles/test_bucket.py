# SPDX-License-Identifier: GPL-2.0-only
"""The bucket names a cause: other ids, addresses and neighbours keep it, another cause changes it."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from engines.simulated.engines import RfcV1, Serial
from fuzz.trial import Trial
from memslots.case import Case
from memslots.outcome import Change, Event, Outcome
from memslots.region import Region
from memslots.textreader import parse_case, read_case
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, TASK_SIZE_MAX
from oracles.bucket import parting_event
from oracles.mismatch import Mismatch

CORPUS = Path(__file__).parent.parent.parent / "corpus"
TRIAL = Trial(Serial(), RfcV1())
VARIANTS = 1000


def buckets(case: Case) -> list[str]:
    return [finding.bucket for finding in TRIAL.verdict(case).findings]


# One list for each way in which the list ioctl as posted goes wrong, by exit (c.7) or pass (c.5) of its description.
CAUSES = {
    "X2 entries": "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000\nlist nent=33554432\napply slot=0 size=0",
    "X3 bad id after a flagged entry": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 size=0 invalidate
apply slot=32764 gpa=0x1000 size=0x1000 hva=0x100000001000""",
    "X4 flagged MOVE onto a slot deleted before it": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
given slot=1 gpa=0x1000 size=0x1000 hva=0x100000001000
apply slot=0 size=0 invalidate
apply slot=1 gpa=0x0 size=0x1000 hva=0x100000001000 invalidate""",
    "X5 flagged no-op": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 invalidate""",
    "X6 no INVALID copy": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
given slot=1 gpa=0x1000 size=0x1000 hva=0x100000001000
apply slot=0 size=0 invalidate
apply slot=1 size=0 invalidate
fault invalid=1""",
    "X7 flagged CREATE": "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 invalidate",
    "X7 flagged FLAGS_ONLY": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES invalidate""",
    "X8 overlapping CREATE after a flagged DELETE": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
given slot=1 gpa=0x1000 size=0x1000 hva=0x100000001000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x2000 hva=0x100000000000""",
    "X9 CREATE beyond the maximum gfn": """\
machine linux-6.1 max_gfn=0xfffff
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x100000000 size=0x1000 hva=0x100000000000""",
    "X10 unflagged MOVE beyond the maximum gfn": """\
machine linux-6.1 max_gfn=0xfffff
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 gpa=0x100000000 size=0x1000 hva=0x100000000000""",
    "X11 flagged MOVE beyond the maximum gfn": """\
machine linux-6.1 max_gfn=0xfffff
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 gpa=0x100000000 size=0x1000 hva=0x100000000000 invalidate""",
    "c.3 address space out of bounds": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=2:0 gpa=0x1000 size=0x1000 hva=0x100000001000""",
    "c.3 array that is NULL": "list nent=131073\napply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000",
    "c.4 unflagged no-op": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000""",
    "c.4 unflagged DELETE with a CREATE pending": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=1 gpa=0x1000 size=0x1000 hva=0x100000001000
apply slot=0 size=0""",
    "c.5 MOVE checked before the CREATE it meets": """\
given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000
apply slot=1 gpa=0x4000 size=0x2000 hva=0x100000002000
apply slot=0 gpa=0x3000 size=0x2000 hva=0x100000000000 invalidate""",
    "c.5 MOVE to the base of a CREATE": """\
given slot=0 gpa=0x0 size=0x2000 hva=0x100000000000
apply slot=1 gpa=0x4000 size=0x2000 hva=0x100000002000
apply slot=0 gpa=0x4000 size=0x2000 hva=0x100000000000 invalidate""",
    "c.5 pages counted late": "apply slot=0 gpa=0x0 size=0x1000 hva=0x100000000000\napply slot=0 size=0",
    "c.3 one slot twice, flagged": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000
apply slot=0 gpa=0x1000 size=0x1000 hva=0x100000000000 invalidate
apply slot=0 size=0 invalidate""",
}


def cause(text: str) -> Case:
    return parse_case(["slots 1", *text.splitlines()]).case


def test_lists_that_differ_in_cause_differ_in_bucket() -> None:
    first: dict[str, str] = {}
    for name, text in CAUSES.items():
        found = buckets(cause(text))
        assert found, f"{name}: no mismatch"
        assert found[0] not in first, f"{name} and {first[found[0]]} share {found[0]}"
        first[found[0]] = name


def renamed(case: Case, rng: random.Random) -> Case:
    """The case with other ids: those that user space may use, mapped one to one."""
    used = sorted({r.id for r in case.given + case.apply if r.id < case.machine.user_slots})
    fresh = dict(zip(used, rng.sample(range(case.machine.user_slots), len(used)), strict=True))
    if (case.nent or 0) > len(case.apply):
        fresh[0] = 0  # what nent names beyond the entries given asks for slot 0

    def other(region: Region) -> Region:
        return region._replace(slot=region.as_id << 16 | fresh.get(region.id, region.id))

    if len(set(fresh.values())) != len(fresh):
        return case
    return replace(case, given=tuple(map(other, case.given)), apply=tuple(map(other, case.apply)))


def shifted(case: Case, rng: random.Random) -> Case:
    """The case moved in guest physical and user address space, as far as its limits stay where they are."""
    regions = case.given + case.apply
    page = case.machine.page_size
    # What the machine ends at tells moves beyond it from others: such cases stay where they are.
    top_gpa = max((r.guest_phys_addr + r.memory_size for r in regions), default=0)
    room = (case.machine.max_gfn + 1) * page - top_gpa
    gpa = rng.randrange(room // page) * page if room > 0 else 0
    top_hva = max((r.userspace_addr + r.memory_size for r in regions), default=0)
    hva_room = TASK_SIZE_MAX - top_hva
    hva = rng.randrange(hva_room // page) * page if hva_room > 0 else 0

    def moved(region: Region) -> Region:
        if not region.memory_size:
            return region
        return region._replace(guest_phys_addr=region.guest_phys_addr + gpa, userspace_addr=region.userspace_addr + hva)

    return replace(case, given=tuple(map(moved, case.given)), apply=tuple(map(moved, case.apply)))


def _free_place(case: Case, rng: random.Random) -> int | None:
    """Where 64 pages are free of everything in the case, below the maximum gfn; None if that is hard to find."""
    page = case.machine.page_size
    room = 64 * page
    ranges = [(r.guest_phys_addr, r.guest_phys_addr + r.memory_size) for r in case.given + case.apply if r.memory_size]
    for _ in range(200):
        base = rng.randrange(max((case.machine.max_gfn + 1) * page // room, 1)) * room
        if all(end <= base or base + room <= begin for begin, end in ranges):
            return base
    return None


def crowded(case: Case, rng: random.Random) -> Case:
    """The case with entries that have nothing to do with it: well-formed, on slots and at places of their own.

    Where a flagged entry by mistake keeps slots_arch_lock, the next taker hangs, whoever it is: nothing that takes
    locks is unrelated there, so such a case gets more given slots only. Where nr_memslot_pages is found to be too
    small, more given pages would make it large enough: such a case gets more CREATEs only. Where a set is published in
    the middle of the second pass, every entry of the list is in the one set or the other because of it: GIVEN again.
    Where the n-th allocation fails, every entry allocates: GIVEN again.
    """
    used = {r.id for r in case.given + case.apply}
    page = case.machine.page_size
    base = _free_place(case, rng)
    if base is None:
        return case
    given, apply = list(case.given), list(case.apply)
    found = buckets(case)
    mishaps = TRIAL.verdict(case).outcome.mishaps or ()
    allowed = {"GIVEN", "CREATE", "DELETE", "FLAGS_ONLY"}
    if any("slots_arch_lock-held" in bucket for bucket in found):
        allowed &= {"GIVEN"}
    if any("EIO" in bucket for bucket in found):
        allowed &= {"CREATE"}
    if any(mishap.kind == "early-publish" for mishap in mishaps) and not found[0].startswith("invariants corrupt"):
        allowed &= {"GIVEN"}
    if case.faults:
        allowed &= {"GIVEN"}
    kinds = sorted(allowed)
    if not kinds:
        return case
    for n in range(rng.randint(1, 3)):
        slot = rng.choice([i for i in range(200) if i not in used])
        used.add(slot)
        region = Region(slot, 0, base + n * 16 * page, page, 0x7000_0000_0000 + n * 16 * page)
        kind = rng.choice(kinds)
        if kind == "CREATE":
            entry = region
        else:
            given.append(region)
            entry = (
                Region(slot, invalidate_slot=1) if kind == "DELETE" else region._replace(flags=KVM_MEM_LOG_DIRTY_PAGES)
            )
        if kind != "GIVEN":
            apply.insert(rng.randint(0, len(apply)), entry)
    nent = case.nent
    if nent is not None:
        nent += len(apply) - len(case.apply) if nent < 1 << 20 else 0
    return replace(case, given=tuple(given), apply=tuple(apply), nent=nent)


AGREEING_VARIANTS = 100
"""Of lists on which the engines agree; those of hundreds of entries take their time."""
MISMATCHING = {str(p.relative_to(CORPUS)): read_case(p).case for p in sorted(CORPUS.rglob("*.slots"))}
MISMATCHING = {name: case for name, case in MISMATCHING.items() if buckets(case)}
NAMED = MISMATCHING | {name: cause(text) for name, text in CAUSES.items() if "fault" not in text}


AGREEING = {str(p.relative_to(CORPUS)): read_case(p).case for p in sorted((CORPUS / "seeds").glob("*.slots"))}
AGREEING = {name: case for name, case in AGREEING.items() if not buckets(case)}


@pytest.mark.parametrize("name", AGREEING)
def test_engines_that_agree_go_on_agreeing_under_other_names_and_addresses(name: str) -> None:
    rng = random.Random(name)
    for _ in range(AGREEING_VARIANTS):
        variant = shifted(renamed(AGREEING[name], rng), rng)
        assert buckets(variant) == [], variant


def test_the_corpus_has_mismatches_to_try() -> None:
    assert len(MISMATCHING) >= 8


@pytest.mark.parametrize("name", NAMED)
def test_other_ids_addresses_and_neighbours_keep_the_bucket(name: str) -> None:
    case = NAMED[name]
    first = buckets(case)[0]
    rng = random.Random(name)
    for _ in range(VARIANTS):
        variant = case
        for change in rng.sample([renamed, shifted, crowded], rng.randint(1, 3)):
            variant = change(variant, rng)
        assert first in buckets(variant), variant


def test_each_kind_of_damage_has_the_event_that_tells_of_it() -> None:
    first, second = (
        Event("damage", "", 0, change, detail)
        for change, detail in ((Change.CREATE, "early-free: kfree"), (Change.DELETE, "stale-look-up: last_used_slot"))
    )
    refused = Event("refuse", "", 0, Change.MOVE)
    outcome = Outcome("returned", (), (), damage=("early-free", "stale-look-up"), mishaps=(refused, first, second))
    for kind, event in (("early-free", first), ("stale-look-up", second)):
        assert parting_event(Mismatch("balance", kind, {}), outcome, outcome) == event
