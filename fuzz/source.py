# SPDX-License-Identifier: GPL-2.0-only
"""Which engines and oracles these are: a statement about all lists of a scope holds for the code that judged them."""

from hashlib import sha256
from pathlib import Path

_HOUSE = Path(__file__).parent.parent
_JUDGES = ("memslots", "engines", "oracles", "fuzz/trial.py", "fuzz/scope.py", "fuzz/enumeration.py", "fuzz/sweep.py")


def source() -> str:
    """Twelve hexadecimal digits that change when the code changes which decides what is tried, and how it is judged."""
    digest = sha256()
    for name in _JUDGES:
        place = _HOUSE / name
        for path in [place] if place.suffix else sorted(place.rglob("*.py")):
            digest.update(f"{path.relative_to(_HOUSE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
