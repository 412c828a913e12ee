# SPDX-License-Identifier: GPL-2.0-only
"""The engines of a kernel tree's own code, on a library that has the interface and no kernel in it (fake_tree.c)."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from engines.catalogue import engine_named, known, strict
from engines.protocol import RefusedGiven
from engines.simulated.engines import Serial
from engines.tree.build import RECORD
from engines.tree.built import built_in
from engines.tree.engine import TreeList, TreeSerial
from engines.tree.link import LIBRARY
from engines.tree.worker import Worker
from fuzz.calibration import drawn_sequence
from fuzz.choices import drawn
from fuzz.grammar import case_of as drawn_case
from fuzz.trial import Trial
from memslots.case import Case
from memslots.errors import BadInput, Missing, RefusedHere, Unfit
from memslots.machine import DEFAULT_MACHINE
from memslots.outcome import UNSEEN, Change, Outcome
from oracles.policy import Policy
from tests.conftest import status
from tests.engines.drawn_verdicts import drawn_verdicts
from tests.fake_tree import ODDITIES, odd

Builds = Callable[..., Path]
CaseOf = Callable[..., Case]
GIVEN = "given slot=0 gpa=0x0 size=0x4000 hva=0x10000"


@pytest.fixture
def alone(fake_tree: Builds) -> Iterator[Callable[..., TreeList | TreeSerial]]:
    """Engines with a process of their own, that is gone when the test is over."""
    workers: list[Worker] = []

    def engine(*defines: str, serial: bool = False, silent_seconds: float = 20.0) -> TreeList | TreeSerial:
        built = built_in(fake_tree(*defines))
        workers.append(Worker(built.library, built.layout, built.environment, silent_seconds))
        return (TreeSerial if serial else TreeList)("tree:x", built, workers[-1])

    yield engine
    for worker in workers:
        worker.close()
        worker.close()


def oddly(case_of: CaseOf, name: str) -> Case:
    return case_of(GIVEN, f"apply slot=1 gpa=0x100000 size=0x1000 hva={odd(name)}")


def findings(engine: TreeList | TreeSerial, case: Case) -> list[str]:
    return [finding.bucket for finding in Trial(Serial(), engine, Policy.ATOMIC).verdict(case).findings]


# -- what a serial library says is what `serial` says ---------------------------------------------------------------


def test_every_field_of_the_single_ioctl_is_that_of_serial(fake_tree: Builds) -> None:
    engine = TreeSerial("tree-serial:x", built_in(fake_tree()), keep_going=True)
    rng = Random(3)
    for _ in range(40):
        case = Case(tuple(drawn_sequence(rng, DEFAULT_MACHINE)))
        assert engine.apply(case) == Serial(keep_going=True).apply(case)


def test_faults_headers_and_given_states_come_out_as_serial_says(fake_tree: Builds) -> None:
    engine = engine_named(f"tree-serial:{fake_tree()}")
    choices = drawn(Random(5))
    struck = short = applied = 0
    while applied < 600:
        case = drawn_case(next(choices))
        try:
            outcome = engine.apply(case)
        except Unfit:
            continue
        applied += 1
        struck += bool(outcome.failed)
        short += case.nent is not None
        assert outcome == Serial().apply(case)._replace(published=None)
    assert struck > 10
    assert short > 10


def test_a_recorded_outcome_has_what_it_publishes(fake_tree: Builds, case_of: CaseOf) -> None:
    case = case_of(GIVEN, "apply slot=0 gpa=0x8000 size=0x4000 hva=0x10000")
    outcome = engine_named(f"tree-serial:{fake_tree()}").apply(case, record=True)
    assert outcome.published == Serial().apply(case, record=True).published
    assert outcome.events is not None
    assert [(event.kind, event.change) for event in outcome.events] == [("publish", Change.MOVE)] * 2


def test_a_header_that_names_more_entries_reads_zeros_behind_them(fake_tree: Builds, case_of: CaseOf) -> None:
    case = case_of(GIVEN, "list nent=4000000000", "apply slot=1 gpa=0x100000 size=0x1000 hva=0x20000")
    outcome = engine_named(f"tree-serial:{fake_tree()}").apply(case)
    assert outcome == Serial().apply(case)
    assert outcome.entry_errnos == (0, 0, 22)


# -- the list ioctl -------------------------------------------------------------------------------------------------


def test_a_sound_list_ioctl_agrees_with_serial(fake_tree: Builds) -> None:
    engine = engine_named(f"tree:{fake_tree()}")
    for verdict in drawn_verdicts(Trial(Serial(), engine), 300, 7):
        assert [finding.bucket for finding in verdict.findings] == []


def test_a_list_that_undoes_nothing_is_found(fake_tree: Builds, case_of: CaseOf) -> None:
    engine = engine_named(f"tree:{fake_tree('NAIVE')}")
    assert isinstance(engine, TreeList)
    case = case_of(GIVEN, "apply slot=1 gpa=0x100000 size=0x1000 hva=0x20000", "apply slot=2 size=0")
    assert "final_slots EINVAL EINVAL DELETE refuse" in findings(engine, case)


def test_a_build_without_a_list_ioctl_is_its_single_one(fake_tree: Builds) -> None:
    engine = engine_named(f"tree:{fake_tree('NO_LIST')}")
    assert isinstance(engine, TreeSerial)
    assert engine.name == f"tree:{fake_tree('NO_LIST')}"


def test_the_model_check_says_whether_a_tree_is_held_to_refuse_a_bad_form(fake_tree: Builds, tmp_path: Path) -> None:
    assert strict(engine_named(f"tree:{fake_tree()}"))
    other = tmp_path / "other"
    other.mkdir()
    facts = json.loads((fake_tree() / RECORD).read_text()) | {"checked": None}
    (other / RECORD).write_text(json.dumps(facts))
    (other / LIBRARY).symlink_to(fake_tree() / LIBRARY)
    assert not strict(engine_named(f"tree:{other}"))


# -- what goes wrong is an outcome, and the next case finds a clean VM ------------------------------------------------

WRONG: dict[str, Callable[[Outcome], bool]] = {
    "warns": lambda outcome: outcome.warned is True,
    "bugs": lambda outcome: (outcome.ended, outcome.kind) == ("crashed", "bug"),
    "oopses": lambda outcome: (outcome.ended, outcome.kind) == ("crashed", "null-dereference"),
    "waits": lambda outcome: outcome.ended == "hung" and outcome.slots_lock is True,
    "loops": lambda outcome: outcome.ended == "looped",
    "unknown": lambda outcome: outcome.kind == "unresolved-helper" and "kvm_new_helper" in told(outcome),
    "dies": lambda outcome: outcome.ended == "crashed" and outcome.active == UNSEEN and "signal 9" in told(outcome),
    "stays": lambda outcome: outcome.ended == "looped" and outcome.active == UNSEEN,
    "leaks": lambda outcome: outcome.leaked == 1,
    "frees twice": lambda outcome: outcome.damage == ("double-free",),
    "overruns": lambda outcome: outcome.damage == ("out-of-bounds",),
    "keeps lock": lambda outcome: outcome.slots_arch_lock is True,
    "in place": lambda outcome: outcome.damage == ("changed-in-place",),
}


def told(outcome: Outcome) -> str:
    return " ".join(event.detail for event in outcome.mishaps or ())


def test_every_oddity_of_the_fake_is_tried() -> None:
    assert set(WRONG) == set(ODDITIES)


@pytest.mark.parametrize("serial", [False, True], ids=["list", "serial"])
@pytest.mark.parametrize("name", ODDITIES)
def test_what_goes_wrong_is_an_outcome_and_does_no_harm_to_the_next_case(
    name: str, serial: bool, alone: Callable[..., TreeList | TreeSerial], case_of: CaseOf
) -> None:
    engine = alone(serial=serial, silent_seconds=0.5)
    sound = case_of(GIVEN, "apply slot=1 gpa=0x100000 size=0x1000 hva=0x20000")
    expected = engine.apply(sound)
    assert findings(engine, sound) == []
    for _ in range(2):
        outcome = engine.apply(oddly(case_of, name))
        assert WRONG[name](outcome)
        assert outcome.before == expected.before
        assert findings(engine, oddly(case_of, name)), "no oracle minds"
        assert engine.apply(sound) == expected


def test_a_bug_is_told_with_its_source_line(fake_tree: Builds, case_of: CaseOf) -> None:
    outcome = engine_named(f"tree:{fake_tree()}").apply(oddly(case_of, "bugs"))
    assert told(outcome) == "bug: kvm_odd (virt/kvm/kvm_main.c:42)"


ENDS = {
    "bugs": ("crashed", "bug", "given 1: bug: kvm_odd (virt/kvm/kvm_main.c:42)", "crashed-bug"),
    "waits": ("hung", None, "given 1: slots_lock (virt/kvm/kvm_main.c:42)", "hung"),
    "loops": ("looped", None, "given 1: (virt/kvm/kvm_main.c:42)", "looped"),
}


@pytest.mark.parametrize("serial", [False, True], ids=["list", "serial"])
@pytest.mark.parametrize("name", ENDS)
def test_a_given_that_does_not_return_is_a_finding(
    name: str, serial: bool, alone: Callable[..., TreeList | TreeSerial], case_of: CaseOf
) -> None:
    engine = alone(serial=serial, silent_seconds=0.5)
    ended, kind, detail, word = ENDS[name]
    case = case_of(GIVEN, f"given slot=1 gpa=0x10000 size=0x1000 hva={odd(name)}", "apply slot=1 size=0")
    outcome = engine.apply(case)
    assert (outcome.ended, outcome.kind, outcome.active) == (ended, kind, UNSEEN)
    assert told(outcome).startswith(detail)
    assert findings(engine, case) == [f"survival ok {word} given UNKNOWN {ended}"]


def test_a_given_that_only_this_tree_refuses_is_news_of_it(fake_tree: Builds, case_of: CaseOf) -> None:
    build = fake_tree("NO_LOGGING")
    engine = engine_named(f"tree:{build}")
    with pytest.raises(RefusedHere, match=rf"given 0: this kernel refuses it \(EINVAL\).*tree check {build}"):
        engine.apply(
            case_of("given slot=1 gpa=0x0 size=0x1000 hva=0x10000 flags=LOG_DIRTY_PAGES", "apply slot=1 size=0")
        )
    with pytest.raises(RefusedGiven):
        engine.apply(case_of("given slot=1 size=0", "apply slot=1 size=0"))


def test_the_process_ends_with_whoever_asks(alone: Callable[..., TreeList | TreeSerial], case_of: CaseOf) -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        engine = alone()
        engine.apply(case_of(GIVEN, "apply slot=0 size=0"))
        process = engine._called._worker._process
        assert process is not None
        os.write(writing, str(process.pid).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(parent, 0)
    pid = int(os.read(reading, 100))
    os.close(reading)
    for _ in range(1000):
        if "(zombie)" in status(pid):
            break
        os.sched_yield()
    assert "(zombie)" in status(pid)


# -- what is no build, or no case for it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("address_spaces=1", "address_spaces=0x1"),
        ("page_size=0x10000", "page_size=0x10000"),
        ("user_slots=500", "user_slots=0x1f4"),
        ("readonly=0", "readonly=0x0"),
    ],
)
def test_a_machine_that_the_tree_is_not_compiled_for_is_unfit_by_name(
    override: str, named: str, fake_tree: Builds, case_of: CaseOf
) -> None:
    case = case_of(f"machine linux-6.1 {override}", "apply slot=1 size=0")
    with pytest.raises(Unfit, match=named):
        engine_named(f"tree:{fake_tree()}").apply(case)


def test_max_gfn_is_the_cases_own(fake_tree: Builds, case_of: CaseOf) -> None:
    case = case_of("machine linux-6.1 max_gfn=0xff", "apply slot=1 gpa=0x100000 size=0x1000 hva=0x20000")
    assert engine_named(f"tree-serial:{fake_tree()}").apply(case) == Serial().apply(case)


def test_a_list_too_long_for_the_interface_is_unfit(fake_tree: Builds) -> None:
    long = Case(tuple(drawn_sequence(Random(1), DEFAULT_MACHINE)) * 2000)
    with pytest.raises(Unfit, match="expected at most"):
        engine_named(f"tree:{fake_tree()}").apply(long)


@pytest.mark.parametrize(
    ("name", "there"), [("tree:x", True), ("tree-serial:x", True), ("tree:", False), ("tree", False), ("kvm:x", False)]
)
def test_names_of_builds_are_known_by_their_form(name: str, there: bool) -> None:
    assert known(name) is there


def test_a_folder_without_a_build_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"build\.json: No such file or directory: expected a build"):
        engine_named(f"tree:{tmp_path}")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("[]", "expected an object"),
        ("{", "no JSON"),
        ('{"abi": 1, "tree": "linux"}', "not there: build it again: sameslots tree build linux --out"),
        ('{"abi": 0, "tree": "linux"}', "another release of sameslots: build it again: sameslots tree build linux"),
    ],
)
def test_a_build_of_no_use_says_what_to_do(facts: str, message: str, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(facts)
    with pytest.raises((BadInput, Missing), match=message):
        engine_named(f"tree:{tmp_path}")


@pytest.mark.parametrize(("define", "why"), [("OTHER_ABI", "number 2, expected 1"), ("NO_VM", "kvm_create_vm fails")])
def test_a_library_of_no_use_says_why(define: str, why: str, fake_tree: Builds, case_of: CaseOf) -> None:
    with pytest.raises(Missing, match=why):
        engine_named(f"tree:{fake_tree(define)}").apply(case_of("apply slot=1 size=0"))


# -- several cases at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serial", [False, True], ids=["list", "serial"])
def test_looking_ahead_changes_no_outcome(serial: bool, alone: Callable[..., TreeList | TreeSerial]) -> None:
    ahead, one_by_one = alone(serial=serial), alone(serial=serial)
    choices = drawn(Random(11))
    for _ in range(8):
        cases = [drawn_case(next(choices), DEFAULT_MACHINE) for _ in range(32)]
        ahead.look_ahead(cases)
        assert len(ahead._called._ahead) > 24
        assert [ahead.apply(case) for case in cases] == [one_by_one.apply(case) for case in cases]
        assert not ahead._called._ahead


@pytest.mark.parametrize("name", ["oopses", "overruns", "dies", "stays", "bugs"])
def test_a_case_that_does_harm_costs_those_behind_it_nothing(
    name: str, alone: Callable[..., TreeList | TreeSerial], case_of: CaseOf
) -> None:
    engine = alone(silent_seconds=0.5)
    sound = [case_of(GIVEN, f"apply slot={i} gpa=0x100000 size=0x1000 hva=0x20000") for i in range(1, 5)]
    expected = [engine.apply(case) for case in sound]
    for _ in range(2):
        odd_case = oddly(case_of, name)
        engine.look_ahead([*sound[:2], odd_case, *sound[2:]])
        outcomes = [engine.apply(case) for case in (*sound[:2], odd_case, *sound[2:])]
        assert WRONG[name](outcomes.pop(2))
        assert outcomes == expected


def test_what_was_looked_ahead_for_is_not_taken_for_another_question(
    alone: Callable[..., TreeList | TreeSerial], case_of: CaseOf
) -> None:
    engine = alone(serial=True)
    case = case_of(GIVEN, "apply slot=0 size=0")
    engine.look_ahead([case])
    assert engine.apply(case, record=True).events
    assert engine.apply(case).events is None


def test_cases_that_do_not_fit_are_left_to_be_asked_for(
    alone: Callable[..., TreeList | TreeSerial], case_of: CaseOf
) -> None:
    engine = alone()
    unfit = case_of("machine linux-6.1 readonly=0", "apply slot=1 size=0")
    long = Case(tuple(drawn_sequence(Random(1), DEFAULT_MACHINE)) * 20)
    engine.look_ahead([unfit, long])
    with pytest.raises(Unfit, match="readonly"):
        engine.apply(unfit)
    assert engine.apply(long).ended == "returned"
