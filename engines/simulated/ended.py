# SPDX-License-Identifier: GPL-2.0-only
"""How a call can end without returning. Inside the simulated kernel these unwind; an engine makes outcomes of them."""


class Ended(Exception):
    """The call never returns. `ended` and `kind` are those of `Outcome`."""

    def __init__(self, ended: str, kind: str | None = None) -> None:
        super().__init__(ended, kind)
        self.ended = ended
        self.kind = kind


class Hung(Ended):
    """The caller waits for ever for a lock that it holds itself, or that an earlier call never released."""

    def __init__(self) -> None:
        super().__init__("hung")


class Oops(Ended):
    """The caller died in the kernel: `null-dereference`, `bug` or `use-after-free`. It releases no lock."""

    def __init__(self, kind: str) -> None:
        super().__init__("crashed", kind)
