# SPDX-License-Identifier: GPL-2.0-only
"""Every engine by name. A new engine is a new file and a line here."""

from collections.abc import Callable

from engines.protocol import Engine
from engines.simulated.engines import RfcV1, Serial
from memslots.errors import BadInput

ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": Serial,
    "rfc-v1": RfcV1,
}


def engine_named(name: str) -> Engine:
    """A new engine of this name. Raises BadInput."""
    if name not in ENGINES:
        raise BadInput(f"no engine {name!r}: expected one of {', '.join(ENGINES)}")
    return ENGINES[name]()
