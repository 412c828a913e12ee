# SPDX-License-Identifier: GPL-2.0-only
"""A step is taken again if and only if something that it has read is not as it was."""

from pathlib import Path

import pytest

from engines.tree.digests import Steps, digest_of, made_of

COMMAND = ["cc", "-O2", "a.c"]


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A folder where the step `a` has been taken: a.c and a.h were read, a.o was made."""
    for name in ("a.c", "a.h", "a.o"):
        (tmp_path / name).write_text(name)
    Steps(tmp_path).taken("a", COMMAND, [tmp_path / "a.c", str(tmp_path / "a.h")])
    return tmp_path


def fresh(folder: Path, command: list[str] = COMMAND) -> bool:
    return Steps(folder).fresh("a", command, [folder / "a.o"])


def test_nothing_has_changed(taken: Path) -> None:
    assert fresh(taken)


def test_a_file_that_was_only_touched_is_as_it_was(taken: Path) -> None:
    (taken / "a.h").touch()
    assert fresh(taken)


@pytest.mark.parametrize("name", ["a.c", "a.h"])
def test_a_file_that_was_read_has_changed(name: str, taken: Path) -> None:
    (taken / name).write_text("a.o")
    assert not fresh(taken)


def test_a_file_that_was_read_is_gone(taken: Path) -> None:
    (taken / "a.h").unlink()
    assert not fresh(taken)


def test_what_was_made_is_gone(taken: Path) -> None:
    (taken / "a.o").unlink()
    assert not fresh(taken)


def test_the_command_is_another(taken: Path) -> None:
    assert not fresh(taken, ["cc", "-O2a.c"])


def test_a_step_that_was_forgotten_is_taken_again(taken: Path) -> None:
    Steps(taken).forget("a")
    assert not fresh(taken)


def test_a_record_that_cannot_be_read_is_none(taken: Path) -> None:
    (taken / "steps.json").write_text("{")
    assert not fresh(taken)


def test_the_whole_has_another_name_when_a_part_has_changed(taken: Path) -> None:
    before, steps = Steps(taken), Steps(taken)
    assert before.fresh("a", COMMAND, [])
    (taken / "a.h").write_text("other")
    assert not steps.fresh("a", COMMAND, [])
    steps.taken("a", COMMAND, [taken / "a.c", taken / "a.h"])
    assert steps.all() != before.all()


def test_the_whole_has_another_name_when_a_part_is_no_more(taken: Path) -> None:
    """As where a tree has lost a file: nothing is compiled again, and the library is another."""
    both = Steps(taken)
    both.taken("b", COMMAND, [taken / "a.h"])
    assert both.fresh("a", COMMAND, [])
    one = Steps(taken)
    assert one.fresh("a", COMMAND, [])
    assert one.all() != both.all()
    assert set(one.read()) == {str(taken / "a.c"), str(taken / "a.h")}


def test_parts_are_not_run_together() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_a_rule_of_a_compiler_names_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.d").write_text("a.o: a.c \\\n /usr/include/a.h \\\n  b.h\n")
    assert made_of(tmp_path / "a.d") == ["a.c", "/usr/include/a.h", "b.h"]
