# SPDX-License-Identifier: GPL-2.0-only
"""What a call costs its readers is told of each engine, the reference's beside it: windows, gfns, publications."""

import pytest

from engines.catalogue import engine_named
from engines.simulated.engines import Serial
from memslots.outcome import UNSEEN, Outcome
from memslots.textreader import parse_case
from reports.readers import cost_lines, figures_of

MERGE = """\
given slot=0 gpa=0x0 size=0x2000 hva=0x1000
given slot=1 gpa=0x2000 size=0x1000 hva=0x3000
apply slot=1 size=0
apply slot=0 size=0
apply slot=0 gpa=0x0 size=0x3000 hva=0x1000
"""
SPLIT = "given slot=1:0 gpa=0x0 size=0x10000 hva=0x0\napply slot=1:0 size=0\n" + "".join(
    f"apply slot=1:{i} gpa={i * 0x2000:#x} size=0x1000 hva={i * 0x2000:#x}\n" for i in range(8)
)


def outcomes(text: str, *names: str) -> dict[str, Outcome]:
    case = parse_case(["slots 1", *text.splitlines()]).case
    return {name: engine_named(name).apply(case, record=True) for name in ("serial", *names)}


def test_windows_gfns_and_publications_are_told_engine_by_engine() -> None:
    assert cost_lines(outcomes(MERGE, "qemu-commit", "ideal")) == [
        "serial: 2 INVALID windows; unbacked: 0x0..0x1 at 1 publication, 0x2 at 3 publications; to be tried again:"
        " 0x0..0x2 at 1 publication",
        "qemu-commit: 2 INVALID windows, 5 publications with readers kept out; unbacked: none; to be tried again: none",
        "ideal: 1 INVALID window; unbacked: none; to be tried again: 0x0..0x2 at 1 publication",
    ]


def test_many_ranges_are_cut_and_the_address_space_is_named() -> None:
    [line] = cost_lines(outcomes(SPLIT))
    assert line.startswith(
        "serial: 1 INVALID window; unbacked: 0x0 of address space 1 at 1 publication, 0x2 of address space 1 at 2"
    )
    assert "0xa of address space 1 at 6 publications, and 2 more ranges; to be tried again: 0x0 of" in line


def test_what_is_not_shown_is_not_known_and_what_publishes_nothing_costs_nothing() -> None:
    assert cost_lines(outcomes("apply slot=0 size=0\n", "rfc-v1")) == []
    serial = outcomes(MERGE)["serial"]
    assert cost_lines({"kvm": serial._replace(published=None)}) == ["kvm: not known"]


@pytest.mark.parametrize(
    "blind", [{"active": UNSEEN}, {"corrupt": True}, {"published": None}, {"page_size": None}], ids=str
)
def test_nothing_is_counted_of_what_is_not_vouched_for(blind: dict[str, object]) -> None:
    serial = Serial().apply(parse_case(["slots 1", *MERGE.splitlines()]).case, record=True)
    assert figures_of(serial) is not None
    assert figures_of(serial._replace(**blind)) is None  # type: ignore[arg-type]  # fields of any kind
