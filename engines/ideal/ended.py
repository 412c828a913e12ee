# SPDX-License-Identifier: GPL-2.0-only
"""How a call can end without returning. A sound one never does; whoever plants a bug here sees it end so."""


class NeverReturns(Exception):
    """The call is gone. `ended` and `kind` are those of `Outcome`. Never leaves the engine."""

    def __init__(self, ended: str, kind: str | None = None) -> None:
        super().__init__(ended, kind)
        self.ended = ended
        self.kind = kind
