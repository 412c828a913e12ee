# SPDX-License-Identifier: GPL-2.0-only
"""Would calibration notice? Every mutant of the model's checks is found, or docs/calibrate.md proves it equivalent."""

import ast
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from random import Random
from types import FrameType

import pytest

from bench.planting import model as planting
from bench.planting.functions import Function, Text, functions
from bench.planting.model import (
    CHECKS,
    PACKAGE,
    NotLookedAt,
    Planted,
    Sequences,
    models_with,
    planted,
    searched,
    together,
)
from bench.planting.rules import RULES
from bench.planting.survivors import PAGE, NoCondition, surviving, survivors
from bench.planting.world import source_of
from engines.real import rehearsal
from engines.real.host import Host
from engines.simulated.plain import PlainVm
from fuzz.calibration import Calibration, drawn_sequence
from fuzz.models import MODELS, Model
from memslots.machine import DEFAULT_MACHINE, Machine, machine_of
from memslots.region import Region

SEED = 1
PARTS = 16
REQUESTS = 20_000
"""What calibrate compares in some seconds, and not in how many: a busy machine finds the same as an idle one."""
REQUESTS_OF_SURVIVORS = 3_000
"""More than the last of the others takes; `make mutants` goes on for longer."""

CARRY_OUT = {
    "engines.simulated.plain_memslots": {"PlainMemslots.walk"},
    "engines.simulated.kernel": {"Kernel.commit"},
    "engines.simulated.objects": {"Memslots.holds", "Memslots.unlink", "Memslots.insert_gfn"},
    "engines.simulated.vm": {
        *("Vm.as_id_of", "Vm.replace", "Vm.swap", "Vm.lock_slots", "Vm.lock_arch", "Vm.new_slot", "Vm.new_invalid"),
        *("Vm.kfree", "Vm.vfree", "Vm.mishap", "Vm.unlock_slots", "Vm._release_arch"),
    },
}
"""What models run besides, with conditions in it: it does what was decided, locks, counts, frees and tells."""

EVERY = list(planted())
LISTED = survivors(PAGE.read_text())


@pytest.fixture(scope="module")
def sequences(host: Host) -> Sequences:
    return Sequences(SEED, host.machine)


def surviving_here(host: Host) -> list[Planted]:
    """Those that a rule proves not to differ, and those that the page does."""
    listed = surviving(LISTED, host.machine)
    return [each for each in EVERY if each.mutant.proof or each.name in listed]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_mutant_is_found_that_is_not_proved_equivalent(part: int, host: Host, sequences: Sequences) -> None:
    equal = {each.name for each in surviving_here(host)}
    looked_for = [each for each in EVERY[part::PARTS] if each.name not in equal]
    assert len(looked_for) > len(EVERY) / PARTS / 2
    unfound = [
        f"{each.mutant.where}, {each.name}"
        for each in looked_for
        if searched(models_with(each.module, each.mutant.source), sequences, requests=REQUESTS).difference is None
    ]
    assert unfound == []


@pytest.mark.parametrize("part", range(2))
def test_no_mutant_is_found_that_is_proved_equivalent(part: int, host: Host, sequences: Sequences) -> None:
    equal = surviving_here(host)[part::2]
    assert equal
    search = together(equal, sequences, requests=REQUESTS_OF_SURVIVORS)
    assert search.difference is None, search.difference.kind
    assert search.requests >= REQUESTS_OF_SURVIVORS


def test_that_none_is_found_is_not_believed_of_who_does_not_look_at_all_of_them(
    host: Host, sequences: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(Calibration):
        """Compares the first model alone."""

        def __init__(self, models: dict[str, Callable[[Machine], Model]]) -> None:
            super().__init__(models=dict(list(models.items())[:1]))

    monkeypatch.setattr(planting, "Calibration", Hasty)
    with pytest.raises(NotLookedAt, match="the last one is wrong by design"):
        together(surviving_here(host)[:2], sequences, requests=100)


OTHER_MACHINES = {
    "two address spaces": machine_of("linux-6.1", {}),
    "no readonly support": machine_of("linux-6.18", {"readonly": 0}),
    "a low maximum gfn": machine_of("linux-6.18", {"max_gfn": 0xFFFF}),
    "the highest maximum gfn": machine_of("linux-6.18", {"max_gfn": (1 << 52) - 1}),
}
"""Machines that this host may not be: there the model without a mistake is the judge."""


def differs(each: Planted, machine: Machine, requests: list[Sequence[Region]]) -> bool:
    """Whether a mutant differs from the model in what calibrate compares, over sequences of requests."""
    for name, make in models_with(each.module, each.mutant.source).items():
        for regions in requests:
            spoilt, model = make(machine), MODELS[name](machine)
            for region in regions:
                if spoilt.set_memory_region(region) != model.set_memory_region(region):
                    return True
                if (spoilt.asked(), spoilt.walk()) != (model.asked(), model.walk()):
                    return True
    return False


@pytest.mark.parametrize("machine", OTHER_MACHINES.values(), ids=OTHER_MACHINES)
def test_a_proof_holds_on_other_machines_where_the_page_says_so_and_not_where_it_does_not(machine: Machine) -> None:
    requests = list(islice(Sequences(SEED, machine), 15))
    top = (1 << 64) - 8192
    # A slot on the last page of all, and a request that wraps over it: no sequence is that lucky.
    requests.append([Region(1, 0, top, 4096, 1 << 44), Region(0, 0, top, 12288, 1 << 45)])
    listed = {each.name: each.survives(machine) for each in LISTED}
    found = {each.name for each in EVERY if each.name in listed and differs(each, machine, requests)}
    assert found == {name for name, survives in listed.items() if not survives}


def test_the_page_lists_mutants_that_there_are_each_once_and_none_that_a_rule_proves() -> None:
    names = [each.name for each in LISTED]
    assert len(set(names)) == len(names)
    assert set(names) <= {each.name for each in EVERY if not each.mutant.proof}


def test_mutants_have_names_of_their_own_and_can_be_run() -> None:
    assert len({each.name for each in EVERY}) == len(EVERY) > 300
    for each in EVERY:
        assert models_with(each.module, each.mutant.source), each.name


def called_when_models_answer() -> set[tuple[str, str]]:
    """Module and function that a machine is made by, and that any form of the model runs, to answer drawn requests."""
    called: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith((f"{PACKAGE}.", "memslots.")):
            called.add((module, frame.f_code.co_qualname))

    rng = Random(SEED)
    regions = [region for _ in range(40) for region in drawn_sequence(rng, DEFAULT_MACHINE)]
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        machine = Machine()
        models = [make(machine) for make in MODELS.values()]
        for region in regions:
            for model in models:
                model.set_memory_region(region)
                model.walk()
    finally:
        sys.setprofile(before)
    return called


def decides(function: Function, text: Text) -> bool:
    """Whether there is a condition in it; of a value, whether there is anything that a rule can spoil."""
    return bool(function.conditions) or any(True for rule in RULES for _ in rule(function, text))


def test_whatever_decides_in_a_model_is_planted_by_rule() -> None:
    """Or carries out what was decided, and is named: a check in a new function cannot be forgotten."""
    called = called_when_models_answer()
    deciding: dict[str, set[str]] = {}
    for module in {module for module, _ in called}:
        source, _ = source_of(module)
        of_values = module.startswith("memslots.")
        deciding[module] = {
            function.name
            for function in functions(ast.parse(source))
            if (decides(function, Text(source)) if of_values else function.conditions)
            and (module, function.name) in called
        }
    assert {module for module, names in deciding.items() if names} == {*CHECKS, *CARRY_OUT}
    beyond = {
        module: names - set(CHECKS.get(module) or (names if module in CHECKS else ()))
        for module, names in deciding.items()
    }
    assert {module: names for module, names in beyond.items() if names} == CARRY_OUT


def test_a_mistake_in_a_value_is_the_model_s_alone(host: Host) -> None:
    """It has machines, requests and slots of its own; whoever asks it has the real ones."""
    for module, was, is_ in (
        ("memslots.machine", "KVM_MEM_LOG_DIRTY_PAGES | (", "(KVM_MEM_LOG_DIRTY_PAGES & 0) | ("),
        ("memslots.region", "return self.slot >> 16", "return self.slot + 1"),
        ("memslots.slot", "slot & 0xFFFF, gpa", "slot | 1, gpa"),
    ):
        source, _ = source_of(module)
        assert was in source
        models = models_with(module, source.replace(was, is_))
        assert list(models) == list(MODELS)
        logging = [Region(0, 1, 0, 4096, 0), Region(0, 1, 0, 4096, 0)]
        for form, make in models.items():
            model, right = make(host.machine), MODELS[form](host.machine)
            answers = [
                [(each.set_memory_region(region), each.asked(), each.walk()) for region in logging]
                for each in (model, right)
            ]
            assert answers[0] != answers[1], (module, form)
        assert host.machine.known_flags & 1
        assert Region(4).as_id == 0


def test_a_mutant_never_decides_what_may_go_to_the_kernel(host: Host) -> None:
    """A model that lets any length pass: the rehearsal is the real one, and what it leaves out is left out."""
    source, _ = source_of(f"{PACKAGE}.plain")
    lax = source.replace("size >> machine.page_shift > KVM_MEM_MAX_NR_PAGES", "False")
    assert lax != source
    models = models_with(f"{PACKAGE}.plain", lax)
    assert vars(rehearsal)["PlainVm"] is PlainVm
    calibration = Calibration(models=models)
    try:
        difference = calibration.compare([Region(0, 0, 0, 4096 * 1025, 1 << 44)])
    finally:
        calibration.close()
    assert difference is None
    assert (calibration.left_out, calibration.ops) == (1, 0)


def test_a_model_that_raises_gives_an_answer_that_no_kernel_gives(host: Host) -> None:
    source, _ = source_of(f"{PACKAGE}.serial")
    models = models_with(f"{PACKAGE}.serial", source.replace("kernel.lock_slots()", "kernel.nothing()"))
    assert list(models) == ["faithful"]
    calibration = Calibration(models=models)
    try:
        difference = calibration.compare([Region(0, 0, 0, 4096, 0)])
    finally:
        calibration.close()
    assert difference is not None
    assert difference.kind == "faithful CREATE: the model says -1, the kernel ok"


PAGE_OF_TWO = "x\n```mutants address_spaces=1 max_gfn<0x1000\na.b: `x`\na.c: `y`\n```\n\n```mutants\na.d: `z`\n```\n"


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"address_spaces": 1, "max_gfn": 0xFFF}, {"a.b: `x`", "a.c: `y`", "a.d: `z`"}),
        ({"address_spaces": 1, "max_gfn": 0x1000}, {"a.d: `z`"}),
        ({"address_spaces": 2, "max_gfn": 0xFFF}, {"a.d: `z`"}),
    ],
)
def test_a_proof_holds_on_the_machines_that_it_says(overrides: dict[str, int], names: set[str]) -> None:
    assert surviving(survivors(PAGE_OF_TWO), machine_of("linux-6.1", overrides)) == names


@pytest.mark.parametrize("words", ["address_space=1", "max_gfn>1", "max_gfn", "max_gfn<x"])
def test_a_condition_that_is_none_is_told(words: str) -> None:
    with pytest.raises(NoCondition):
        survivors(f"```mutants {words}\na.b\n```\n")
