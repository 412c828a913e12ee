# SPDX-License-Identifier: GPL-2.0-only
"""What each engine answered to each entry, in words, read off the outcome's own events."""

from errno import errorcode

from memslots.outcome import Event, Outcome

_NEWS = frozenset(("refuse", "warn", "stray", "damage", "early-publish", "hung", "crashed", "looped"))

_VERBS = {
    "refuse": "refused",
    "warn": "WARN",
    "damage": "memory error:",
    "stray": "",
    "early-publish": "published early",
    "unnoticed": "",
    "log": "the log:",
}
_EARLY = _NEWS | {"unnoticed", "log"}


def answers(outcome: Outcome, entries: int) -> list[str]:
    """One text for each of the first `entries` entries: what became of it, phase by phase."""
    if outcome.entry_errnos is not None:
        texts = [errorcode[errno] if errno else "ok" for errno in outcome.entry_errnos[:entries]]
        return texts + ["not tried"] * (entries - len(texts))
    by_entry: list[list[Event]] = [[] for _ in range(entries)]
    for event in outcome.events or ():
        if event.entry < entries and event.phase:
            by_entry[event.entry].append(event)
    return [_answer(events) for events in by_entry]


def before_any_entry(outcome: Outcome) -> list[str]:
    """What happened before the call came to its first entry, where it knows of phases at all."""
    if outcome.entry_errnos is not None:
        return []
    return [_news(event) for event in outcome.events or () if not event.phase and event.kind in _EARLY]


def _answer(events: list[Event]) -> str:
    """`P2 CREATE ok, P3 CREATE ok`, with mishaps in their place."""
    if not events:
        return "not tried"
    parts: list[str] = []
    for phase in dict.fromkeys(event.phase for event in events):
        here = [event for event in events if event.phase == phase]
        news = [event for event in here if event.kind in _NEWS]
        changes = [event.change.name for event in here if event.change.name != "UNKNOWN"]
        change = f" {changes[-1]}" if changes else ""
        if news:
            parts.append(f"{phase}{change} " + ", ".join(_news(event) for event in news))
        elif any(event.kind in ("replace", "alloc", "publish") for event in here):
            parts.append(f"{phase}{change} ok")
    return "; ".join(parts) or "passed over"


def _news(event: Event) -> str:
    verb = _VERBS.get(event.kind, event.kind)
    return f"{verb} {event.detail}".strip()
