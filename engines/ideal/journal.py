# SPDX-License-Identifier: GPL-2.0-only
"""What there is to tell of a call: where it is, what went wrong, and every step if somebody asked for that."""

from memslots.outcome import Change, Event


class Journal:
    """The mishaps and events of one call.

    `phase`, `entry` and `change` say what is being done; no step depends on them.
    """

    __slots__ = ("change", "corrupt", "damage", "entry", "events", "mishaps", "phase", "warned")

    def __init__(self, *, record: bool) -> None:
        self.phase = ""
        self.entry = 0
        self.change = Change.UNKNOWN
        self.mishaps: list[Event] = []
        self.events: list[Event] | None = [] if record else None
        self.damage: set[str] = set()
        self.warned = False
        self.corrupt = False

    def at(self, phase: str, entry: int, change: Change) -> None:
        """From now on this is being done."""
        self.phase = phase
        self.entry = entry
        self.change = change

    def note(self, kind: str, detail: str) -> None:
        """A step, which only who records pays for."""
        if self.events is not None:
            self.events.append(Event(kind, self.phase, self.entry, self.change, detail))

    def mishap(self, kind: str, detail: str) -> None:
        """Something that no smooth update meets. Its detail is for who records."""
        self.mishaps.append(Event(kind, self.phase, self.entry, self.change))
        self.note(kind, detail)

    def injected(self, kind: str) -> None:
        """A failure that the case asked for is met. The detail is its kind, for everyone."""
        self.mishaps.append(Event("injected", self.phase, self.entry, self.change, kind))
        self.note("injected", kind)

    def warn(self, why: str) -> None:
        """A WARN fires."""
        self.warned = True
        self.mishap("warn", why)

    def damaged(self, kind: str, detail: str) -> None:
        """A memory error that KASAN would report."""
        self.damage.add(kind)
        self.mishap("damage", f"{kind} of {detail}")

    def stray(self, why: str) -> None:
        """A set was edited that does not hold what it was said to hold."""
        self.corrupt = True
        self.mishap("stray", why)
