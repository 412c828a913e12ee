# SPDX-License-Identifier: GPL-2.0-only
"""The folder of an import: a file a distinct list, made for the first of them; what is in it already stays."""

from pathlib import Path

import pytest

from fuzz.replay import surprises
from fuzz.traces.case_files import CaseFiles
from fuzz.traces.happening import Update
from fuzz.traces.standing import Entry
from memslots.errors import BadInput
from memslots.machine import DEFAULT_MACHINE
from memslots.outcome import Change
from memslots.region import Region
from memslots.textreader import read_case
from oracles.policy import Policy

CREATE = Region(0, 0, 0x1000, 0x1000, 0)
OTHER = Region(1, 0, 0x5000, 0x2000, 0x10000)


def entries(*regions: Region, lineno: int = 1, answer: int = 0) -> list[Entry]:
    updates = [Update(lineno + i, None, 0, region, answer) for i, region in enumerate(regions)]
    return [Entry(update, update.region, Change.CREATE, 0, None) for update in updates]


def files_in(folder: Path) -> CaseFiles:
    return CaseFiles(folder, Path("a vmm's.strace"), DEFAULT_MACHINE)


def test_no_list_makes_no_folder(tmp_path: Path) -> None:
    files_in(tmp_path / "new").finish()
    assert not (tmp_path / "new").exists()


def test_each_distinct_list_is_a_file_that_replays_and_the_rest_are_counted(tmp_path: Path) -> None:
    files = files_in(tmp_path / "new")
    files.add((), entries(CREATE), [])
    files.add((), entries(CREATE, lineno=8), [])
    files.add((CREATE,), entries(OTHER, lineno=20), ["A further line."])
    files.finish()
    assert files.distinct == 2
    one, other = sorted((tmp_path / "new").iterdir())
    assert [path.name[:13] for path in (one, other)] == ["a-vmm-s-001-c", "a-vmm-s-002-c"]
    assert " Sent 2 times in all, again from line 8." in one.read_text()
    assert "A further line." in other.read_text()
    assert "Sent" not in other.read_text()
    for path in (one, other):
        assert list(surprises(path, read_case(path), "serial", Policy.ATOMIC)) == []
    assert (read_case(one).case.given, read_case(other).case.given) == ((), (CREATE,))


def test_what_the_kernel_refused_is_told_beside_the_entry(tmp_path: Path) -> None:
    files = files_in(tmp_path / "new")
    files.add((), entries(CREATE, answer=12), [])
    [path] = (tmp_path / "new").iterdir()
    [entry] = [line for line in path.read_text().splitlines() if line.startswith("apply")]
    assert entry.endswith("# recorded: ENOMEM, the model answers ok")


def test_a_folder_that_holds_case_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.slots").write_text("slots 1\n")
    with pytest.raises(BadInput, match="there are case files in it already"):
        files_in(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.slots"]


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="expected a folder to write case files to"):
        files_in(tmp_path / "file" / "below").add((), entries(CREATE), [])
