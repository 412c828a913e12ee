# SPDX-License-Identifier: GPL-2.0-only
"""What has been found so far, one line of JSON a mistake and backend: an interrupted run goes on from there."""

import json
from hashlib import sha256
from pathlib import Path

from bench.planting.trials import Found

HOUSE = Path(__file__).parents[2]
_JUDGES = ("memslots", "engines", "oracles", "fuzz", "bench/planting")


def source() -> str:
    """Changes when any code does that plants, runs, draws or judges."""
    digest = sha256()
    for room in _JUDGES:
        for path in sorted((HOUSE / room).rglob("*.py")):
            digest.update(f"{path.relative_to(HOUSE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


class Notebook:
    """Answers by mistake and backend. Those of other code, or of another budget, are not taken up again."""

    def __init__(self, path: Path, settings: dict[str, str | int]) -> None:
        self._path = path
        head = json.dumps(settings, sort_keys=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._known: dict[tuple[str, str], Found] = {}
        if not lines or lines[0] != head:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(head + "\n")
            return
        # What was cut off when the machine went down is looked for again.
        whole = [line for line in lines[1:] if line.endswith("]")]
        path.write_text("\n".join([head, *whole, ""]))
        for line in whole:
            backend, name, *found = json.loads(line)
            self._known[backend, name] = Found(*found)

    def get(self, backend: str, name: str) -> Found | None:
        """What is known of a mistake."""
        return self._known.get((backend, name))

    def add(self, backend: str, name: str, found: Found) -> None:
        """Write an answer down."""
        self._known[backend, name] = found
        with self._path.open("a") as file:
            file.write(json.dumps([backend, name, *found]) + "\n")
