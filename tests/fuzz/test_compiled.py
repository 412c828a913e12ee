# SPDX-License-Identifier: GPL-2.0-only
"""Compiled workers: taken where they are of these very sources, and kept where they judge as the sources do."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import FrameType

import pytest

from fuzz import compiled as made
from fuzz.supervisor import Workers
from fuzz.verdicts import ENGINES, WAYS, cases_of, trial_of, verdicts
from memslots.errors import BadInput, Missing, Unfit

HOUSE = Path(__file__).parent.parent.parent
CASES = 2000
FEW = ("memslots/region.py", "engines/simulated/plain_memslots.py")
SLOT_SETS = "engines/simulated/plain_memslots.py"

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="needs a C compiler: apt-get install gcc libc6-dev"
)


def house_at(folder: Path) -> Path:
    """The rooms, to be edited."""
    for room in ("memslots", "engines", "oracles", "reducers", "reports", "fuzz"):
        shutil.copytree(HOUSE / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rooms, each test's edits taken back."""
    return house_at(tmp_path_factory.mktemp("house"))


@pytest.fixture
def edit(house: Path) -> Iterator[Callable[[str, str, str], None]]:
    kept: dict[Path, str] = {}

    def edit(file: str, found: str, instead: str) -> None:
        text = kept.setdefault(house / file, (house / file).read_text())
        assert text.count(found) == 1, file
        (house / file).write_text(text.replace(found, instead))

    yield edit
    for path, text in kept.items():
        path.write_text(text)


def imported_from(environment: dict[str, str], folder: Path) -> str:
    """The file that a worker with this environment has a module from."""
    program = "import engines.simulated.plain_memslots as module; print(module.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def labelled(compiled: Path, house: Path) -> None:
    """Say of what is there that it is compiled, as it is, of these sources."""
    (compiled / made._OF).write_text(f"{made._digest(house)} {made._digest_of_made(compiled)}")


@pytest.fixture
def old(house: Path, tmp_path: Path) -> Path:
    """A compiled copy of these sources that has been made before."""
    compiled = tmp_path / "compiled"
    (compiled / "memslots").mkdir(parents=True)
    (compiled / "memslots" / "region.so").write_bytes(b"machine code")
    labelled(compiled, house)
    assert made.is_fresh(compiled, house)
    return compiled


@pytest.mark.parametrize("harm", ["cut short", "removed", "more"])
def test_what_was_damaged_is_left_alone(harm: str, old: Path, house: Path) -> None:
    path = old / "memslots" / "region.so"
    match harm:
        case "cut short":
            path.write_bytes(path.read_bytes()[:-1])
        case "removed":
            path.unlink()
        case "more":
            (old / "memslots" / "slot.py").write_text("")
    assert not made.is_fresh(old, house)


def test_what_python_keeps_beside_a_module_is_no_damage(old: Path, house: Path) -> None:
    (old / "memslots" / "__pycache__").mkdir()
    (old / "memslots" / "__pycache__" / "slot.cpython-311.pyc").write_bytes(b"")
    assert made.is_fresh(old, house)


@pytest.mark.parametrize("step", ["_copy", "_compile"])
@needs_compiler
def test_what_cannot_be_made_again_stays(step: str, old: Path, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise made.Uncompiled("no", [])

    monkeypatch.setattr(made, step, fails)
    with pytest.raises(made.Uncompiled):
        made.make(old, house, FEW)
    assert made.is_fresh(old, house)
    assert [path.name for path in old.parent.iterdir()] == ["compiled"]


@needs_compiler
def test_what_is_known_to_judge_otherwise_does_not_stay(
    old: Path, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "_compile", lambda *_: None)
    monkeypatch.setattr(made, "_verdicts_in", lambda folder: [f"rfc-v1: {folder}"])
    with pytest.raises(BadInput, match="judge otherwise than their sources do: rfc-v1"):
        made.make(old, house, FEW)
    assert list(old.parent.iterdir()) == []


@needs_compiler
def test_the_new_one_takes_the_place_of_the_old(old: Path, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "_compile", lambda *_: None)
    monkeypatch.setattr(made, "_verdicts_in", lambda _: [])
    (old.parent / "compiled.making").mkdir()  # of one that was killed
    made.make(old, house, FEW)
    assert made.is_fresh(old, house)
    assert not (old / "memslots" / "region.so").exists()
    assert [path.name for path in old.parent.iterdir()] == ["compiled"]


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    def make() -> None:
        raise error

    monkeypatch.setattr(made, "make", make)
    with pytest.raises(SystemExit) as end:
        made.main()
    return end.value.code


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (PermissionError(13, "Permission denied", "build"), 2, "error: build: Permission denied: expected to make "),
        (made.Uncompiled("mypyc: a.py:3: error: no", ["a.py:3: error: no"]), 2, "a.py:3: error: no\nerror: mypyc: a"),
        (BadInput("they judge otherwise"), 2, "error: they judge otherwise\n"),
    ],
    ids=["Ctrl-C", "read-only", "compiler", "judged"],
)
def test_how_it_fails_is_told_without_a_traceback(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ended(monkeypatch, error) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(said)
    assert captured.err != "" or not said
    assert "Traceback" not in captured.err


def test_a_compiler_may_have_flags_and_a_cache_before_it(
    old: Path, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "/nowhere/ccache gcc -m64")
    with pytest.raises(Missing, match="/nowhere/ccache is not here: apt-get install gcc"):
        made.make(old, house, FEW)
    assert made.is_fresh(old, house)


@needs_compiler
def test_what_is_compiled_is_what_workers_import_until_an_edit(tmp_path: Path) -> None:
    house, compiled = house_at(tmp_path / "house"), tmp_path / "compiled"
    made.make(compiled, house, FEW)
    assert made.is_fresh(compiled, house)
    file = imported_from(made.environment(compiled, house), tmp_path)
    assert Path(file).parent == compiled / "engines" / "simulated"
    assert file.endswith(".so")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compiled", "house"]
    edited = house / "oracles" / "policy.py"
    edited.write_text(f"{edited.read_text()}# edited\n")
    assert not made.is_fresh(compiled, house)
    assert (
        "PYTHONPATH" not in made.environment(compiled, house)
        or str(compiled) not in (made.environment(compiled, house)["PYTHONPATH"])
    )


@pytest.mark.parametrize("room", ["memslots", "engines", "oracles", "reducers", "reports", "fuzz"])
def test_an_edit_in_any_room_switches_it_off(room: str, house: Path, tmp_path: Path) -> None:
    labelled(tmp_path, house)
    assert made.is_fresh(tmp_path, house)
    new = house / room / "new.py"
    new.write_text("")
    try:
        assert not made.is_fresh(tmp_path, house)
    finally:
        new.unlink()


def test_workers_have_the_environment_of_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.supervisor.environment", lambda: {"PYTHONPATH": "compiled"})
    program = "import os, sys; print(os.environ['PYTHONPATH'], flush=True); sys.stdin.read()"
    with Workers({"one": [sys.executable, "-c", program]}, tmp_path) as workers:
        while not workers.logs[0].read_text():
            time.sleep(0.01)
    assert workers.logs[0].read_text() == "compiled\n"


def test_what_a_trial_runs_through_is_compiled() -> None:
    """All that is called often: a file that is forgotten would be slow, and nobody would see it."""
    calls: Counter[str] = Counter()
    every = [(trial_of(engine), list(islice(cases_of(engine), 100))) for engine in ENGINES]

    def count(frame: FrameType, event: str, _: object) -> None:
        calls[frame.f_code.co_filename] += event == "call"

    sys.setprofile(count)
    try:
        for trial, cases in every:
            for case in cases:
                with suppress(Unfit):
                    trial.verdict(case)
        list(islice(cases_of("from bytes"), 100))
    finally:
        sys.setprofile(None)
    often = [
        path.relative_to(HOUSE)
        for name, n in calls.items()
        if (path := Path(name)).is_relative_to(HOUSE) and n > calls.total() / 200
    ]
    assert len(often) > 20
    unfit = Path("memslots/errors.py")
    slow = [path for path in often if not any(path.match(pattern) for pattern in made.HOT) and path != unfit]
    assert slow == []


@needs_compiler
def test_what_judges_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house, compiled = house_at(tmp_path / "house"), tmp_path / "compiled"

    def miscompiled(folder: Path, _: object) -> None:
        path = folder / SLOT_SETS
        text = path.read_text()
        assert "below_base + below_npages > base" in text
        path.write_text(text.replace("below_base + below_npages > base", "below_base + below_npages >= base"))

    monkeypatch.setattr(made, "_compile", miscompiled)
    with pytest.raises(BadInput, match=r"judge otherwise than their sources do: rfc-v1, .*, falsified ideal"):
        made.make(compiled, house, FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["house"]


@needs_compiler
def test_what_does_not_compile_is_told_with_its_line(tmp_path: Path) -> None:
    house, compiled = house_at(tmp_path / "house"), tmp_path / "compiled"
    path = house / SLOT_SETS
    path.write_text(f"{path.read_text()}\nWRONG: int = 'text'\n")
    line = len(path.read_text().splitlines())
    with pytest.raises(made.Uncompiled, match=rf"mypyc: {SLOT_SETS}:{line}: error: Incompatible types") as failure:
        made.make(compiled, house, FEW)
    assert any(line.startswith("Found 1 error") or "error:" in line for line in failure.value.lines)
    assert [path.name for path in tmp_path.iterdir()] == ["house"]


def test_nothing_compiled_changes_nothing(tmp_path: Path) -> None:
    assert made.environment(tmp_path / "nowhere") == dict(os.environ)


def test_what_was_compiled_for_another_python_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(tmp_path, HOUSE)
    assert made.is_fresh(tmp_path)
    monkeypatch.setattr(sys, "version", "3.99")
    assert not made.is_fresh(tmp_path)


def test_an_unfinished_one_is_left_alone(tmp_path: Path) -> None:
    assert not made.is_fresh(tmp_path)
    (tmp_path / made._OF).write_bytes(b"\xff")
    assert not made.is_fresh(tmp_path)


def test_without_a_compiler_a_line_says_what_to_do(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "fuzz.compiled"],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(HOUSE), "CC": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == "error: cc is not here: apt-get install gcc libc6-dev\n"


def test_verdicts_tell_ways_and_cases_apart() -> None:
    assert verdicts("ideal", 20) == verdicts("ideal", 20)
    assert verdicts("ideal", 20) != verdicts("ideal", 21)
    assert len({verdicts(way, 20) for way in ("ideal", "rfc-v1", "falsified ideal", "from bytes")}) == 4


def test_what_is_compared_makes_every_oracle_speak() -> None:
    """Else nobody would see that a compiled one keeps silent."""
    said: Counter[str] = Counter()
    for way in WAYS:
        trial = trial_of(way)
        for case in islice(cases_of(way), CASES):
            with suppress(Unfit):
                said.update(f"{each.mismatch.oracle} {each.mismatch.what}" for each in trial.verdict(case).findings)
    text = all_text(HOUSE / "oracles")
    whats = {" ".join(each) for each in re.findall(r'Mismatch\(\s*"([a-z_]+)",\s*"([a-z_-]*)"', text)}
    whats |= {f"invariants {each}" for each in re.findall(r'_of_generations\("([a-z-]+)"', text)}
    assert len(whats) > 20
    assert whats <= said.keys()


def all_text(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("*.py")))


@pytest.mark.parametrize(
    ("file", "found", "instead"),
    [
        ("oracles/invariants.py", "if pages != outcome.nr_memslot_pages:", "if False:"),
        ("oracles/invariants.py", "if tuple(last) != outcome.active:", "if False:"),
        ("oracles/invariants.py", "if outcome.incomplete and", "if False and"),
        ("oracles/invariants.py", "if slot.id >= KVM_MEM_SLOTS_NUM:", "if False:"),
        ("oracles/invariants.py", "if alike and any(", "if False and any("),
        ("oracles/visibility.py", "if apart >= len(changed):", "if False:"),
        ("oracles/visibility.py", "there.get(slot[1], _NOTHING)[:5] != slot[:5]", "False"),
        ("oracles/policy.py", 'PREFIX = "prefix"', 'PREFIX = "atomic"'),
        ("fuzz/choices.py", 'i : i + CHUNK], "little"', 'i : i + CHUNK], "big"'),
        ("reducers/rename.py", "for i in count() if", "for i in count(1) if"),
        ("fuzz/features.py", "            met((before, now))\n", ""),
    ],
    ids=lambda word: word[:30],
)
def test_what_judges_otherwise_is_noticed(
    file: str, found: str, instead: str, house: Path, edit: Callable[[str, str, str], None]
) -> None:
    right = made._verdicts_in(HOUSE)
    edit(file, found, instead)
    assert made._verdicts_in(house) != right
