# SPDX-License-Identifier: GPL-2.0-only
"""What QEMU really sent: every recording is read to its end, agrees with the model, and comes out as it did before."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.simulated.engines import Serial
from fuzz.grammar import case_of
from fuzz.inverse import choices_of
from fuzz.replay import surprises
from fuzz.traces.happening import Marker, Update
from fuzz.traces.importer import Tally, Wishes, import_recording
from fuzz.traces.qemu_trace import MARKERS, qemu_happenings
from fuzz.traces.recording import lines_of
from fuzz.traces.standing import Standing
from fuzz.traces.strace import strace_happenings
from fuzz.traces.transactions import Splitting, Transaction, transactions
from memslots.case import Case
from memslots.expectation import Agreement, MismatchExpected
from memslots.machine import DEFAULT_MACHINE
from memslots.region import Region
from memslots.textreader import read_case
from oracles.policy import Policy

TESTS = Path(__file__).parent.parent
RECORDINGS = sorted(path for path in (TESTS / "data" / "recordings").iterdir() if path.suffix in (".strace", ".trace"))
SEEDS = sorted((TESTS.parent / "corpus" / "seeds" / "recorded").glob("*.slots"))
PLAIN = Splitting()


def imported(path: Path, out: Path, markers: tuple[str, ...] = (), splitting: Splitting = PLAIN) -> Tally:
    """Import as the command does by default, and hold it to having nothing to say."""
    form = "strace" if path.suffix == ".strace" else "qemu-trace"
    if form == "qemu-trace":
        markers = MARKERS
    said: list[str] = []
    tally = import_recording(form, path, out, Wishes(markers, splitting, DEFAULT_MACHINE), said.append, said.append)
    assert said == []
    return tally


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where each recording's lists are, by its name without what it ends in."""
    out = tmp_path_factory.mktemp("imported")
    for path in RECORDINGS:
        imported(path, out / path.stem)
    return {path.stem: out / path.stem for path in RECORDINGS}


@pytest.mark.parametrize(
    ("name", "updates", "lists", "files"),
    [
        ("linux-hotplug.trace", 126, 38, 26),
        ("ovmf-smm.trace", 28, 10, 10),
        ("pc-bars.trace", 118, 45, 42),
        ("pc-boot-y.strace", 35, 8, 8),
        ("pc-boot.strace", 35, 11, 11),
        ("pc-hotplug.trace", 75, 31, 31),
        ("pc-migrate.trace", 56, 16, 16),
        ("q35-reset.trace", 65, 21, 16),
        ("q35-smm.trace", 84, 17, 17),
    ],
)
def test_every_answer_of_the_recorded_kernels_is_the_models(
    name: str, updates: int, lists: int, files: int, tmp_path: Path
) -> None:
    path = TESTS / "data" / "recordings" / name
    assert imported(path, tmp_path) == Tally(updates, 1, lists, files, 0, 0)
    assert len(list(tmp_path.iterdir())) == files


def test_every_recording_is_in_the_table_of_its_readme() -> None:
    readme = (TESTS / "data" / "recordings" / "README.md").read_text()
    assert [path.name for path in RECORDINGS if f"`{path.name}`" not in readme] == []
    assert len(RECORDINGS) == 9
    assert sum(path.stat().st_size for path in RECORDINGS) < 300_000


@pytest.mark.parametrize("name", [path.stem for path in RECORDINGS])
def test_what_is_imported_comes_out_as_it_says(name: str, folders: dict[str, Path]) -> None:
    for path in sorted(folders[name].glob("*.slots")):
        assert list(surprises(path, read_case(path), "serial", Policy.ATOMIC)) == []


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_list_begins_where_the_one_before_it_ended(path: Path) -> None:
    standing = Standing(DEFAULT_MACHINE)
    left = Serial().apply(Case(())).active
    for updates in _transactions(path):
        given = standing.given()
        assert Serial().apply(Case((), given)).active == left
        case = Case(tuple(standing.entry(update).region for update in updates), given)
        left = Serial().apply(case).active


def _transactions(path: Path, splitting: Splitting = PLAIN) -> Iterator[tuple[Update, ...]]:
    reader = strace_happenings if path.suffix == ".strace" else qemu_happenings
    for transaction in transactions(str(path), reader(str(path), lines_of(path), MARKERS, pytest.fail), splitting):
        assert isinstance(transaction, Transaction)
        yield transaction.updates


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_recorded_seed_is_what_its_recording_gives(path: Path, folders: dict[str, Path]) -> None:
    name = re.sub(r"-\d{3}-.*", "", path.stem)
    assert (folders[name] / path.name).read_text() == path.read_text()


def test_recorded_seeds_are_distinct() -> None:
    cases = {read_case(path).case for path in SEEDS}
    assert len(cases) == len(SEEDS) == 40


def test_a_recorded_seed_can_be_spelt_for_a_campaign() -> None:
    for path in SEEDS:
        case = read_case(path).case
        spelt = case_of(choices_of(case))
        assert len(spelt.apply) >= min(len(case.apply), 8)


TRACES = [path for path in RECORDINGS if path.suffix == ".trace"]


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_qemu_deletes_before_it_creates_in_each_address_space_of_a_transaction(path: Path) -> None:
    """What --deletions-first builds on: it cuts none of QEMU's own transactions."""
    assert list(_transactions(path, Splitting(deletions_first=True))) == list(_transactions(path))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_qemu_never_moves_a_slot(path: Path) -> None:
    standing: dict[int, Region] = {}
    for updates in _transactions(path):
        for _, _, _, region, _ in updates:
            before = standing.pop(region.slot, None)
            if region.memory_size:
                assert before is None or before._replace(flags=region.flags) == region
                standing[region.slot] = region


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_what_qemu_sends_in_one_transaction_agrees(path: Path, folders: dict[str, Path]) -> None:
    """But for what readers see on the way, where two slots go or more."""
    for list_path in folders[path.stem].glob("*.slots"):
        assert mismatches(list_path) in (set(), {"visibility invalid-windows ok ok P1 UNKNOWN another-window"})


def test_most_transactions_agree_on_the_way_too(folders: dict[str, Path]) -> None:
    lists = [path for folder in folders.values() for path in folder.glob("*.slots")]
    assert sum(Agreement("rfc-v1") in read_case(path).expectations for path in lists) > len(lists) / 2


def mismatches(path: Path) -> set[str]:
    """The buckets that a list is expected to show."""
    expected = read_case(path).expectations
    return {each.bucket for each in expected if isinstance(each, MismatchExpected)}


def test_two_transactions_in_one_list_do_not_agree() -> None:
    [joined] = [path for path in SEEDS if path.stem == "pc-boot-007-grow"]
    assert "error_codes ok EINVAL P1 DELETE refuse" in mismatches(joined)


def test_no_gap_tells_all_of_qemus_transactions_apart() -> None:
    """Why there are markers: within a transaction it takes longer than between two."""
    within: list[float] = []
    between: list[float] = []
    for path in TRACES:
        before: float | None = None
        marked = True
        for happening in qemu_happenings(str(path), lines_of(path), MARKERS, pytest.fail):
            if isinstance(happening, Marker):
                marked = True
            elif isinstance(happening, Update):
                assert happening.seconds is not None
                if before is not None:
                    (between if marked else within).append(happening.seconds - before)
                before, marked = happening.seconds, False
    assert max(within) > 0.010 > min(between)
    assert sum(gap <= 0.010 for gap in within) / len(within) > 0.8


def test_markers_in_an_strace_split_it_as_qemus_own_trace_is_split(tmp_path: Path) -> None:
    """The same boot, once by strace with its write calls, once by QEMU's trace: the same lists."""
    path = TESTS / "data" / "recordings" / "pc-boot-y.strace"
    imported(path, tmp_path / "marked", MARKERS)
    imported(TESTS / "data" / "recordings" / "pc-migrate.trace", tmp_path / "traced")
    marked, traced = (
        [_shape(each) for each in sorted((tmp_path / name).glob("*.slots"))] for name in ("marked", "traced")
    )
    assert len(marked) == 11
    assert marked == traced[:11]


def _shape(path: Path) -> tuple[tuple[int, int, int, int], ...]:
    return tuple((r.slot, r.flags, r.guest_phys_addr, r.memory_size) for r in read_case(path).case.apply)


def test_deletions_first_parts_what_a_gap_joins() -> None:
    path = TESTS / "data" / "recordings" / "pc-boot.strace"

    def backwards(splitting: Splitting) -> int:
        """How many lists delete behind what they create."""
        sizes = [[bool(each.region.memory_size) for each in updates] for updates in _transactions(path, splitting)]
        return sum(one != sorted(one) for one in sizes)

    assert backwards(PLAIN) == 3
    assert backwards(Splitting(deletions_first=True)) == 0
