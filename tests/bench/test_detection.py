# SPDX-License-Identifier: GPL-2.0-only
"""docs/detection.md is kept true: its mistakes are those there are, and a sample of them is really found."""

from pathlib import Path

import pytest

from bench.detection import LINES, PAGE
from bench.detection_tables import BEGIN, END, HEAD, NOT_FOUND, NoMarks, Row, lines, tables, with_tables
from bench.planting.hunts import EXECUTIONS_OF_PROVED, SEED
from bench.planting.notebook import Notebook
from bench.planting.subjects import SUBJECTS, Planted, planted
from bench.planting.survivors import survivors
from bench.planting.trials import Found, Shared, drawn, searched
from bench.planting.world import source_of
from fuzz.trial import Trial

EVERY = {each.name: each for subject in SUBJECTS for each in planted(subject)}
PROVED = [survivor.name for survivor in survivors(PAGE.read_text())]
KNOWN = {name: cells for name, *cells in (line.split("\t") for line in LINES.read_text().splitlines()[1:])}
EACH = 37
QUICKLY = 400
"""Executions within which a mistake of the sample was found: the others take too long for a test."""


def test_the_page_proves_mistakes_that_there_are_each_once_and_none_that_a_rule_proves() -> None:
    assert len(set(PROVED)) == len(PROVED)
    assert set(PROVED) <= {name for name, each in EVERY.items() if not each.mutant.proof}


def test_the_lines_are_of_all_mistakes_that_there_are() -> None:
    assert set(KNOWN) == set(EVERY)


def test_every_mistake_is_found_by_some_backend_or_proved() -> None:
    for name, (proved, *answers) in KNOWN.items():
        oracles = {oracle for oracle in answers[::3] if oracle}
        assert bool(proved) == (oracles <= {NOT_FOUND}), name
        assert bool(proved) == (name in PROVED or EVERY[name].mutant.proof != ""), name


def sample() -> list[Planted]:
    soon = [name for name, (_, oracle, executions, *_) in KNOWN.items() if oracle and int(executions) <= QUICKLY]
    return [EVERY[name] for name in soon[::EACH]]


@pytest.fixture(scope="module")
def shared() -> Shared:
    cases = Shared(drawn(SEED), EXECUTIONS_OF_PROVED)
    for each in sample():
        cases.prepare(each.form.reference.__name__, each.form.reference())
    return cases


@pytest.mark.parametrize("each", sample(), ids=lambda each: each.name)
def test_a_mistake_is_found_that_the_lines_say_is_found(each: Planted, shared: Shared) -> None:
    key = each.form.reference.__name__
    trial = Trial(shared.remembering(key, each.form.reference()), each.engine())
    assert searched(trial, shared.cases, lambda executions: shared.spent(key, executions)).oracle


def test_functions_that_are_left_out_are_there() -> None:
    for subject in SUBJECTS.values():
        for name in subject.left_out:
            module, _, function = name.partition(".")
            source, _ = source_of(f"{subject.package}.{module}")
            assert f"def {function.rpartition('.')[2]}(" in source


def test_tables_stand_between_their_marks_and_nothing_else_is_touched() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_tables(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert with_tables(with_tables(page, "newer"), "new") == with_tables(page, "new")
    with pytest.raises(NoMarks):
        with_tables("before\nafter\n", "new")


def test_tables_count_what_was_found_and_name_what_was_neither_found_nor_proved() -> None:
    [one, other, third] = list(EVERY.values())[:3]
    rows = [
        Row(one, False, {"random": Found("balance leaked", 7, 0.5), "atheris": Found("survival", 3, 0.25)}),
        Row(other, True, {"random": Found("", 2000, 1.0)}),
        Row(third, False, {"random": Found("", 20000, 9.0)}),
    ]
    text = "\n".join(tables({"serial": rows}))
    assert "`serial`: 3 mistakes; 1 found, 1 proved equivalent, 1 neither" in text
    assert "| serial | random | 2 | 1 | 7 | 7 | 7 | 0.500 | 0.500 | 0.500 |" in text
    assert "| serial | atheris | 1 | 1 | 3 | 3 | 3 | 0.250 | 0.250 | 0.250 |" in text
    assert "| balance | 1 | 0 | 0 |" in text
    assert "| serial | 3 | 1 | 1 | 7 | 3 |  | 7 |" in text
    assert f"not found and not proved: `{third.name}`" in text
    assert other.name not in text
    assert next(iter(lines(rows))) == f"{one.name}\t\tbalance leaked\t7\t0.5000\tsurvival\t3\t0.2500\t\t\t"


def test_every_mistake_is_counted_under_the_rule_that_made_it() -> None:
    kinds: dict[str, str] = {}
    for each in EVERY.values():
        kinds.setdefault(Row(each, False, {}).kind, each.mutant.name)
    assert set(kinds) == {
        *("test negated", "bound off by one", "check or operand dropped", "two checks or operands swapped"),
        *("answer of a check ignored", "active and inactive swapped", "another statement dropped"),
        *("lock removed", "unlock removed", "free removed", "publication removed", "rollback step skipped"),
    }


def test_the_lines_begin_with_what_their_cells_are() -> None:
    first, *rest = LINES.read_text().splitlines()
    assert first == HEAD
    assert {line.count("\t") for line in rest} == {HEAD.count("\t")}


def test_a_notebook_goes_on_where_it_was_and_not_with_other_code(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    notebook = Notebook(path, {"source": "a"})
    notebook.add("random", "x", Found("survival", 2, 0.5))
    with path.open("a") as file:
        file.write('["random", "y", "surv')  # where the machine went down
    again = Notebook(path, {"source": "a"})
    assert again.get("random", "x") == Found("survival", 2, 0.5)
    assert again.get("random", "y") is None
    assert again.get("atheris", "x") is None
    again.add("random", "y", Found("survival", 3, 0.5))
    assert Notebook(path, {"source": "a"}).get("random", "y") == Found("survival", 3, 0.5)
    assert Notebook(path, {"source": "b"}).get("random", "x") is None
