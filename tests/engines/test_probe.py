# SPDX-License-Identifier: GPL-2.0-only
"""A slot is told from every other by probes that change nothing: tried on a model, in every state of a small scope."""

from collections.abc import Callable, Iterator
from errno import EBADF, EEXIST, EINVAL
from itertools import product
from typing import cast

import pytest

from engines.real.host import Host
from engines.real.probe import PlainProbe, Probe, Region2Probe, Unexplained, holds
from engines.real.readback import UNKNOWN_HVA, Named, Readback
from engines.real.vm import Vm
from engines.simulated.plain import PlainVm
from memslots.machine import Machine, machine_of
from memslots.region import Region
from memslots.slot import Gfn, Slot, SlotSets
from memslots.uapi import KVM_MEM_MAX_NR_PAGES

MACHINE = machine_of("linux-6.1", {"max_gfn": 5})
PAGE = MACHINE.page_size
HVAS = (0x10000, 0x20000)
SPARE, STRANGE_HVA = 9, 0x30000


class ModelVm:
    """What `Vm` offers, on the model: a kernel without mistakes."""

    def __init__(self) -> None:
        self.model = PlainVm(MACHINE)

    def set(self, slot: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int) -> int:
        return self.model.set_memory_region(Region(slot, flags, guest_phys_addr, memory_size, userspace_addr))

    def ask(self, slot: int, guest_phys_addr: int, memory_size: int) -> int:
        if memory_size // PAGE > KVM_MEM_MAX_NR_PAGES:
            return EINVAL  # whatever stands there: the length is looked at first
        slots = self.model.sets[slot >> 16].by_id
        if slot & 0xFFFF in slots:
            return EINVAL
        asked = Slot(slot >> 16, slot & 0xFFFF, Gfn(guest_phys_addr // PAGE), memory_size // PAGE, 0, 0)
        return EEXIST if any(asked.overlaps(other) for other in slots.values()) else EBADF

    def logs(self, slot: int) -> bool:
        there = self.model.slot(slot >> 16, slot & 0xFFFF)
        return there is not None and there.flags & 1 == 1


def region_of(slot: Slot) -> Region:
    number = slot.as_id << 16 | slot.id
    return Region(number, slot.flags, slot.base_gfn * PAGE, slot.npages * PAGE, slot.userspace_addr)


def vm_with(*slots: Slot) -> ModelVm:
    vm = ModelVm()
    for slot in slots:
        assert vm.model.set_memory_region(region_of(slot)) == 0
    return vm


def some_slots(slot_id: int, hvas: tuple[int, ...] = HVAS, flags: tuple[int, ...] = (0, 1, 2)) -> Iterator[Slot]:
    """Every slot of this id on four gfns."""
    for base, npages in product(range(4), range(1, 5)):
        if base + npages <= 4:
            for hva, bits in product(hvas, flags):
                yield Slot(0, slot_id, Gfn(base), npages, hva, bits)


def states() -> Iterator[tuple[Slot, ...]]:
    """Every state of up to two slots on four gfns; the second is plain."""
    yield ()
    for first in some_slots(0):
        yield (first,)
        for second in some_slots(1, HVAS[:1], (0,)):
            if not first.overlaps(second):
                yield first, second
    for second in some_slots(1, HVAS[:1], (0,)):
        yield (second,)


PROBES: dict[str, Callable[[Vm], Probe]] = {
    "REGION2": lambda vm: Region2Probe(vm, PAGE, SPARE),
    "plain": lambda vm: PlainProbe(vm, PAGE, SPARE, STRANGE_HVA),
}


@pytest.mark.parametrize("kind", PROBES)
def test_exactly_the_slot_that_is_there_is_found_and_nothing_changes(kind: str) -> None:
    """Every expectation about one id, in every state of the scope: 15,060 questions."""
    asked = 0
    for state in states():
        model = vm_with(*state)
        vm = cast(Vm, model)
        before = model.model.walk()
        for expected in some_slots(0):
            assert holds(vm, PROBES[kind](vm), expected, PAGE) == (expected in state), (state, expected)
            assert model.model.walk() == before, (state, expected)
            asked += 1
    assert asked == 15_060


@pytest.mark.parametrize("kind", PROBES)
def test_whether_an_id_is_taken_is_told_wherever_the_question_aims(kind: str) -> None:
    for state in states():
        model = vm_with(*state)
        before = model.model.walk()
        probe = PROBES[kind](cast(Vm, model))
        for slot_id, at in product(range(3), range(5)):
            assert probe.taken(slot_id, at) == any(slot.id == slot_id for slot in state)
        for gfn in range(8):
            assert probe.covered(0, gfn) == any(slot.base_gfn <= gfn < slot.end_gfn for slot in state)
        assert model.model.walk() == before


def read(model: ModelVm, *named: Slot, region2: bool = True) -> Readback:
    regions = [region_of(slot) for slot in named]
    return Readback(cast(Vm, model), MACHINE, Named(MACHINE, MACHINE, regions), region2=region2)


A = Slot(0, 0, Gfn(0), 2, HVAS[0], 1)
B = Slot(0, 3, Gfn(2), 2, HVAS[1], 2)
C = Slot(1, 0, Gfn(0), 1, HVAS[0], 0)


@pytest.mark.parametrize("region2", [True, False])
def test_a_set_equals_itself_and_no_other(region2: bool) -> None:
    model = vm_with(A, B, C)
    readback = read(model, A, B, C, region2=region2)
    right = ((A, B), (C,))
    others: list[SlotSets] = [
        ((A,), (C,)),
        ((B,), (C,)),
        ((A, B), ()),
        ((), ()),
        ((A, B._replace(flags=3)), (C,)),
        ((A._replace(flags=0), B), (C,)),
        ((A, B._replace(npages=1)), (C,)),
        ((A, B._replace(base_gfn=Gfn(1))), (C,)),
        ((A, B), (C._replace(userspace_addr=HVAS[1]),)),
        ((A, B._replace(id=4)), (C,)),
        # None that a kernel could have, and about which it could be asked.
        ((A, B), (C._replace(as_id=2),)),
        ((A, B), (C._replace(as_id=0),)),
    ]
    before = model.model.walk()
    assert readback.equal(right)
    assert not [other for other in others if readback.equal(other)]
    assert model.model.walk() == before
    assert readback.slots() == right


@pytest.mark.parametrize("region2", [True, False])
def test_a_slot_is_found_whose_place_and_shape_other_requests_name(region2: bool) -> None:
    """Nobody asked for slot 0 where it is; its base stands in one request, its shape in another."""
    moved = A._replace(base_gfn=B.base_gfn)
    assert read(vm_with(moved), A, B, region2=region2).slots() == ((moved,), ())


def test_a_slot_is_found_wherever_it_has_got_to() -> None:
    """No request names the place: one with REGION2 is searched for."""
    lost = B._replace(base_gfn=Gfn(4))
    assert read(vm_with(A, lost), A, B).slots() == ((A, lost), ())
    assert read(vm_with(A, lost), A, B, region2=False).slots() == (
        (A, Slot(0, 3, Gfn(0), 0, UNKNOWN_HVA, 0)),
        (),
    )


def test_a_page_is_searched_for_by_halving() -> None:
    far = machine_of("linux-6.1", {})
    model = ModelVm()
    model.model = PlainVm(far)
    model.set(0, 0, 0x3_0000_0007 * PAGE, PAGE * 2, 0)
    probe = Region2Probe(cast(Vm, model), PAGE, SPARE)
    assert probe.first_covered(0, 0, far.max_gfn + 1) == 0x3_0000_0007
    assert probe.first_covered(0, 0x3_0000_0008, far.max_gfn + 1) == 0x3_0000_0008
    assert probe.first_covered(0, 0x3_0000_0009, far.max_gfn + 1) is None
    assert probe.first_covered(0, 5, 5) is None


def test_equality_costs_four_questions_a_slot_and_one_for_each_free_id() -> None:
    asked = 0

    class Counting(ModelVm):
        def ask(self, slot: int, guest_phys_addr: int, memory_size: int) -> int:
            nonlocal asked
            asked += 1
            return super().ask(slot, guest_phys_addr, memory_size)

        def set(self, *fields: int) -> int:
            nonlocal asked
            asked += 1
            return super().set(*fields)

        def logs(self, slot: int) -> bool:
            nonlocal asked
            asked += 1
            return super().logs(slot)

    model = Counting()
    for slot in (A, B):
        model.model.set_memory_region(region_of(slot))
    free = [A._replace(id=slot_id) for slot_id in range(4, 9)]
    assert read(model, A, B, *free).equal(((A, B), ()))
    assert asked == 4 * 2 + 5


def test_a_slot_that_no_request_explains_is_shown_as_unknown() -> None:
    stranger = Slot(0, 0, Gfn(1), 3, 0x50000, 0)
    [found], _ = read(vm_with(stranger), A).slots()
    assert (found.id, found.npages, found.userspace_addr) == (0, 0, UNKNOWN_HVA)


@pytest.mark.parametrize("kind", PROBES)
def test_an_answer_that_says_nothing_of_slots_is_no_answer(kind: str) -> None:
    class Broken(ModelVm):
        def ask(self, *fields: int) -> int:
            return 5

        def set(self, *fields: int) -> int:
            return 5

    probe = PROBES[kind](cast(Vm, Broken()))
    with pytest.raises(Unexplained, match="slot 0x1 answered errno 5"):
        probe.taken(1)
    with pytest.raises(Unexplained, match="gfn 0x7 answered errno 5"):
        probe.covered(0, 7)


def test_the_spare_id_and_the_strange_address_are_nobody_s() -> None:
    highest = MACHINE.user_slots - 1
    taken = [Region(highest, 0, 0, PAGE, 0x7FFF_FFFF_E000), Region(highest - 1, 0, PAGE, PAGE, 0x7FFF_FFFF_D000)]
    named = Named(MACHINE, MACHINE, taken)
    assert named.spare == highest - 2
    assert named.strange_hva() not in (0x7FFF_FFFF_E000, 0x7FFF_FFFF_D000)


def test_what_the_host_does_not_have_is_not_asked_about(host: Host) -> None:
    machine = Machine(address_spaces=2)
    named = Named(machine, host.machine, [Region(0x10005), Region(5), Region(40000)])
    assert list(named.numbers) == ([5] if host.machine.address_spaces == 1 else [0x10005, 5])
