# SPDX-License-Identifier: GPL-2.0-only
"""Every engine by name. A new engine is a new file and a line here."""

from collections.abc import Callable

from engines.protocol import Engine
from engines.real.kvm import IoctlSerial
from engines.simulated.engines import RfcV1, Serial
from memslots.errors import BadInput

ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": Serial,
    "rfc-v1": RfcV1,
    "kvm": IoctlSerial,
}


QUICK: dict[str, Callable[[], Engine]] = {
    **ENGINES,
    "rfc-v1": lambda: RfcV1(aftermath=False),
}
"""The same engines as a campaign wants them: good for every bucket, and no better than that."""


def engine_named(name: str, *, quick: bool = False) -> Engine:
    """A new engine of this name. Raises BadInput."""
    if name not in ENGINES:
        raise BadInput(f"no engine {name!r}: expected one of {', '.join(ENGINES)}")
    return (QUICK if quick else ENGINES)[name]()
