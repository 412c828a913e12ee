# SPDX-License-Identifier: GPL-2.0-only
"""Reading the JSON Lines form: our reader on the standard library beside msgspec, as a part of what a line costs.

Run as a script; needs msgspec, which nothing else does.
"""

import statistics
import time
from collections.abc import Callable
from io import BytesIO

import msgspec

from bench.recorded import recorded
from engines.simulated.engines import RfcV1, Serial
from fuzz.lines import LineRunner
from fuzz.trial import Trial
from memslots.jsonl import case_from_line, line_from_case


class Region(msgspec.Struct, forbid_unknown_fields=True):
    """A region as msgspec would read it."""

    slot: int = 0
    flags: int = 0
    guest_phys_addr: int = 0
    memory_size: int = 0
    userspace_addr: int = 0
    invalidate_slot: int = 0
    padding: str = ""


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A case as msgspec would read it."""

    apply: list[Region]
    format: int = 1
    id: str | None = None
    machine: str | dict[str, int | str] = "linux-6.1"
    given: list[Region] = []
    nent: int | None = None
    header_flags: int = 0
    faults: dict[str, int] = {}


def microseconds(work: Callable[[], object], lines: int) -> float:
    """Median of nine runs, per line."""
    runs = []
    for _ in range(9):
        begin = time.process_time()
        work()
        runs.append((time.process_time() - begin) / lines * 1e6)
    return statistics.median(runs)


if __name__ == "__main__":
    cases = [case for case, _ in recorded("rfc-v1-booted.jsonl")]
    lines = [line_from_case(case).encode() for case in cases]
    trial = Trial(Serial(), RfcV1())
    decoder = msgspec.json.Decoder(Line)
    ours = microseconds(lambda: [case_from_line(line) for line in lines], len(lines))
    theirs = microseconds(lambda: [decoder.decode(line) for line in lines], len(lines))
    stream = b"\n".join(lines)
    whole = microseconds(lambda: list(LineRunner([trial], []).results(BytesIO(stream))), len(lines))
    print(f"reading a line: standard library {ours:.1f} us, msgspec {theirs:.1f} us (its values checked for type only)")
    print(f"answering a line, as run does: {whole:.1f} us; msgspec could save {(ours - theirs) / whole:.0%} of it")
