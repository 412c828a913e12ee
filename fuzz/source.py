# SPDX-License-Identifier: GPL-2.0-only
"""Which engines and oracles these are: a statement about all lists of a scope holds for the code that judged them."""

from hashlib import sha256
from pathlib import Path

_HOUSE = Path(__file__).parent.parent
_JUDGES = (
    *("memslots", "engines", "oracles"),
    *("fuzz/trial.py", "fuzz/own_order.py", "fuzz/scope.py", "fuzz/enumeration.py", "fuzz/sweep.py"),
)


def judging_files() -> list[Path]:
    """The files of that code, in an order that stays."""
    places = [_HOUSE / name for name in _JUDGES]
    return [path for place in places for path in ([place] if place.suffix else sorted(place.rglob("*.py")))]


def source() -> str:
    """Twelve hexadecimal digits that change when the code changes which decides what is tried, and how it is judged."""
    digest = sha256()
    for path in judging_files():
        digest.update(f"{path.relative_to(_HOUSE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
