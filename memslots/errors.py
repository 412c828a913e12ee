# SPDX-License-Identifier: GPL-2.0-only
"""What is raised when input is wrong or something is missing. A kernel's refusal is data, never one of these."""


def on_one_line(text: str, most: int = 1000) -> str:
    """The text shortened, with what does not print escaped."""
    shown = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in shown)


class BadInput(Exception):
    """Input that cannot be used. Its text is one line that says what was found and what was expected."""

    def __init__(self, text: str) -> None:
        super().__init__(on_one_line(text))

    def __reduce__(self) -> tuple[object, ...]:
        """How another process has it: with its text, though that of most is made of other things."""
        return _remade, (type(self), self.args), self.__dict__


def _remade(kind: type[BadInput], args: tuple[object, ...]) -> BadInput:
    return kind.__new__(kind, *args)


class BadLine(BadInput):
    """A line of a case file that cannot be read."""

    def __init__(self, path: str, lineno: int, line: str, expected: str) -> None:
        """`lineno` counts from 1; `line` is shown shortened and with control characters escaped."""
        printable = on_one_line(line, 120)
        found = f", found: {printable}" if printable else ""
        super().__init__(f"{path}:{lineno}: {expected}{found}")


class BadCase(BadInput):
    """A case that is well written and still none: a machine that cannot be, a `given` that serial refuses."""


class NotYet(BadInput):
    """A part of a case that this release does not support; the text names it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: not supported by this release")


class Unfit(BadCase):
    """A case that one engine cannot take as it is, where others can. The text says what is in the way."""


class UnfitEntry(Unfit):
    """A list of which one entry is in the way."""

    def __init__(self, index: int, text: str) -> None:
        super().__init__(f"entry {index}: {text}")
        self.index = index


class RefusedHere(Unfit):
    """A `given` region that the model accepts and this kernel refuses: news of the kernel. The list was not tried."""

    def __init__(self, index: int, errno_name: str, see: str = "sameslots calibrate") -> None:
        """`see`: the command that tells more of how kernel and model part."""
        super().__init__(f"given {index}: this kernel refuses it ({errno_name}), and the model accepts it: see `{see}`")
        self.index = index


class Missing(Exception):
    """Something asked for is not on this machine. The text is one line that says what to do."""


class Withheld(Exception):
    """Something that is done only where somebody has said that it may be. The text is one line that says how."""
