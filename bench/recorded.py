# SPDX-License-Identifier: GPL-2.0-only
"""The recorded cases of tests/data, for the benchmarks."""

import json
from pathlib import Path

from memslots.case import Case
from memslots.jsonl import case_from_line

DATA = Path(__file__).parent.parent / "tests" / "data"


def recorded(name: str) -> list[tuple[Case, dict[str, object]]]:
    """The cases of one recording, each with what the kernel did."""
    pairs = []
    for line in (DATA / name).read_text().splitlines():
        record = json.loads(line)
        did = {key: record.pop(key) for key in ("serial", "list") if key in record}
        pairs.append((case_from_line(json.dumps(record))[1], did))
    return pairs
