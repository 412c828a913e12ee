# SPDX-License-Identifier: GPL-2.0-only
"""The engine ideal is no shadow of answers: a step that is dropped, or done wrongly, shows in its outcome."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engines.ideal.engine import Ideal
from engines.ideal.list_call import Edit, ListCall
from engines.ideal.memory import Memory
from engines.ideal.memslots import Memslots
from engines.ideal.objects import Allocated, Area, SlotObject
from engines.ideal.vm import Vm
from engines.ideal.working_slots import WorkingSlots
from engines.simulated.engines import Serial
from fuzz.trial import Trial
from memslots.case import Case

CaseOf = Callable[..., Case]
Patch = Callable[[pytest.MonkeyPatch], None]

LIST = [
    "given slot=0 gpa=0x0 size=0x1000 hva=0x100000000000 flags=LOG_DIRTY_PAGES",
    "given slot=1 gpa=0x1000 size=0x1000 hva=0x100000100000",
    "given slot=2 gpa=0x2000 size=0x1000 hva=0x100000200000",
    "apply slot=0 size=0",
    "apply slot=1 gpa=0x0 size=0x1000 hva=0x100000100000",
    "apply slot=2 gpa=0x2000 size=0x1000 hva=0x100000200000 flags=LOG_DIRTY_PAGES",
    "apply slot=3 gpa=0x4000 size=0x1000 hva=0x0",
]


def dropped(owner: type, name: str, call: int | None = None) -> Patch:
    """Drop the n-th call of a method, or all of them."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = getattr(owner, name)
        count = 0

        def partial(*args: object) -> object:
            nonlocal count
            count += 1
            return None if call in (None, count - 1) else whole(*args)

        monkeypatch.setattr(owner, name, partial)

    return patch


def _free_of(kind: type) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = Memory.free

        def free(self: Memory, allocated: Allocated | None) -> None:
            if not isinstance(allocated, kind):
                whole(self, allocated)

        monkeypatch.setattr(Memory, "free", free)

    return patch


def twice(owner: type, name: str) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = getattr(owner, name)

        def doubled(*args: object) -> object:
            whole(*args)
            return whole(*args)

        monkeypatch.setattr(owner, name, doubled)

    return patch


def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlotObject, "dirty_bitmap", property(lambda self: None, lambda self, area: None), raising=True)


def flushed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush while readers still see the slot as it was."""
    edit = ListCall._edit

    def early(self: ListCall, phase: str, edits: list[Edit]) -> None:
        for _, old, _ in edits:
            if phase == "invalidate" and old is not None:
                self.vm.flush(old)
        edit(self, phase, edits)

    monkeypatch.setattr(ListCall, "_edit", early)
    flush = Vm.flush
    monkeypatch.setattr(Vm, "flush", lambda self, old: flush(self, old) if not self.published else None)


def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vm, "inactive", Vm.active)


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkingSlots, "others_hold", lambda self, wanted: False)


PLANTED: dict[str, tuple[Patch, str | None]] = {
    # the patch; the fault under which it shows
    "slots_lock is not taken": (dropped(Vm, "lock_slots"), None),
    "slots_lock is not released": (dropped(Vm, "unlock_slots"), None),
    "slots_lock is taken twice": (twice(Vm, "lock_slots"), None),
    "slots_arch_lock is not taken": (dropped(Vm, "lock_arch", 0), None),
    "slots_arch_lock is not taken again": (dropped(Vm, "lock_arch", 1), None),
    "slots_arch_lock is not released": (dropped(Vm, "unlock_arch"), None),
    "INVALID slots are not published": (dropped(ListCall, "_invalidate"), None),
    "stale translations are not flushed": (dropped(Vm, "flush", 1), None),
    "slots are flushed before they are INVALID": (flushed_early, None),
    "nothing is published": (dropped(ListCall, "_publish"), None),
    "nothing is finished": (dropped(ListCall, "_finish"), None),
    "one update is not committed": (dropped(ListCall, "_commit", 2), None),
    "objects are not freed": (_free_of(SlotObject), None),
    "areas are not freed": (_free_of(Area), None),
    "everything is freed twice": (twice(Memory, "free"), None),
    "the first edit takes nothing out": (dropped(Memslots, "unlink", 0), None),
    "the last edit puts nothing in": (dropped(Memslots, "link", 7), None),
    "sets are edited while readers see them": (swapped, None),
    "a slot that logs has no dirty bitmap": (bare, None),
    "a slot has no arch arrays": (dropped(Memory, "area", 3), None),
    "nothing is taken back": (dropped(ListCall, "_take_back"), "prepare"),
    "what is not used is not freed after a failed hook": (dropped(ListCall, "_free_what_is_unused"), "prepare"),
    "what is not used is not freed without memory": (dropped(ListCall, "_free_what_is_unused"), "bitmap"),
}


def findings(case: Case) -> set[str]:
    return {f.mismatch.oracle for f in Trial(Serial(), Ideal()).verdict(case).findings}


@pytest.mark.parametrize(("patch", "fault"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_bug_is_found(
    patch: Patch, fault: str | None, case_of: CaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(*LIST)
    if fault is not None:
        case = replace(case, faults=((fault, 0),))
    assert findings(case) == set()
    patch(monkeypatch)
    assert findings(case)


def test_an_overlap_that_is_not_noticed_is_a_bug_or_an_overlap(
    case_of: CaseOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind(monkeypatch)
    beside = case_of(*LIST[:2], "apply slot=3 gpa=0x0 size=0x2000 hva=0x0")
    assert Ideal().apply(beside).kind == "bug"
    assert findings(beside) == {"survival"}
    across = case_of(*LIST[:2], "apply slot=3 gpa=0x1000 size=0x2000 hva=0x0")
    assert Ideal().apply(across).kind == "bug"
    inside = case_of("given slot=0 gpa=0x0 size=0x4000 hva=0x0", "apply slot=3 gpa=0x1000 size=0x2000 hva=0x0")
    assert {"invariants", "error_codes", "final_slots"} <= findings(inside)
