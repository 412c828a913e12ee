# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots report` and `explain`: mails in 72 columns, files beside them, one line where there is nothing to say."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fuzz.commit import commit

Sameslots = Callable[..., subprocess.CompletedProcess[str]]

HOUSE = Path(__file__).parent.parent.parent
GROW = """\
slots 1
# growing a slot into its neighbour
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000000000
"""
AGREES = "slots 1\napply slot=0 gpa=0x0 size=0x1000 hva=0x0\n"
FAULT = "slots 1\nlist nent=2\napply slot=0 size=0\nfault array=1\n"
WIDE = """\
slots 1
given slot=1:32763 gpa=0xfffffffff000 size=0x1000 hva=0x7fffffffe000 flags=LOG_DIRTY_PAGES|READONLY
apply slot=1:32763 size=0 invalidate
apply slot=1:32763 gpa=0xfffffffffffff000 size=0xfffffffffffff000 hva=0xfffffffffffff000 flags=0xffffffff\
 invalidate_slot=255 padding=ff
apply slot=1:32763 gpa=0x1 size=0x1000 hva=0x0 invalidate
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cases = tmp_path / "cases"
    (cases / "deep").mkdir(parents=True)
    for name, text in {"grow": GROW, "agrees": AGREES, "deep/fault": FAULT}.items():
        (cases / f"{name}.slots").write_text(text)
    return cases


def test_a_mail_has_a_subject_72_columns_and_all_that_a_reader_needs(folder: Path, sameslots: Sameslots) -> None:
    done = sameslots("report", folder / "grow.slots")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Subject: KVM: rfc-v1 leaves a slot INVALID (P2, CREATE)"
    assert [line for line in lines if len(line) > 72 and str(folder) not in line] == []
    said = " ".join(done.stdout.split())
    for words in (
        "growing a slot into its neighbour",
        "# change slot flags guest_phys_addr memory_size userspace_addr inv",
        "0 DELETE 0 0 0 0 0 1 1 CREATE 0 0 0 0x20000 0x100000000000 0",
        "refused at entry 1. The list is to leave the state before it: slot 0, gfn 0x0..0xf",
        "Got (rfc-v1): The call returns: EEXIST, leaked 1 object",
        "active: slot 0 INVALID, gfn 0x0..0xf",
        "serial: 1. slot 0 turns INVALID 2. slot 0 at 0x0..0xf is gone rfc-v1: 1. slot 0 turns INVALID",
        "P2 refuses a CREATE, and undoes nothing",
        "final_slots EEXIST EEXIST P2 CREATE refuse",
        "To see it: sameslots show ",
        "rfc-v1: simulated; no kernel was run the series: Message-ID <20220909104506.738478-1-eesposit@redhat.com>",
    ):
        assert words in said


MERGE = """\
slots 1
given slot=0 gpa=0x0 size=0x100000 hva=0x100000000000
given slot=1 gpa=0x100000 size=0x100000 hva=0x100000100000
apply slot=0 size=0 invalidate
apply slot=1 size=0 invalidate
apply slot=0 gpa=0x0 size=0x200000 hva=0x100000000000
"""


def test_what_readers_miss_is_told_beside_what_they_miss_one_at_a_time(tmp_path: Path, sameslots: Sameslots) -> None:
    (tmp_path / "merge.slots").write_text(MERGE)
    for command, heading in (("report", "readers: Of"), ("show", "readers, of")):
        said = " ".join(sameslots(command, tmp_path / "merge.slots").stdout.split())
        assert (
            f"What it costs {heading} the gfns that the same memory backs before and after: serial: 2 INVALID windows;"
            " unbacked: 0x0..0xff at 3 publications, 0x100..0x1ff at 1 publication; to be tried again: 0x0..0x1ff at 1"
            " publication rfc-v1: 2 INVALID windows; unbacked: none; to be tried again: 0x0..0xff at 2 publications,"
            " 0x100..0x1ff at 1 publication"
        ) in said


def test_versions_name_the_commit_where_there_is_one(folder: Path, sameslots: Sameslots) -> None:
    said = sameslots("report", folder / "grow.slots").stdout
    at = commit()
    assert re.search(rf"^  sameslots [\d.]+{f', commit {at}' if at else ''}, Python [\d.]+$", said, re.MULTILINE)


def test_what_a_refused_list_is_to_leave_is_what_the_policy_says(folder: Path, sameslots: Sameslots) -> None:
    left = {
        "atomic": "the state before it: slot 0, gfn 0x0..0xf, userspace_addr 0x100000000000 slot 1, gfn 0x10..0x1f",
        "prefix": "what was done before the refusal, and nothing else: slot 1, gfn 0x10..0x1f",
    }
    for policy, words in left.items():
        said = " ".join(sameslots("report", folder / "grow.slots", "--policy", policy).stdout.split())
        assert f"EEXIST, 2 publications, refused at entry 1. The list is to leave {words}," in said


def test_what_no_reader_saw_is_told_as_such(folder: Path, sameslots: Sameslots) -> None:
    """QEMU keeps its vCPUs out of KVM meanwhile; the list ioctl does not."""
    said = " ".join(sameslots("report", folder / "grow.slots", "--reference", "qemu-commit").stdout.split())
    assert (
        "What readers saw on the way: qemu-commit: 1. slot 0 turns INVALID; readers are kept out 2. slot 0 at 0x0..0xf"
        " is gone; readers are kept out rfc-v1: 1. slot 0 turns INVALID What it costs"
    ) in said


def test_markdown_says_the_same_words(folder: Path, sameslots: Sameslots) -> None:
    text = sameslots("report", folder / "grow.slots").stdout
    markdown = sameslots("report", folder / "grow.slots", "--format", "markdown").stdout
    assert markdown.startswith("# KVM: rfc-v1 leaves a slot INVALID (P2, CREATE)\n")
    assert "## Expected (serial)" in markdown
    plain = re.sub(r"\\(.)", r"\1", re.sub(r"^(#+ |```.*)", "", markdown, flags=re.MULTILINE))
    assert set(re.findall(r"\w+", text)) - set(re.findall(r"\w+", plain)) == {"Subject"}
    assert markdown.count("```") % 2 == 0


def test_what_is_written_beside_a_report_can_be_used(folder: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    out = tmp_path / "out"
    done = sameslots("report", folder / "grow.slots", "--out", out)
    assert (done.returncode, done.stdout) == (0, f"{out / 'grow.txt'}\n")
    assert sorted(path.name for path in out.iterdir()) == ["grow.c", "grow.slots", "grow.svg", "grow.txt"]
    assert (out / "grow.slots").read_text("utf-8") == GROW
    assert ElementTree.parse(out / "grow.svg").getroot().get("width")
    # The one command that the report names, run where it lies.
    [command] = re.findall(r"^  sameslots (show .+)$", (out / "grow.txt").read_text("utf-8"), re.MULTILINE)
    assert sameslots(*command.split(), within=("env", "-C", str(out))).returncode == 0
    assert "KVM_SET_USER_MEMORY_REGION_LIST" in (out / "grow.c").read_text("utf-8")


def test_a_folder_has_a_report_a_mismatch_and_an_index(folder: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    out = tmp_path / "out"
    done = sameslots("report", folder, "--out", out, "--format", "markdown")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{out / 'index.md'}: 2 reports, 1 cases without a mismatch, 0 bad\n"
    assert (out / "grow.md").is_file()
    assert (out / "deep" / "fault.md").is_file()
    assert not (out / "agrees.md").exists()
    index = (out / "index.md").read_text("utf-8")
    assert "grow.md" in index
    assert "deep/fault.md" in index
    assert "1 case without a mismatch" in index


def test_a_bad_case_costs_the_others_nothing(folder: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    (folder / "bad.slots").write_text("slots 1\nnonsense\n")
    done = sameslots("report", folder, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "bad.slots:2:" in done.stderr
    assert (tmp_path / "out" / "grow.txt").is_file()


def test_what_no_kernel_may_be_given_has_no_program(folder: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    sameslots("report", folder / "deep" / "fault.slots", "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "fault.c").exists()
    said = " ".join((tmp_path / "out" / "fault.txt").read_text("utf-8").split())
    assert "no C program: fault array: a real kernel fails when it likes" in said
    assert "made to fail: array 1 of the call, counted from 0" in said


def test_the_widest_values_stay_within_the_columns(tmp_path: Path, sameslots: Sameslots) -> None:
    (tmp_path / "w.slots").write_text(WIDE)
    assert sameslots("report", tmp_path / "w.slots", "--out", tmp_path / "out").returncode == 0
    lines = (tmp_path / "out" / "w.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > 72] == []
    assert any("padding ff" in line for line in lines)


LONG = "visibility-invalid-windows-eexist-crashed-null-dereference-p1-unknown-another-window"


def test_long_names_and_commands_stay_within_the_columns_too(tmp_path: Path, sameslots: Sameslots) -> None:
    cases, out = tmp_path / "cases", tmp_path / "out"
    cases.mkdir()
    for ending in "ab":
        (cases / f"{LONG}-{ending}.slots").write_text(GROW)
    options = ("--engine", "rfc-v1", "--reference", "serial-rfc-v1", "--policy", "prefix")
    assert sameslots("report", cases, *options, "--out", out).returncode == 0
    reports = sorted(set(out.glob("*.txt")) - {out / "index.txt"})
    assert len(reports) == 2, "neither has taken the other's place"
    for report in reports:
        assert report.name.startswith(LONG[:30])
        text = report.read_text("utf-8")
        assert [line for line in text.splitlines() if len(line) > 72] == []
        assert all(f"  {report.stem}{ending}: " in text for ending in (".slots", ".svg", ".c"))
        # And a shell takes the command as it stands there.
        [command] = re.findall(r"^To see it:\n((?:  .+\n)+)", text, re.MULTILINE)
        assert command.count("\\\n") == 1
        words = shlex.split(command.replace("\\\n", ""))
        assert words == [
            "sameslots",
            "show",
            "--reference",
            "serial-rfc-v1",
            "--policy",
            "prefix",
            f"{report.stem}.slots",
        ]
        assert sameslots(*words[1:], within=("env", "-C", str(out))).returncode == 0
    assert [line for line in (out / "index.txt").read_text("utf-8").splitlines() if len(line) > 72] == []


def test_a_name_with_blanks_is_one_word_of_the_command(tmp_path: Path, sameslots: Sameslots) -> None:
    (tmp_path / "a b.slots").write_text(GROW)
    assert (
        "\n  sameslots show 'a b.slots'\n"
        in sameslots("report", "a b.slots", within=("env", "-C", str(tmp_path))).stdout
    )


@pytest.mark.parametrize("command", ["report", "explain"])
def test_where_nothing_differs_one_line_says_so(command: str, folder: Path, sameslots: Sameslots) -> None:
    done = sameslots(command, folder / "agrees.slots")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\S+agrees\.slots: .*nothing to (report|explain)\.\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "{}/none.slots"), "none.slots: "),
        (("explain", "{}/none.slots"), "none.slots: "),
        (("report", "{}"), "expected --out DIR"),
        (("report", "{}/grow.slots", "--out", "{}/grow.slots"), "expected a file to write to"),
        (("report", "{}/grow.slots", "--engine", "serial"), "expected another one"),
        (("explain", "{}/grow.slots", "--engine", "nobody"), "Invalid value"),
        (("show", "{}/grow.slots", "--svg", "{}/no/x.svg"), "expected a file to write a picture to"),
    ],
)
def test_bad_input_is_one_line_and_2(
    arguments: tuple[str, ...], words: str, folder: Path, sameslots: Sameslots
) -> None:
    done = sameslots(*(each.format(folder) for each in arguments))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_an_empty_folder_is_bad_input(tmp_path: Path, sameslots: Sameslots) -> None:
    done = sameslots("report", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "no case file (*.slots) in this folder" in done.stderr
    assert not (tmp_path / "out").exists()


def test_explain_ends_with_why(folder: Path, sameslots: Sameslots) -> None:
    done = sameslots("explain", folder / "grow.slots")
    assert (done.returncode, done.stderr) == (0, "")
    story, _, reason = done.stdout.partition("\nWhy:\n")
    assert story.count("<== here they part") == 1
    assert reason.startswith("  P2 refuses a CREATE")
    # Where the case lies is told in full.
    assert all(len(line) <= 80 for line in done.stdout.replace(str(folder), "").splitlines())


def test_show_writes_the_map_beside_what_it_prints(folder: Path, tmp_path: Path, sameslots: Sameslots) -> None:
    plain = sameslots("show", folder / "grow.slots")
    done = sameslots("show", folder / "grow.slots", "--svg", tmp_path / "x.svg")
    assert done.stdout == plain.stdout
    assert ElementTree.parse(tmp_path / "x.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_the_reports_in_docs_are_what_the_command_writes(form: str, tmp_path: Path, sameslots: Sameslots) -> None:
    shown = HOUSE / "docs" / "reports"
    assert sameslots("report", shown, "--out", tmp_path, "--format", form).returncode == 0
    made = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in made if name.endswith((".txt", ".md"))] == sorted(
        path.name for path in shown.glob("*.txt" if form == "text" else "*.md")
    )
    for name in made:
        assert _without_versions(tmp_path / name) == _without_versions(shown / name), f"make reports: {name}"


def _without_versions(path: Path) -> str:
    """The file but for what differs from one machine to the next."""
    return re.sub(r"sameslots \S+, (commit [^,]+, )?Python \S+", "", path.read_text("utf-8"))


def test_of_a_tree_it_says_what_was_compiled_and_its_subject_no_folder(
    fake_tree: Callable[..., Path], tmp_path: Path, sameslots: Sameslots
) -> None:
    naive, alone = fake_tree("NAIVE"), fake_tree("NO_LIST", "OVERLAP_OFF_BY_ONE")
    (tmp_path / "grow.slots").write_text(GROW)
    said = sameslots("report", tmp_path / "grow.slots", "--engine", f"tree:{naive}").stdout
    assert said.startswith(f"Subject: KVM: tree:{naive.name} ")
    assert f"{naive} (Linux 6.1.0-fake)" in " ".join(said.split())
    assert "the memslot code of a tree of Linux" in " ".join(said.split())
    assert "simulated)" not in said.replace("serial (simulated)", "")
    assert "no C program: expected a kernel that has the list ioctl" in " ".join(said.split())
    touching = "given slot=0 gpa=0x0 size=0x10000 hva=0x0\napply slot=1 gpa=0xf000 size=0x1000 hva=0x0\n"
    (tmp_path / "touching.slots").write_text(f"slots 1\n{touching}")
    said = sameslots("report", tmp_path / "touching.slots", "--engine", f"tree-serial:{alone}").stdout
    assert "a C program of it: sameslots reproduce --ioctl serial" in " ".join(said.split())
