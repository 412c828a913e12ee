# SPDX-License-Identifier: GPL-2.0-only
"""What readers may see on the way, on hand-made outcomes: one state a word list, `0@2+4` slot 0 on gfns 2 to 5.

`!` behind it is INVALID, `L` logs; the memory of gfn n is page n of one mapping, unless `~` moves it.
"""

from random import Random

import pytest

from engines.catalogue import engine_named
from engines.simulated.engines import RfcV1, Serial, SerialRfcV1
from engines.simulated.qemu_commit import QemuCommit
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.outcome import Outcome, Publication
from memslots.slot import Gfn, Slot, SlotSet
from memslots.textreader import parse_case
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEMSLOT_INVALID
from oracles import visibility as visibility_module
from oracles.backing import Loss, figures
from oracles.judge import asked
from oracles.mismatch import Mismatch
from oracles.policy import Policy
from oracles.visibility import backing, visibility

PAGE = 4096


def slots(text: str, as_id: int = 0, page: int = PAGE) -> SlotSet:
    """The slots of one address space."""
    found = []
    for word in text.split():
        slot_id, _, rest = word.rstrip("!L~").partition("@")
        base, _, npages = rest.partition("+")
        flags = KVM_MEMSLOT_INVALID * ("!" in word) | KVM_MEM_LOG_DIRTY_PAGES * ("L" in word)
        memory = (int(base) + 1000 * ("~" in word)) * page
        found.append(Slot(as_id, int(slot_id), Gfn(int(base)), int(npages), memory, flags))
    return tuple(sorted(found))


def published(*states: str) -> tuple[Publication, ...]:
    """Publications of address space 0; of 1 where a state begins with `1:`; inhibited with `#` before it."""
    return tuple(
        Publication(int("1:" in state), slots(state.lstrip("#").removeprefix("1:"), int("1:" in state)), "#" in state)
        for state in states
    )


def called(before: str, states: tuple[str, ...], *, second: str = "") -> Outcome:
    """What a call that returned 0 shows, and left as it published it; `second` is before in address space 1."""
    was, is_now = (slots(before), slots(second, 1)), [slots(before), slots(second, 1)]
    shown = published(*states)
    for as_id, there, _ in shown:
        is_now[as_id] = there
    return Outcome("returned", tuple(is_now), was, value=0, errno=0, corrupt=False, published=shown, page_size=PAGE)


def accepted(before: str, after: str, second: tuple[str, str] = ("", "")) -> Outcome:
    """The reference, which accepts the list."""
    was, is_now = (slots(before), slots(second[0], 1)), (slots(after), slots(second[1], 1))
    return Outcome("returned", is_now, was, value=0, errno=0)


def refused(before: str, at_refusal: str) -> Outcome:
    """The reference, which refuses the list."""
    return accepted(before, at_refusal)._replace(value=-1, errno=17, at_first_refusal=(slots(at_refusal), ()))


def whats(mismatches: object) -> list[str]:
    """What was found."""
    assert not isinstance(mismatches, Mismatch)
    return [mismatch.what for mismatch in mismatches]  # type: ignore[attr-defined]  # an iterator of mismatches


LISTS = {
    # before, after, published, found
    "nothing": ("0@0+2", "0@0+2", (), []),
    "one step": ("0@0+2", "0@0+2 1@2+2", ("0@0+2 1@2+2",), []),
    "one window": ("0@0+2 1@2+2", "2@0+4", ("0@0+2! 1@2+2!", "2@0+4"), []),
    "flags": ("0@0+2", "0@0+2L", ("0@0+2L",), []),
    "a window each": ("0@0+2 1@2+2", "2@0+4", ("0@0+2! 1@2+2", "0@0+2! 1@2+2!", "2@0+4"), ["invalid-windows"]),
    "no window": ("0@0+2 1@2+2", "1@2+2", ("1@2+2",), ["not-invalidated"]),
    "a window for another": ("0@0+2 1@2+2", "1@2+2", ("0@0+2 1@2+2!", "1@2+2"), ["not-invalidated"]),
    "same id, other memory, no window": ("0@0+2", "0@0+2~", ("0@0+2~",), ["not-invalidated"]),
    "moved without a window": ("0@0+2", "0@4+2", ("0@4+2",), ["not-invalidated"]),
    "half a list": ("0@0+1", "0@0+1 1@2+1 2@4+1", ("0@0+1 1@2+1", "0@0+1 1@2+1 2@4+1"), ["outside", "republished"]),
    "absent in between": ("0@0+2", "1@0+2", ("0@0+2!", "", "1@0+2"), ["outside", "republished", "unbacked"]),
    "absent for good": ("0@0+2", "", ("0@0+2!", ""), []),
    "other memory": ("0@0+2", "1@0+2~", ("0@0+2!", "", "1@0+2~"), ["outside", "republished"]),
    "overlapping": (
        "0@0+2",
        "0@0+2 2@8+1",
        ("0@0+2 1@1+2", "0@0+2 2@8+1"),
        ["outside", "overlap", "republished", "not-invalidated"],
    ),
    "the same again": ("", "0@0+2", ("0@0+2", "0@0+2"), ["republished"]),
    "a window with something new": ("0@0+2", "1@4+2", ("0@0+2! 1@4+2", "1@4+2"), ["outside"]),
}


@pytest.mark.parametrize(("before", "after", "states", "found"), LISTS.values(), ids=LISTS.keys())
def test_what_is_found_on_the_way_of_an_accepted_list(
    before: str, after: str, states: tuple[str, ...], found: list[str]
) -> None:
    outcome = called(before, states)
    assert whats(visibility(accepted(before, after), outcome, Policy.ATOMIC)) == found


UNDONE = {
    "nothing published": ((), []),
    "there and back": (("0@0+2! 1@2+2", "0@0+2 1@2+2"), []),
    "left INVALID, which invariants tells": (("0@0+2! 1@2+2",), []),
    "what the reference had done, seen and undone": (
        ("0@0+2! 1@2+2", "1@2+2", "0@0+2 1@2+2"),
        ["outside", "republished", "unbacked"],
    ),
}


@pytest.mark.parametrize(("states", "found"), UNDONE.values(), ids=UNDONE.keys())
def test_of_a_refused_list_nothing_may_be_seen(states: tuple[str, ...], found: list[str]) -> None:
    before = "0@0+2 1@2+2"
    outcome = called(before, states)._replace(value=-1, errno=17)
    assert whats(visibility(refused(before, "1@2+2"), outcome, Policy.ATOMIC)) == found


def test_what_a_call_leaves_is_for_others_and_what_it_hangs_in_is_seen() -> None:
    reference = accepted("0@0+2", "0@0+2 1@2+2")
    outcome = called("0@0+2", ("0@0+2 1@1+2",))
    assert whats(visibility(reference, outcome, Policy.ATOMIC)) == []
    hung = outcome._replace(ended="hung", value=None, errno=None)
    assert whats(visibility(reference, hung, Policy.ATOMIC)) == ["outside", "overlap"]


def test_nothing_is_said_of_corrupt_sets_nor_of_what_is_not_shown() -> None:
    reference = accepted("0@0+2", "1@0+2")
    outcome = called("0@0+2", ("", "1@0+2"))
    assert whats(visibility(reference, outcome, Policy.ATOMIC)) != []
    for silent in (outcome._replace(corrupt=True), outcome._replace(published=None)):
        assert whats(visibility(reference, silent, Policy.ATOMIC)) == []
        assert whats(backing(reference, silent, Policy.PREFIX)) == []


TOGETHER = {
    "one after the other": (("0@0+1", "1:0@0+1"), []),
    "both windows, then both": (("5@9+1!", "1:5@9+1!", "0@0+1", "1:0@0+1"), []),
    "all of the one, then all of the other": (("5@9+1!", "0@0+1", "1:5@9+1!", "1:0@0+1"), ["apart"]),
}


@pytest.mark.parametrize(("states", "found"), TOGETHER.values(), ids=TOGETHER.keys())
def test_both_address_spaces_change_with_nothing_in_between(states: tuple[str, ...], found: list[str]) -> None:
    before = "5@9+1" if len(states) > 2 else ""
    outcome = called(before, states, second=before)
    reference = accepted(before, "0@0+1", (before, "0@0+1"))
    assert whats(visibility(reference, outcome, Policy.ATOMIC)) == found


def test_one_after_the_other_only_the_backing_is_asked_for_and_not_while_nobody_looks() -> None:
    reference = accepted("0@0+2 1@2+2", "2@0+4")
    seen = ("0@0+2! 1@2+2", "1@2+2", "1@2+2!", "", "2@0+4")
    [mismatch] = backing(reference, called("0@0+2 1@2+2", seen), Policy.PREFIX)
    assert mismatch.what == "unbacked"
    # Address space, first gfn, how many, at how many publications.
    assert mismatch.facts == {"unbacked": [[0, 0, 2, 3], [0, 2, 2, 1]]}
    unseen = tuple(f"#{state}" for state in seen)
    assert whats(backing(reference, called("0@0+2 1@2+2", unseen), Policy.PREFIX)) == []


OVERLAPS = {
    "on the way": ("0@0+2 1@1+2", "0@0+2 1@1+2!", "0@0+2"),
    "while nobody looks": ("#0@0+2 1@1+2", "#0@0+2 1@1+2!", "#0@0+2"),
}


@pytest.mark.parametrize("states", OVERLAPS.values(), ids=OVERLAPS.keys())
def test_one_after_the_other_no_set_may_overlap_either(states: tuple[str, ...]) -> None:
    reference = accepted("0@0+2", "0@0+2")
    [mismatch] = backing(reference, called("0@0+2", states), Policy.PREFIX)
    assert mismatch.what == "overlap"
    assert mismatch.facts == {
        "address_space": 0,
        "published": [[0, 0, 2, 0, 0], [1, 1, 2, PAGE, 0]],
    }


def test_one_after_the_other_the_overlap_that_is_left_is_for_invariants() -> None:
    outcome = called("0@0+2", ("0@0+2 1@1+2",))
    assert whats(backing(accepted("0@0+2", "0@0+2"), outcome, Policy.PREFIX)) == []
    hung = outcome._replace(ended="hung", value=None, errno=None)
    assert whats(backing(accepted("0@0+2", "0@0+2"), hung, Policy.PREFIX)) == ["overlap"]


@pytest.mark.parametrize(("page", "same"), [(4096, True), (16384, False)])
def test_which_memory_a_gfn_has_depends_on_the_page_size(page: int, *, same: bool) -> None:
    before, after = (slots("0@0+4"), ()), (slots("0@0+2 1@2+2"), ())
    shown = (Publication(0, ()), Publication(0, after[0]))
    outcome = Outcome("returned", after, before, value=0, errno=0, published=shown, page_size=page)
    found = figures(outcome)
    assert found is not None
    assert found.unbacked == (Loss(0, 0, 4 if same else 2, 1),)


def test_an_invalid_slot_is_to_be_tried_again_and_not_absent() -> None:
    found = figures(called("0@0+4 1@8+1", ("0@0+4! 1@8+1", "1@8+1", "1@8+1 2@0+3")))
    assert found is not None
    assert (found.publications, found.invalid_windows, found.inhibited) == (3, 1, 0)
    assert (found.retried, found.retried_gfns) == ((Loss(0, 0, 3, 1),), 3)
    assert (found.unbacked, found.unbacked_gfns) == ((Loss(0, 0, 3, 1),), 3)


MERGE = parse_case(
    """slots 1
given slot=0 gpa=0x0 size=0x4000 hva=0x100000000000
given slot=1 gpa=0x4000 size=0x4000 hva=0x100000004000
apply slot=0 size=0 invalidate
apply slot=1 size=0 invalidate
apply slot=0 gpa=0x0 size=0x8000 hva=0x100000000000""".splitlines()
).case

FIGURES = {
    # publications, INVALID windows, inhibited, gfns x publications to be tried again, unbacked
    "serial": (5, 2, 0, 8, 4 * 3 + 4 * 1),
    "serial-rfc-v1": (5, 2, 0, 8, 4 * 3 + 4 * 1),
    "qemu-commit": (5, 2, 5, 0, 0),
    "rfc-v1": (3, 2, 0, 4 * 2 + 4 * 1, 0),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_of_a_merge(name: str) -> None:
    found = figures(engine_named(name).apply(MERGE, record=True))
    assert found is not None
    shown = (found.publications, found.invalid_windows, found.inhibited, found.retried_gfns, found.unbacked_gfns)
    assert shown == FIGURES[name]


def test_who_is_asked_for_what() -> None:
    assert visibility in asked(RfcV1.shows)
    assert backing in asked(QemuCommit.shows)
    assert visibility not in asked(QemuCommit.shows)
    for quick in (Serial, SerialRfcV1):
        assert not {visibility, backing} & set(asked(quick.shows))


def test_a_glance_finds_what_a_full_look_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """On drawn outcomes, and on the same with publications left out, doubled or exchanged."""
    rng = Random(11)
    pairs = []
    for _ in range(600):
        case = case_of(drawn_choices(rng))
        reference, outcome = Serial().apply(case), RfcV1(aftermath=False).apply(case)
        shown = list(outcome.published or ())
        pairs.append((reference, outcome))
        if shown:
            i = rng.randrange(len(shown))
            for other in (shown[:i] + shown[i + 1 :], [*shown, shown[i]], shown[::-1]):
                pairs.append((reference, outcome._replace(published=tuple(other))))
    glance = [list(visibility(reference, outcome, Policy.ATOMIC)) for reference, outcome in pairs]
    monkeypatch.setattr(visibility_module, "_FEW", -1)
    assert glance == [list(visibility(reference, outcome, Policy.ATOMIC)) for reference, outcome in pairs]
    assert sum(bool(found) for found in glance) > 100
    assert sum(not found for found in glance) > 300
