# SPDX-License-Identifier: GPL-2.0-only
"""A reproducer compiles without a warning, and comes out well on every kernel that does what is right.

Each program runs on a double of KVM, and on the kernel of this machine where there is one. With
SAMESLOTS_REPRODUCERS=all in the environment each file of the corpus is taken, otherwise a few.
"""

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.real.host import this_host
from engines.real.rehearsal import Rehearsal
from fuzz.reproduce import program_of
from memslots.case import Case
from memslots.errors import Missing, Unfit
from memslots.machine import Machine
from memslots.textreader import parse_case, read_case
from oracles.policy import Policy
from reports.reproducer import IOCTLS

Build = Callable[..., Path]
Ran = Callable[..., tuple[int, tuple[bool | None, ...], str]]

CORPUS = sorted((Path(__file__).parents[2] / "corpus").rglob("*.slots"))
EVERY = os.environ.get("SAMESLOTS_REPRODUCERS") == "all"
TAKEN = CORPUS if EVERY else CORPUS[::48]
DISPOSABLE = "--this-machine-is-disposable"

TEXTS = {
    "refused at 1": """\
given slot=0 gpa=0x0 size=0x10000 hva=0x100000000000
given slot=1 gpa=0x10000 size=0x10000 hva=0x100000010000
apply slot=0 size=0 invalidate
apply slot=0 gpa=0x0 size=0x20000 hva=0x100000000000
apply slot=2 gpa=0x50000 size=0x1000 hva=0x0
""",
    "changes of every kind": """\
given slot=0 gpa=0x0 size=0x4000 hva=0x100000000000
given slot=1 gpa=0x4000 size=0x1000 hva=0x200000000000 flags=READONLY
given slot=2 gpa=0x9000 size=0x3000 hva=0x300000000000 flags=LOG_DIRTY_PAGES
given slot=3 gpa=0x20000 size=0x1000 hva=0x0
apply slot=0 gpa=0x0 size=0x4000 hva=0x100000000000
apply slot=0 gpa=0x0 size=0x4000 hva=0x100000000000 flags=LOG_DIRTY_PAGES
apply slot=1 gpa=0x5000 size=0x1000 hva=0x200000000000 flags=READONLY|LOG_DIRTY_PAGES invalidate
apply slot=2 gpa=0xa000 size=0x3000 hva=0x300000000000 invalidate
apply slot=3 size=0 invalidate
apply slot=4 gpa=0x20000 size=0x400000 hva=0x400000000000 flags=READONLY
""",
    "nothing at all": "list nent=0\n",
    "two address spaces": """\
machine linux-6.1 max_gfn=0xfffffff
given slot=1:0 gpa=0x0 size=0x2000 hva=0x100000000000 flags=LOG_DIRTY_PAGES
given slot=0 gpa=0x1000 size=0x2000 hva=0x100000000000
apply slot=1:0 gpa=0x1000 size=0x2000 hva=0x100000000000 flags=LOG_DIRTY_PAGES invalidate
apply slot=1:7 gpa=0xffffffe000 size=0x2000 hva=0x0
apply slot=2:0 gpa=0x0 size=0x1000 hva=0x0
""",
    "one address space": "machine linux-6.18\napply slot=5 gpa=0x0 size=0x1000 hva=0x0\napply slot=1:5 size=0x1000\n",
    "a header that says more": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x0
list nent=1000 header_flags=0xffffffff
apply slot=1 gpa=0x1000 size=0x1000 hva=0x0 padding=00ff invalidate_slot=255
""",
    "a header that says less": """\
list nent=1
apply slot=1 gpa=0x1000 size=0x1000 hva=0x0 padding=01000000000000000000000000000000000000000000000000000000000002
apply slot=1 size=0 invalidate # this one is not named
""",
    "beyond the maximum": """\
given slot=7 gpa=0xffffffffff000 size=0x1000 hva=0x7fffffffe000
apply slot=7 gpa=0x10000000000000 size=0x1000 hva=0x7fffffffe000 invalidate
""",
    "beyond a lower maximum": """\
machine linux-6.1 max_gfn=0xff
apply slot=0 gpa=0xff000 size=0x1000 hva=0x0
apply slot=1 gpa=0xf0000 size=0x11000 hva=0x0 flags=LOG_DIRTY_PAGES
""",
    "beyond user space": "given slot=0 gpa=0x0 size=0x1000 hva=0x0\napply slot=0 size=0 hva=0x800000000000\n",
    "fewer slot ids": "machine linux-6.1 user_slots=600\napply slot=599 size=0x1000\napply slot=600 size=0x1000\n",
    "long, and refused": """\
given slot=0 gpa=0x0 size=0x1000 hva=0x0
apply slot=1 gpa=0x0 size=0x7fffffff000 hva=0x0 flags=0x8
""",
    "words that end comments": """\
# Ends here: */ int main(void) { return 1; } /* and begins again /*/ and joins ??/
# Non-ASCII: größer, 🙂; the wrong way round: \u202e abc \u2066; \\
given slot=0 gpa=0x0 size=0x1000 hva=0x0 # */ behind given /*
# alone, in a line that is so long that it has to be folded into two lines or three, \\ and goes on and on and on
apply slot=0 size=0 # \\
# behind the last one */
""",
    "a long list": "".join(
        f"apply slot={i} gpa={i * 0x2000:#x} size=0x1000 hva={i * 0x1000:#x} # {i}\n" for i in range(300)
    ),
}
OF_THE_HOST = ("one address space", "beyond a lower maximum", "beyond user space", "fewer slot ids")
"""What differs here from program to program does not depend on the ioctl."""

BOUNDARIES = [
    "slot=0xffffffff",
    "slot=32763",
    "slot=32764",
    "slot=32767",
    "slot=0x8000:1",
    "flags=0xffffffff",
    "flags=0x4",
    "flags=INVALID",
    "gpa=0xffffffffffffffff",
    "gpa=0xfffffffffffff000",
    "gpa=0x1",
    "size=0xffffffffffffffff",
    "size=0x80000000000",
    "size=0xfff",
    "hva=0xffffffffffffffff",
    "hva=0x8000000000000000",
    "hva=0x7ffffffff000",
    "hva=0x7fffffffe000",
    "hva=0x1",
    "invalidate_slot=255",
    f"padding={'ff' * 31}",
]


def boundary(words: str) -> str:
    """A list of one entry with this value in its field."""
    given = {"slot": "1", "gpa": "0x1000", "size": "0x1000", "hva": "0x0"} | dict([words.split("=")])
    return "apply " + " ".join(f"{key}={text}" for key, text in given.items())


def of_the(machine: Machine) -> dict[str, int]:
    """The double's environment for a kernel as the case wants it."""
    return {
        "SPACES": machine.address_spaces,
        "MAX_GFN": machine.max_gfn,
        "SLOTS": machine.user_slots,
        "READONLY": machine.readonly,
    }


def as_sent(case: Case) -> bytes:
    """The list as the kernel is to see it: the header, and as many entries as it names."""
    entries = [struct.pack("=IIQQQB31s", *region) for region in case.named()]
    return struct.pack("=II", case.entries, case.header_flags) + b"".join(entries)


def host_answers_alike(case: Case) -> bool:
    """Whether this machine's kernel answers each request as the case's machine would, as far as serial goes."""
    rehearsal = Rehearsal(case.machine, this_host().machine)
    try:
        for region in case.given:
            rehearsal.answer(region, "")
        for region in case.named():
            if rehearsal.answer(region, ""):
                break
    except Unfit:
        return False
    return True


def comes_out_well(text: str, case: Case, build: Build, ran: Ran) -> None:
    """A program for the single ioctl does, on the double, and here if this kernel is as the case wants it."""
    program = build(text)
    code, points, printed = ran(program, DOUBLE="sound", **of_the(case.machine))
    assert (code, set(points)) == (0, {True}), printed
    try:
        alike = host_answers_alike(case)
    except Missing:
        return
    code, points, printed = ran(program)
    if code == 4:
        assert case.machine.numbers() != this_host().machine.numbers(), printed
    else:
        assert alike
        assert (code, set(points)) == (0, {True}), printed


@pytest.mark.parametrize("name", TEXTS)
def test_one_at_a_time_a_sound_kernel_does_as_the_model_says(name: str, build: Build, ran: Ran) -> None:
    file = parse_case(["slots 1", *TEXTS[name].splitlines()])
    comes_out_well(program_of(file, "case.c", "serial", Policy.ATOMIC), file.case, build, ran)


@pytest.mark.parametrize("name", [name for name in TEXTS if EVERY or name not in OF_THE_HOST])
def test_all_at_once_a_kernel_that_has_the_ioctl_is_judged_by_the_policy(
    name: str, build: Build, ran: Ran, tmp_path: Path
) -> None:
    file = parse_case(["slots 1", *TEXTS[name].splitlines()])
    case = file.case
    policy = Policy.PREFIX if name == "refused at 1" else Policy.ATOMIC
    program = build(program_of(file, "case.c", "list", policy))
    machine = of_the(case.machine)
    sent = tmp_path / "list"
    sound = "prefix" if policy is Policy.PREFIX else "sound"
    code, points, printed = ran(program, DISPOSABLE, DOUBLE=sound, LIST_TO=str(sent), **machine)
    assert (code, points) == (0, (True,) * 4), printed
    assert not case.entries or sent.read_bytes() == as_sent(case)
    code, points, printed = ran(program, DISPOSABLE, DOUBLE="no-list", **machine)
    assert (code, points) == (4, ()), printed


def test_every_bound_of_every_field_is_written_as_c_can_read_it(check: Callable[[list[str]], str]) -> None:
    files = [parse_case(["slots 1", boundary(words)]) for words in BOUNDARIES]
    assert check([program_of(file, "case.c", "list", Policy.ATOMIC) for file in files]) == ""


@pytest.mark.parametrize("words", BOUNDARIES if EVERY else BOUNDARIES[1::7])
def test_a_kernel_that_is_sound_answers_at_the_bounds_of_fields_as_the_model_does(
    words: str, build: Build, ran: Ran
) -> None:
    file = parse_case(["slots 1", boundary(words)])
    comes_out_well(program_of(file, "case.c", "serial", Policy.ATOMIC), file.case, build, ran)


@pytest.mark.parametrize("path", TAKEN, ids=lambda path: path.stem)
def test_the_corpus_comes_out_well_one_at_a_time(path: Path, build: Build, ran: Ran) -> None:
    file = read_case(path)
    if any(region.memory_size > 1024 * 4096 for region in file.case.given):
        with pytest.raises(Unfit, match="1024 pages"):
            program_of(file, "case.c", "serial", Policy.ATOMIC)
    elif file.case.faults:
        with pytest.raises(Unfit, match="a real kernel fails when it likes"):
            program_of(file, "case.c", "serial", Policy.ATOMIC)
    else:
        comes_out_well(program_of(file, "case.c", "serial", Policy.ATOMIC), file.case, build, ran)


@pytest.mark.parametrize("ioctl", IOCTLS)
@pytest.mark.parametrize("cc", ["clang", "gcc"])
def test_other_compilers_and_the_sanitizers_are_content(cc: str, ioctl: str, build: Build, ran: Ran) -> None:
    if shutil.which(cc) is None:
        pytest.skip(f"needs {cc}: apt-get install {cc}")
    file = parse_case(["slots 1", *TEXTS["a header that says more"].splitlines()])
    text = program_of(file, "case.c", ioctl, Policy.ATOMIC)
    program = build(text, "-O2", *(["-fsanitize=address,undefined"] if cc == "gcc" else []), cc=cc)
    code, points, printed = ran(program, *([DISPOSABLE] if ioctl == "list" else []), DOUBLE="sound")
    assert (code, set(points)) == (0, {True}), printed
