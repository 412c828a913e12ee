# SPDX-License-Identifier: GPL-2.0-only
"""Every engine by name. A new engine is a new file and a line here."""

from collections.abc import Callable

from engines.protocol import Engine
from engines.simulated.engines import RfcV1, Serial

ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": Serial,
    "rfc-v1": RfcV1,
}
