# SPDX-License-Identifier: GPL-2.0-only
"""Mutants: by rule and of every place there is, with names that do not move, and a proof only where it is one."""

import ast
import sys

import pytest

from bench.planting.mutants import Mutant, NoSuchFunction, mutants
from bench.planting.world import World, source_of

GUARDS = '''
def answer(x: int, low: int) -> int:
    """0 or 1."""
    if x > low + 1:
        return 1
    if not x:
        return 1
    return 0
'''


def made(source: str, name: str = "f") -> list[Mutant]:
    return list(mutants(source, "x.py", [name]))


def of_body(body: str) -> list[Mutant]:
    """Of a function that has `body` behind its first line; proofs are of its last swap."""
    return made("def f(a, b, old, self):\n" + "".join(f"    {line}\n" for line in body.splitlines()))


def changed(source: str, mutant: Mutant) -> str:
    """The lines that a mutant has and the source has not."""
    return " / ".join(
        new.strip() for old, new in zip(source.splitlines(), mutant.source.splitlines(), strict=True) if old != new
    )


def test_every_rule_finds_every_place() -> None:
    assert [(mutant.name.partition(": ")[2], changed(GUARDS, mutant)) for mutant in made(GUARDS, "answer")] == [
        ("checks `x > low + 1` and `not x` swapped", "if not x: / if x > low + 1:"),
        ("`x > low + 1` negated", "if ((x) <= (low + 1)):"),
        ("check `x > low + 1` dropped", "if (False):"),
        ("`x > low + 1` with its bound `low + 1` one more", "if x > ((low + 1) + 1):"),
        ("`x > low + 1` with its bound `low + 1` one less", "if x > ((low + 1) - 1):"),
        ("`low + 1` with 1 one more", "if x > low + (2):"),
        ("`low + 1` with 1 one less", "if x > low + (0):"),
        ("`not x` without its not", "if (x):"),
        ("check `not x` dropped", "if (False):"),
        ("`x` negated", "if not (not (x)):"),
    ]


@pytest.mark.parametrize(
    ("test", "spoilt"),
    [
        ("a < b", "a >= b"),
        ("a <= b", "a > b"),
        ("a == b", "a != b"),
        ("a is b", "a is not b"),
        ("a is not b", "a is b"),
        ("a in b", "a not in b"),
        ("a not in b", "a in b"),
        ("a < b < 3", "not a < b < 3"),
        ("a & 1", "not a & 1"),
        ("not a", "a"),
    ],
)
def test_a_negated_test_asks_the_opposite(test: str, spoilt: str) -> None:
    names = [
        mutant for mutant in of_body(f"while {test}:\n    pass") if "negated" in mutant.name or "not" in mutant.name
    ]
    assert ast.dump(ast.parse(f"while {spoilt}:\n    pass").body[0]) in [
        ast.dump(ast.parse(mutant.source).body[0].body[0])  # type: ignore[attr-defined]
        for mutant in names
    ]


def test_operands_are_dropped_negated_and_swapped_as_deep_as_they_stand() -> None:
    source = "def f(a, b, c):\n    return 1 if a and (b or not c) else 0\n"
    assert {changed(source, mutant) for mutant in made(source)} == {
        f"return 1 if {test} else 0"
        for test in (
            "(not (a and (b or not c)))",
            "(not (a)) and (b or not c)",
            "(False)",
            "((b or not c))",
            "((a))",
            "(b or not c) and ((a))",
            "a and ((not (b or not c)))",
            "a and ((not (b)) or not c)",
            "a and (((not c)))",
            "a and (((b)))",
            "a and ((not c) or (b))",
            "a and (b or (c))",
            "a and (b or not (not (c)))",
        )
    }


def test_names_stay_where_lines_move_and_tell_twins_apart() -> None:
    twins = "def f(a):\n    if a > 1:\n        return 1\n    while a > 1:\n        a -= 1\n    return 0\n"
    moved = "# a line more\n\n" + twins.replace("a -= 1", "a -= 1  # and a comment")
    assert [mutant.name for mutant in made(twins)] == [mutant.name for mutant in made(moved)]
    assert [mutant.where for mutant in made(twins)] != [mutant.where for mutant in made(moved)]
    names = [mutant.name for mutant in made(twins)]
    assert {"f: `a > 1` negated", "f: `a > 1` negated (2)"} <= set(names)
    assert len(set(names)) == len(names)


def test_what_decides_nothing_is_left_alone() -> None:
    """Assertions, annotations, default values, whole numbers that are answers or steps."""
    body = "assert a > 1\nx: int | None = a\nx += 2\nb[3] = x\nreturn 4"
    assert of_body(body) == []
    assert made("def f(a=1 + 2 > 3):\n    return a\n") == []


def test_a_bound_is_one_more_as_a_whole() -> None:
    [more, _, *_] = [mutant for mutant in of_body("return b > a | 3") if "bound" in mutant.name]
    assert "return b > ((a | 3) + 1)" in more.source


def test_slices_and_strings_have_no_bounds() -> None:
    names = [mutant.name for mutant in of_body("return a[3:5] != b[3:5] or a == 'x'")]
    assert not [name for name in names if "bound" in name]
    assert "f: `a[3:5]` with 3 one less" in names


def test_functions_are_named_with_what_they_are_in() -> None:
    source = "class K:\n    def f(self):\n        def g():\n            return 1 > 2\n        return 1 < 2\n"
    assert {mutant.name.partition(":")[0] for mutant in mutants(source, "x.py")} == {"K.f", "K.f.g"}
    assert len(made(source, "K.f")) == 3
    with pytest.raises(NoSuchFunction, match=r"x\.py: K\.h"):
        list(mutants(source, "x.py", ["K.f", "K.h"]))


def test_guards_change_places_with_what_stands_between_left_there() -> None:
    source = "def f(a):\n    if a > 1:\n        return 1\n    a += 1\n    if a > 2:\n        return 2\n    return a\n"
    [mutant] = [mutant for mutant in made(source) if "swapped" in mutant.name]
    assert mutant.source == (
        "def f(a):\n    if a > 2:\n        return 2\n    a += 1\n    if a > 1:\n        return 1\n    return a\n"
    )


def test_tests_of_a_chain_change_places_with_what_they_lead_to() -> None:
    source = (
        "def f(a):\n    if a > 1:\n        b = 1\n    elif a:\n        b = 2\n    else:\n        b = 3\n    return b\n"
    )
    [mutant] = [mutant for mutant in made(source) if "swapped" in mutant.name]
    assert mutant.source == source.replace("a > 1", "@").replace("elif a", "elif a > 1").replace("@", "a").replace(
        "b = 1", "@"
    ).replace("b = 2", "b = 1").replace("@", "b = 2")


@pytest.mark.parametrize(
    "body",
    [
        "if a > 1:\n    return b\nif b & 3:\n    return b",
        "if a > 1:\n    return self.no(22, 'too many')\nif b >> self.shift > 3:\n    return self.no(22, 'too long')",
        "if a or b > 1 or b + self.x < 0:\n    return 1",
    ],
)
def test_a_swap_that_nobody_can_tell_is_proved(body: str) -> None:
    swaps = [mutant for mutant in of_body(body) if "swapped" in mutant.name]
    assert swaps
    assert all(mutant.proof for mutant in swaps)


@pytest.mark.parametrize(
    "body",
    [
        "if a > 1:\n    return 1\nif b > 1:\n    return 2",  # another answer
        "if a > 1:\n    return self.no(22, 'x')\nif b > 1:\n    return self.no(17, 'x')",
        "if a > 1:\n    b += 1\n    return 1\nif b > 1:\n    return 1",  # more than an answer
        "if a > 1:\n    return 1\nb = a\nif b > 1:\n    return 1",  # something between
        "if self.takes(a):\n    return 1\nif b > 1:\n    return 1",  # who knows what a call does
        "if old is None:\n    return 1\nif old.x > 1:\n    return 1",  # fails if it comes first
        "if old is None or old.x > 1:\n    return 1",
        "if not old or old.x.y > 1:\n    return 1",
        "if a > 1 or b[a] > 1:\n    return 1",
        "if a and b // a > 1:\n    return 1",
        "return a or b",  # not its truth: its value
        "if a > 1:\n    x = 1\nelif b > 1:\n    x = 1\nreturn x",
    ],
)
def test_a_swap_that_may_be_told_is_not(body: str) -> None:
    swaps = [mutant for mutant in of_body(body) if "swapped" in mutant.name]
    assert swaps
    assert not any(mutant.proof for mutant in swaps)


def test_a_world_has_its_own_modules_and_leaves_the_real_ones_alone() -> None:
    package, name = "engines.simulated", "engines.simulated.checks"
    plain = f"{package}.plain"
    real = __import__(plain, fromlist=["x"])
    before = {name: module for name, module in sys.modules.items() if name.startswith(package)}
    source, _ = source_of(name)
    world = World(package, {name: source.replace(">= machine.user_slots", "> machine.user_slots")})
    mine = world.module(plain)
    assert mine.PlainVm is not real.PlainVm
    assert mine.id_refused is not real.id_refused
    assert mine.Slot is real.Slot  # what is not of the package is shared
    assert vars(mine)["id_refused"] is world.module(name).id_refused
    assert world.runs(name)
    assert not world.runs(f"{package}.kernel")
    assert {name: module for name, module in sys.modules.items() if name.startswith(package)} == before
