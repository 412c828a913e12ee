# SPDX-License-Identifier: GPL-2.0-only
"""A memory map is valid XML, the same each time; no text leaves its place; nothing is told by colour alone."""

import re
from xml.etree import ElementTree

import pytest

from engines.protocol import Engine
from engines.simulated.engines import RfcV1, Serial
from memslots.case import Case
from memslots.outcome import UNSEEN, Outcome
from memslots.textreader import parse_case
from oracles.policy import Policy
from reports.gfn_axis import ALIKE, GAP, axis_of
from reports.map_panels import CHANGED, LEFT, LOST, PHANTOM, Heading, Panel, panels_of, slot_sets_of
from reports.svg import ADVANCE
from reports.svg_map import svg_map

SVG = "{http://www.w3.org/2000/svg}"
GROW = """\
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000000000
"""
FLAGGED = """\
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000 flags=READONLY
apply slot=0 size=0 invalidate
"""
OVERLAP = """\
given slot=0 gpa=0x2000 size=0x1000 hva=0x0
apply slot=1 gpa=0x0 size=0x2000 hva=0x0
apply slot=0 gpa=0x1000 size=0x1000 hva=0x0 invalidate
apply slot=0 gpa=0x0 size=0x1000 hva=0x0
"""
SPARSE = """\
given slot=1:7 gpa=0xfffffffff000 size=0x1000 hva=0x0
given slot=3 gpa=0x1000 size=0x1000 hva=0x1000 flags=READONLY
apply slot=3 size=0 invalidate
apply slot=1:7 gpa=0x10000 size=0x1000 hva=0x0 flags=LOG_DIRTY_PAGES
apply slot=3 gpa=0x1000 size=0x1000 hva=0x2000
apply slot=9 gpa=0x1000 size=0x1000 hva=0x0
"""
MANY = "".join(
    f"given slot={i} gpa={i * 0x30000:#x} size={0x10000 * (1 + i % 3):#x} hva={i * 0x100000:#x}\n" for i in range(60)
)
ALL_AGAIN = MANY + "".join(f"apply slot={i} size=0 invalidate\n" for i in range(60)) + "apply slot=0 size=0\n"
EMPTY = "apply slot=0 size=0\n"
CASES = {
    "grow": GROW,
    "overlap": OVERLAP,
    "sparse": SPARSE,
    "many": MANY + "apply slot=3 size=0 invalidate\napply slot=60 size=0\n",
    "all again": ALL_AGAIN,
    "empty": EMPTY,
}


def outcomes_of(text: str) -> tuple[Case, dict[str, Outcome]]:
    case = parse_case(["slots 1", *text.splitlines()]).case
    engines: tuple[Engine, ...] = (Serial(), RfcV1())
    return case, {engine.name: engine.apply(case, record=True) for engine in engines}


def drawn(text: str, title: str = "a case", policy: Policy = Policy.ATOMIC) -> str:
    case, outcomes = outcomes_of(text)
    return svg_map(title, case, outcomes, policy, {})


def panels(text: str, as_id: int = 0, policy: Policy = Policy.ATOMIC) -> dict[str, Panel]:
    _, outcomes = outcomes_of(text)
    made = panels_of(as_id, outcomes, policy, 4096, {})
    return {panel.title: panel for panel in made if isinstance(panel, Panel)}


def words(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_a_picture_is_valid_and_the_same_each_time(text: str) -> None:
    svg = drawn(text)
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert svg == drawn(text)
    fills = set(re.findall(r"url\(#(\w+)\)", svg))
    assert fills <= {each.get("id") for each in root.iter(f"{SVG}pattern")}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_no_text_leaves_its_box_or_the_picture(text: str) -> None:
    root = ElementTree.fromstring(drawn(text))
    width = int(root.get("width", "0"))
    for each in root.iter(f"{SVG}text"):
        size = {"title": 14, "tick": 10}.get(each.get("class", ""), 11)
        wide = len(each.text or "") * size * ADVANCE
        x = int(each.get("x", "0"))
        left = {"middle": x - wide / 2, "end": x - wide}.get(each.get("text-anchor", ""), x)
        assert left >= 0, each.text
        assert left + wide <= width, each.text
    for group in root.iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect")
        if group.find(f"{SVG}title") is None or box is None:
            continue
        for each in group.findall(f"{SVG}text"):
            right = int(each.get("x", "0")) + len(each.text or "") * 11 * ADVANCE
            assert right <= int(box.get("x", "0")) + int(box.get("width", "0")), each.text


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_everything_lies_inside_the_picture(text: str) -> None:
    root = ElementTree.fromstring(drawn(text))
    width, height = int(root.get("width", "0")), int(root.get("height", "0"))
    for group in root.findall(f"{SVG}g"):
        [down] = re.findall(r"translate\(0,(\d+)\)", group.get("transform", ""))
        for each in group.iter(f"{SVG}rect"):
            x, y, wide, high = (int(each.get(name, "0")) for name in ("x", "y", "width", "height"))
            assert wide > 0
            assert x + wide <= width
            assert int(down) + y + high <= height


def test_what_was_invalidated_and_what_is_lost_is_said_in_words() -> None:
    made = panels(GROW)
    assert [(box.slot.id, box.marks) for box in made["after rfc-v1, active set"].boxes] == [(0, (LEFT,)), (1, ())]
    inactive = made["after rfc-v1, inactive set"].boxes
    assert [(box.slot.id, box.marks) for box in inactive] == [(1, ()), (0, (LOST,))]
    svg = drawn(GROW)
    assert any(text.startswith("left INVALID hva 0x100000000000") for text in words(svg))
    assert "lost" in words(svg)
    assert any(text.startswith("lost: ") for text in words(svg))


def boxes(svg: str, says: str) -> list[ElementTree.Element]:
    """The boxes whose title says this."""
    groups = ElementTree.fromstring(svg).iter(f"{SVG}g")
    return [each for each in groups if says in (each.findtext(f"{SVG}title") or "")]


def test_a_slot_that_is_invalid_still_shows_its_memory_and_flags() -> None:
    [on_the_way] = boxes(drawn(FLAGGED), "slot 0 (INVALID):")[:1]
    assert "INVALID hva 0x100000000000 READONLY" in [each.text for each in on_the_way.iter(f"{SVG}text")]


def test_a_slot_left_invalid_is_wrong_and_one_on_the_way_is_not() -> None:
    """One is what a swap is about, the other a VM that no longer runs."""
    svg = drawn(GROW)
    kinds = {}
    for says in ("slot 0 (INVALID):", "slot 0 (left INVALID):"):
        classes = [box.findall(f"{SVG}rect")[0].get("class", "").split() for box in boxes(svg, says)]
        kinds[says] = {"wrong" in each for each in classes}
    assert kinds == {"slot 0 (INVALID):": {False}, "slot 0 (left INVALID):": {True}}
    assert any(text.startswith("left INVALID: ") for text in words(svg))


def test_patterns_do_not_lie_on_each_other() -> None:
    [box] = boxes(drawn(GROW, policy=Policy.PREFIX), "slot 0 (left INVALID, phantom):")[:1]
    patterned = [each for each in box.findall(f"{SVG}rect") if "url" in each.get("fill", "")]
    assert [each.get("fill") for each in patterned] == ["url(#invalid)", "url(#phantom)"]
    (top, high), (low, _) = [(int(each.get("y", "0")), int(each.get("height", "0"))) for each in patterned]
    assert top + high <= low


def test_slots_of_one_address_space_differ_in_tint_as_long_as_there_are_tints() -> None:
    given = "".join(f"given slot={n} gpa={n * 0x1000:#x} size=0x1000 hva=0x0\n" for n in (1, 7, 13, 19))
    svg = drawn(given + "apply slot=7 size=0 invalidate\n")
    tints: dict[str, set[str]] = {}
    for n in (1, 7, 13, 19):
        for box in boxes(svg, f"slot {n}:"):
            tints.setdefault(str(n), set()).add(box.findall(f"{SVG}rect")[0].get("class", "").split()[1])
    assert all(len(each) == 1 for each in tints.values()), "a slot keeps its tint"
    assert len(set.union(*tints.values())) == 4


def test_what_overlaps_lies_in_two_lanes_and_is_marked() -> None:
    panel = panels(OVERLAP)["after rfc-v1, inactive set"]
    assert panel.overlaps == ((1, 2),)
    assert [box.marks for box in panel.boxes] == [(PHANTOM,), (PHANTOM,), (LOST,)]
    assert "overlap" in words(drawn(OVERLAP))


def test_a_slot_with_other_memory_is_no_phantom() -> None:
    panel = panels(SPARSE)["after rfc-v1, inactive set"]
    assert [box.marks for box in panel.boxes if box.slot.id == 3] == [(CHANGED,)]


def test_the_policy_says_what_is_right() -> None:
    atomic = panels(GROW)["before"].notes
    prefix = panels(GROW, policy=Policy.PREFIX)
    assert "right" in atomic[0]
    assert "right" not in prefix["before"].notes[0]
    # Under prefix slot 0 should be gone, not INVALID.
    assert prefix["after rfc-v1, active set"].boxes[0].marks == (LEFT, PHANTOM)


def test_memory_that_was_and_will_be_there_is_missed_while_no_slot_holds_it() -> None:
    """An INVALID one does: there readers try again, and the oracle finds nothing either."""
    merge = """\
given slot=0 gpa=0x0 size=0x1000 hva=0x1000
given slot=1 gpa=0x1000 size=0x1000 hva=0x2000
apply slot=1 size=0 invalidate
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x2000 hva=0x1000
"""
    made = panels(merge)
    unbacked = [made[f"serial, {n} of 5"].unbacked for n in range(1, 6)]
    assert unbacked == [(), ((1, 2),), ((1, 2),), ((0, 2),), ()]
    assert [made[f"rfc-v1, {n} of 3"].unbacked for n in range(1, 4)] == [(), (), ()]
    assert "unbacked" in words(drawn(merge))
    # Other memory is not the same memory.
    assert panels(merge.replace("size=0x2000 hva=0x1000", "size=0x2000 hva=0x9000"))["serial, 4 of 5"].unbacked == ()


def test_both_address_spaces_have_a_map_of_their_own() -> None:
    assert {"address space 0", "address space 1"} <= set(words(drawn(SPARSE)))
    assert "address space 1" not in words(drawn(GROW))


def test_a_sparse_address_space_is_as_wide_as_any() -> None:
    _, outcomes = outcomes_of(SPARSE)
    made = panels_of(1, outcomes, Policy.ATOMIC, 4096, {})
    axis = axis_of(slot_sets_of(made), 0, 700)
    assert axis is not None
    assert [segment.kind for segment in axis.segments].count(GAP) == 1
    assert axis.right <= 700


def test_many_slots_that_are_alike_are_folded() -> None:
    root = drawn(CASES["many"])
    assert "url(#alike)" in root
    assert any(re.fullmatch(r"\d+ alike", text) for text in words(root))
    _, outcomes = outcomes_of(CASES["many"])
    axis = axis_of(slot_sets_of(panels_of(0, outcomes, Policy.ATOMIC, 4096, {})), 0, 700)
    assert axis is not None
    assert sum(segment.kind == ALIKE for segment in axis.segments) == 2


def test_what_is_left_out_is_counted() -> None:
    said = " ".join(words(drawn(ALL_AGAIN)))
    assert re.search(r"and \d+ more ranges", said)
    assert "48 publications are left out here" in re.sub(" +", " ", said)


def test_what_an_engine_does_not_show_is_not_drawn() -> None:
    case, outcomes = outcomes_of(GROW)
    blind = outcomes["rfc-v1"]._replace(active=UNSEEN, inactive=None, published=None)
    made = panels_of(0, {"serial": outcomes["serial"], "kvm-list": blind}, Policy.ATOMIC, 4096, {})
    assert [panel.notes for panel in made if not isinstance(panel, Heading) and "kvm-list" in panel.title] == [
        ("not shown",),
        ("its publications are not shown",),
    ]
    said = words(svg_map("x", case, {"serial": outcomes["serial"], "kvm-list": blind}, Policy.ATOMIC, {}))
    assert "not shown" in said


@pytest.mark.parametrize("title", ["<&\"'>", "a\x00b\x1b[0m\udc80", "x" * 500, "", "]]>"])
def test_any_title_makes_valid_xml(title: str) -> None:
    ElementTree.fromstring(drawn(GROW, title).encode())


def test_light_and_dark_are_both_there_and_marks_have_patterns() -> None:
    svg = drawn(SPARSE)
    assert "prefers-color-scheme:dark" in svg
    for mark in ("invalid", "phantom", "changed"):
        assert f"url(#{mark})" in svg
