# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl of a kernel that may go wrong over it: every ending is an outcome, and no more is vouched for."""

import os
import time
from collections.abc import Callable
from errno import EIO, ENOMEM, ENOTTY
from pathlib import Path
from random import Random

import pytest

from engines.protocol import RefusedGiven
from engines.real.host import Host
from engines.real.kvm_list import IoctlList
from engines.real.list_vm import ListVm, ThisKvm, packed_list
from engines.real.permission import DISPOSABLE, GUEST, granted
from engines.real.watched import Failed
from engines.simulated.engines import Serial
from fuzz.campaign import Campaign
from fuzz.choices import drawn_choices
from fuzz.findings import Findings
from fuzz.grammar import case_of as drawn_case
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import Missing, RefusedHere, Unfit, Withheld
from memslots.outcome import UNSEEN, Outcome
from memslots.region import Region
from memslots.uapi import KVM_MEMSLOT_INVALID
from oracles.policy import Policy
from tests.engines.list_engines import GIVEN, MACHINE_LINE, SILENT_SECONDS, Made, Wrong, findings, hangs
from tests.engines.wrecked_kernel import MACHINE, WreckedVm, die, loop, stuck


@pytest.mark.parametrize("patch_8", [False, True])
def test_a_kernel_that_does_as_serial_does_agrees_with_it(made: Made, patch_8: bool) -> None:
    engine, _ = made(patch_8=patch_8)
    rng = Random(5)
    compared = refused = 0
    trial = Trial(Serial(), engine, Policy.PREFIX)
    while compared < 150:
        case = drawn_case(drawn_choices(rng), MACHINE)
        try:
            verdict = trial.verdict(case)
        except Unfit:
            continue
        assert not verdict.findings, case
        assert verdict.outcome.active == verdict.outcome.inactive == verdict.reference.active, case
        assert (verdict.outcome.slots_lock, verdict.outcome.slots_arch_lock) == (False, False)
        compared += 1
        refused += verdict.outcome.errno != 0
    assert 20 < refused < 130


def test_what_it_cannot_see_it_does_not_say(made: Made, grow: Case) -> None:
    engine, _ = made()
    outcome = engine.apply(grow)
    said = {name for name in Outcome._fields if getattr(outcome, name) not in (None, ())}
    assert said - {"before"} <= engine.shows
    assert outcome.dangling is outcome.corrupt is None
    assert outcome.warned is False
    for name in ("entry_errnos", "at_first_refusal", "generation", "nr_memslot_pages", "leaked", "publications"):
        assert getattr(outcome, name) is None
        assert name not in engine.shows


def loops(vm: WreckedVm) -> None:
    loop()


OOPSES = {
    "null-dereference": ["BUG: kernel NULL pointer dereference, address: 0000000000000000", "Oops: 0002 [#1] SMP"],
    "bug": ["kernel BUG at virt/kvm/kvm_main.c:1!", "invalid opcode: 0000 [#1] SMP"],
    "use-after-free": [
        "BUG: KASAN: use-after-free in kvm_swap+0x1/0x2",
        "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP",
    ],
    None: ["general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP"],
}


@pytest.mark.parametrize(("goes_wrong", "ended"), [(hangs, "hung"), (loops, "looped")])
def test_a_call_that_never_returns_is_an_outcome(made: Made, grow: Case, goes_wrong: Wrong, ended: str) -> None:
    engine, kvm = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.kind, outcome.value, outcome.active) == (ended, None, None, UNSEEN)
    assert findings(engine, grow) == ["survival"]
    kvm.goes_wrong = lambda vm: None
    assert engine.apply(grow).ended == "returned", "another child, another VM"


@pytest.mark.parametrize("kind", OOPSES)
def test_an_oops_is_an_outcome_and_the_kernel_is_suspect_from_then_on(made: Made, grow: Case, kind: str | None) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        vm.kvm.say(*OOPSES[kind])
        die()

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.kind, outcome.value) == ("crashed", kind, None)
    assert outcome.damage == (("use-after-free",) if kind == "use-after-free" else None)
    with pytest.raises(Missing, match=r"cannot be trusted any more, since it died \(.*restart the guest"):
        engine.apply(grow)


def test_a_task_that_oopses_and_does_not_end_has_crashed(made: Made, grow: Case) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        vm.kvm.say(*OOPSES["bug"])
        stuck()

    engine, _ = made(goes_wrong)
    assert engine.apply(grow)[:1] == ("crashed",)


def test_a_child_that_somebody_else_kills_is_no_crash_of_the_kernel(made: Made, grow: Case) -> None:
    engine, _ = made(lambda vm: die())
    with pytest.raises(Failed, match="the kernel's log does not say why"):
        engine.apply(grow)


@pytest.mark.parametrize(("lock", "held"), [("slots_lock", (True, None)), ("slots_arch_lock", (False, True))])
def test_a_lock_that_was_kept_is_seen_by_one_more_request(
    made: Made, grow: Case, lock: str, held: tuple[bool, bool | None]
) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        setattr(vm, lock, True)

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.value, outcome.slots_lock, outcome.slots_arch_lock) == ("returned", 0, *held)
    assert outcome.active == UNSEEN
    assert outcome.corrupt is None
    assert findings(engine, grow) == [f"balance {lock}-held"]


def test_damage_is_an_outcome_and_the_kernel_is_suspect(made: Made, grow: Case) -> None:
    engine, _ = made(lambda vm: vm.kvm.say("BUG: KASAN: double-free or invalid-free in kfree+0x1/0x2"))
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.damage, outcome.dangling) == ("returned", ("double-free",), None)
    with pytest.raises(Missing, match="since its memory was damaged \\(double-free\\)"):
        engine.apply(grow)


def test_what_comes_out_when_the_vm_is_closed_dangled(made: Made, grow: Case) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        vm.kvm.say("a line that means nothing, so that the VM is not kept")
        vm.at_close = lambda: vm.kvm.say("BUG: KASAN: use-after-free in kvm_destroy_vm+0x1/0x2")

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.damage, outcome.dangling) == (None, True)


def test_an_error_is_an_answer(made: Made, grow: Case) -> None:
    for answer, value, errno in [(1, 1, 0), (-EIO, -1, EIO), (-ENOTTY, -1, ENOTTY)]:
        engine, _ = made(lambda vm, answer=answer: answer)
        outcome = engine.apply(grow)
        assert outcome.mishaps is None, "it answered, and nobody knows of what"
        assert (outcome.ended, outcome.value, outcome.errno) == ("returned", value, errno)
        assert findings(engine, grow)[0] == "error_codes"


def test_a_slot_that_was_left_behind_is_found_if_the_case_names_it(made: Made, case_of: Callable[..., Case]) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        vm.set(7, 0, 0x100000, 0x1000, 0x10000)

    engine, _ = made(goes_wrong)
    case = case_of(MACHINE_LINE, GIVEN, "apply slot=7 gpa=0x200000 size=0x1000 hva=0x10000", "apply slot=7 size=0")
    outcome = engine.apply(case)
    assert [slot.id for slot in outcome.active[0]] == [0, 7]
    assert findings(engine, case) == ["final_slots"]


@pytest.mark.parametrize("patch_8", [False, True])
def test_sets_that_differ_are_told_apart(made: Made, grow: Case, patch_8: bool) -> None:
    """The slot is in the inactive set alone, wherever the single ioctl looks."""

    def goes_wrong(vm: WreckedVm) -> None:
        vm.active.set_memory_region(Region(0, 0, 0, 0, 0))

    engine, _ = made(goes_wrong, patch_8=patch_8)
    outcome = engine.apply(grow)
    assert [slot.id for slot in outcome.active[0]] == []
    assert outcome.inactive is not None
    assert [slot.id for slot in outcome.inactive[0]] == [0]
    assert set(findings(engine, grow)) == {"invariants sets-differ", "final_slots"}


@pytest.mark.parametrize("patch_8", [False, True])
def test_a_slot_left_invalid_is_seen_by_readers(made: Made, grow: Case, patch_8: bool) -> None:
    engine, _ = made(lambda vm: vm.invalid.add(0), patch_8=patch_8)
    outcome = engine.apply(grow)
    assert [slot.flags for slot in outcome.active[0]] == [KVM_MEMSLOT_INVALID]
    assert outcome.active == outcome.inactive
    assert findings(engine, grow) == ["invariants left-invalid", "final_slots"]


def test_a_kernel_that_contradicts_itself_is_not_believed(made: Made, grow: Case) -> None:
    """It refuses a new slot that is in nobody's way."""

    def goes_wrong(vm: WreckedVm) -> None:
        vm.sets[vm.looked_at[0]].set_memory_region(Region(9, 0, 0xFFFFFFF000, 0x1000, 0x10000))

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.corrupt, outcome.active, outcome.slots_lock) == (True, UNSEEN, False)
    assert findings(engine, grow) == ["invariants corrupt"]


def test_a_vm_in_which_a_question_of_ours_has_stayed_is_not_used_again(
    made: Made, case_of: Callable[..., Case]
) -> None:
    """One set has the slot elsewhere, where no reader looks: what is granted there stays."""

    def goes_wrong(vm: WreckedVm) -> int:
        vm.sets[1 - vm.looked_at[1]].set_memory_region(Region(1 << 16, 0, 0x20000, 0x4000, 0x10000))
        return vm.lists

    engine, _ = made(goes_wrong)
    case = case_of(MACHINE_LINE, "given slot=1:0 gpa=0x10000 size=0x4000 hva=0x10000", "apply slot=7 size=0")
    outcome = engine.apply(case)
    assert (outcome.value, outcome.corrupt, outcome.active) == (1, True, UNSEEN)
    assert engine.apply(case).value == 1, "another VM"


def test_a_slot_that_cannot_be_deleted_is_odd_and_the_vm_is_not_used_again(
    made: Made, grow: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    does = WreckedVm.set_memory_region

    def keeps(vm: WreckedVm, region: Region) -> int:
        return ENOMEM if vm.lists and not region.memory_size and region.slot == 0 else does(vm, region)

    monkeypatch.setattr(WreckedVm, "set_memory_region", keeps)
    engine, _ = made(lambda vm: vm.lists)
    for _ in range(2):
        outcome = engine.apply(grow)
        assert (outcome.value, outcome.corrupt) == (1, True), "another VM each time"
        assert [slot.npages for slot in outcome.active[0]] == [8], "which is read nevertheless"


def test_the_zeros_of_a_list_that_says_more_name_a_slot(made: Made, case_of: Callable[..., Case]) -> None:
    """Slot 0: what they ask to delete."""

    def goes_wrong(vm: WreckedVm) -> int:
        vm.set(0, 0, 0x100000, 0x1000, 0x20000)
        return 0

    engine, _ = made(goes_wrong)
    entry = "apply slot=7 gpa=0x200000 size=0x1000 hva=0x10000"
    outcome = engine.apply(case_of(MACHINE_LINE, "list nent=2", entry))
    assert [slot.id for slot in outcome.active[0]] == [0, 7]
    outcome = engine.apply(case_of(MACHINE_LINE, entry))
    assert [slot.id for slot in outcome.active[0]] == [7], "only what the case names is looked for"


@pytest.mark.parametrize("over", [stuck, die])
def test_a_vm_that_cannot_be_closed_is_corrupt(made: Made, grow: Case, over: Callable[[], None]) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        vm.kvm.say("a line that means nothing, so that the VM is not kept")
        vm.at_close = over

    engine, kvm = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.value, outcome.corrupt) == ("returned", 0, True)
    assert [slot.npages for slot in outcome.active[0]] == [8]
    kvm.goes_wrong = lambda vm: None
    assert engine.apply(grow).corrupt is None


@pytest.mark.parametrize("then", [stuck, die])
def test_what_comes_out_when_it_is_asked_what_is_left_dangled(made: Made, grow: Case, then: Callable[[], None]) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        def speaks() -> None:
            vm.kvm.say("BUG: KASAN: use-after-free in kvm_swap+0x1/0x2")
            then()

        vm.when_read = speaks

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.damage, outcome.dangling) == ("returned", None, True)


def test_a_kernel_that_has_died_says_nothing_of_its_locks_by_hanging(made: Made, grow: Case) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        def dies() -> None:
            vm.kvm.say(*OOPSES["bug"])
            stuck()

        vm.when_read = dies

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.slots_lock, outcome.slots_arch_lock, outcome.corrupt) == (
        "returned",
        None,
        None,
        True,
    )


def test_a_kernel_that_dies_when_it_is_asked_what_is_left_is_corrupt(made: Made, grow: Case) -> None:
    def goes_wrong(vm: WreckedVm) -> None:
        def dies() -> None:
            vm.kvm.say(*OOPSES["bug"])
            die()

        vm.when_read = dies

    engine, _ = made(goes_wrong)
    outcome = engine.apply(grow)
    assert (outcome.ended, outcome.value, outcome.corrupt, outcome.slots_lock) == ("returned", 0, True, None)
    assert engine.suspect


def test_a_vm_is_used_again_while_nothing_is_odd(made: Made, grow: Case) -> None:
    """Each VM answers how many lists it has seen."""

    def goes_wrong(vm: WreckedVm) -> int:
        if vm.lists == 3:
            vm.kvm.say("something odd")
        return vm.lists

    engine, _ = made(goes_wrong)
    assert [engine.apply(grow).value for _ in range(5)] == [1, 2, 3, 1, 2]


def test_a_given_region_that_is_refused_is_bad_input(made: Made, case_of: Callable[..., Case], grow: Case) -> None:
    engine, _ = made()
    with pytest.raises(RefusedGiven, match=r"given 1: .*EEXIST"):
        engine.apply(case_of(MACHINE_LINE, GIVEN, "given slot=1 gpa=0x0 size=0x1000 hva=0x0", "list nent=0"))
    assert engine.apply(grow).value == 0


def test_a_given_region_that_this_kernel_alone_refuses_is_news_of_it(
    made: Made, grow: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A campaign says so once, counts the case among those that were left out, and goes on."""
    engine, _ = made()
    monkeypatch.setattr(WreckedVm, "set_memory_region", lambda vm, region: ENOMEM)
    with pytest.raises(RefusedHere, match=r"given 0: this kernel refuses it \(ENOMEM\), and the model accepts it"):
        engine.apply(grow)
    store = Findings(tmp_path / "findings", {})
    campaign = Campaign(Trial(Serial(), engine, Policy.PREFIX), store, "worker")
    assert [campaign.observe(grow) for _ in range(2)] == [None, None]
    campaign.flush()
    store.close()
    assert capsys.readouterr().err.count("given 0: this kernel refuses it (ENOMEM)") == 1
    monkeypatch.undo()
    engine.close()
    assert engine.apply(grow).value == 0


def test_a_kernel_that_hangs_over_given_is_no_good(made: Made, grow: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = made()
    monkeypatch.setattr(WreckedVm, "set_memory_region", lambda vm, region: stuck())
    with pytest.raises(Missing, match=r"fails at serial requests for a new VM .*it hangs"):
        engine.apply(grow)
    with pytest.raises(Missing, match="cannot be trusted any more"):
        engine.apply(grow)


MOST = (16 << 20) // 96
"""64 bytes an entry, and 32 for each in the batch."""


@pytest.mark.parametrize(
    ("lines", "unfit"),
    [
        ([f"list nent={MOST}"], None),
        ([f"list nent={MOST + 1}"], f"nent={MOST + 1}: the kernel would allocate .* at most nent={MOST}"),
        (["list nent=0xffffffff"], "would allocate"),
        (["apply slot=0 gpa=0x0 size=0x400000 hva=0x0"], None),
        (["apply slot=0 gpa=0x0 size=0x401000 hva=0x0"], "entry 0: memory_size=0x401000: expected at most 1024 pages"),
        # Serial refuses it for the overlap; a list may have deleted what is in the way by then.
        ([GIVEN, "apply slot=1 gpa=0x0 size=0x401000 hva=0x0"], "entry 0: memory_size"),
        # Behind a refusal, too: a list looks at flagged entries first.
        (["apply slot=9 size=0", "apply slot=1 gpa=0x0 size=0x401000 hva=0x0"], "entry 1: memory_size"),
        (["apply slot=1 gpa=0x0 size=0x401001 hva=0x0"], None),
        (["apply slot=1 gpa=0x0 size=0xfffffffffffff000 hva=0x0"], None),
        (["list nent=0", "apply slot=1 gpa=0x0 size=0x401000 hva=0x0"], None),
        (["apply slot=0 size=0", "fault slot=0"], "fault slot: a real kernel fails when it likes"),
    ],
)
def test_a_list_goes_to_the_kernel_only_if_it_cannot_allocate_much(
    made: Made, case_of: Callable[..., Case], lines: list[str], unfit: str | None
) -> None:
    engine, _ = made()
    case = case_of(MACHINE_LINE, *lines)
    if unfit is None:
        assert engine.apply(case).ended == "returned"
    else:
        with pytest.raises(Unfit, match=unfit):
            engine.apply(case)


def test_a_case_for_another_machine_is_taken_where_no_entry_tells_the_difference(
    made: Made, case_of: Callable[..., Case]
) -> None:
    engine, _ = made()
    assert engine.apply(case_of("apply slot=0 gpa=0x0 size=0x1000 hva=0x0")).value == 0
    for entry in ("slot=1 gpa=0x10000000000 size=0x1000 hva=0x0", "slot=2:0 size=0x1000"):
        refused_first = case_of("apply slot=9 size=0", f"apply {entry}")
        if entry.startswith("slot=2"):
            assert engine.apply(refused_first).errno == 22
        else:
            with pytest.raises(Unfit, match=r"entry 1: .* max_gfn=0xfffffff on this host"):
                engine.apply(refused_first)


def test_the_list_is_packed_as_the_series_lays_it_out(case_of: Callable[..., Case]) -> None:
    case = case_of(
        "list nent=3 header_flags=0x7",
        "apply slot=1:2 gpa=0x1000 size=0x2000 hva=0x3000 flags=0x4 invalidate_slot=5 padding=0607",
    )
    packed = packed_list(case)
    assert packed.hex() == (
        "0300000007000000" + "0200010004000000" + "0010000000000000" + "0020000000000000" + "0030000000000000"
        "05" + "0607" + "00" * 29 + "00" * 128
    )
    assert len(packed_list(Case(case.apply * 3, nent=1))) == 8 + 3 * 64


def test_it_runs_only_where_somebody_has_said_that_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GUEST, raising=False)
    monkeypatch.delenv(DISPOSABLE, raising=False)
    with pytest.raises(Withheld, match=r"expected a guest .*, or --this-machine-is-disposable"):
        IoctlList().apply(Case(()))
    with pytest.raises(Withheld):
        ThisKvm().vm()
    with granted():
        assert os.environ[DISPOSABLE] == "1"
    assert DISPOSABLE not in os.environ


@pytest.mark.parametrize("variable", [GUEST, DISPOSABLE])
def test_a_kernel_without_the_ioctl_is_one_line(host: Host, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    if host.region_list:
        pytest.skip("needs a kernel without the list ioctl: this one has it")
    monkeypatch.setenv(variable, "1")
    with pytest.raises(Missing, match=r"has no KVM_SET_USER_MEMORY_REGION_LIST \(it answers ENOTTY\): boot .*guest"):
        IoctlList().apply(Case(()))


def test_readers_of_this_kernel_find_what_may_be_written(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GUEST, "1")
    with ThisKvm().vm() as vm:
        assert isinstance(vm, ListVm)
        assert vm.set(0, 0, 0x10000, 0x2000, 0x10000) == 0
        assert vm.set(1, 2, 0x20000, 0x1000, 0x10000) == (0 if host.machine.readonly else 22)
        assert [vm.finds(gpa) for gpa in (0xF000, 0x10000, 0x11000, 0x12000, 0x20000)] == [0, 1, 1, 0, 0]
        assert vm.set(0, 0, 0, 0, 0) == 0
        assert not vm.finds(0x10000)


def test_nothing_waits_longer_than_it_must(made: Made, grow: Case) -> None:
    """A hang is told after the silence, and then at once."""
    engine, _ = made(hangs)
    begin = time.monotonic()
    engine.apply(grow)
    assert time.monotonic() - begin > SILENT_SECONDS
