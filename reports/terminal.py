# SPDX-License-Identifier: GPL-2.0-only
"""A case on the terminal: what was given, what each engine answered, both final sets, where they part."""

from collections.abc import Iterator, Sequence
from itertools import islice

from rich.box import ASCII
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from memslots.case import Case
from memslots.outcome import UNSEEN, Outcome
from memslots.slot import SlotSet, SlotSets
from memslots.textwriter import region_words, words_of
from oracles.bucket import how_ended
from oracles.policy import Policy, expected_active
from reports.answers import answers
from reports.ending import ending_words
from reports.held_to import Held, answer_words, right_for
from reports.memory_map import cell_text, folded, rows_of
from reports.news import gfns
from reports.readers import HEADING, MEANING, cost_lines

_LEAVES = {Policy.ATOMIC: "the state before it", Policy.PREFIX: "what the reference has at its first refusal"}
_MOST_ZERO_ENTRIES = 3
_MOST_LINES = 48
"""More lines of one kind than this are folded: a terminal shows about as many."""
_MOST_ROWS = 4 * _MOST_LINES


def case_on_terminal(
    title: str,
    case: Case,
    outcomes: dict[str, Outcome],
    findings: Sequence[tuple[str, str]],
    policy: Policy,
    held: Held,
) -> Iterator[RenderableType]:
    """What to print, part after part. The first of `outcomes` is the reference's; all were recorded.

    `findings` are pairs of an engine's name and a bucket; `held` has who is held to something else than the reference.
    """
    yield Text(title, style="bold")
    yield Text(f"machine {words_of(case.machine)}", style="dim")
    yield from _given(case)
    yield _entries(case, outcomes)
    yield Text("")
    for name, outcome in outcomes.items():
        yield Text.assemble((f"{name}: ", "bold"), _ending(outcome))
    for name, other in held.items():
        yield Text(f"{name} is held to {other.name}, {answer_words(other)}: {other.why}")
    if any(right_for(name, outcomes, held).errno for name in _judged(outcomes)):
        yield Text(f"A refused list must leave {_LEAVES[policy]} (policy {policy.value}).", style="dim")
    if costs := cost_lines(_with_what_is_right(outcomes, held)):
        yield Text("")
        yield Text(f"{HEADING}, {MEANING}:")
        yield from (Text(f"  {line}") for line in costs)
    for as_id in range(case.machine.address_spaces):
        yield from _map(as_id, outcomes, policy, held)
    yield from _findings(findings)


def _with_what_is_right(outcomes: dict[str, Outcome], held: Held) -> dict[str, Outcome]:
    """Behind the reference, by their names, what the reference comes to where that is what engines are held to."""
    instead = {other.name: other.outcome for other in held.values() if other.ran}
    reference = next(iter(outcomes))
    return {reference: outcomes[reference]} | instead | outcomes


def _given(case: Case) -> Iterator[RenderableType]:
    for i, region in enumerate(case.given[:_MOST_LINES]):
        yield Text(f"given {i:>3}  {region_words(region)}")
    if len(case.given) > _MOST_LINES:
        yield Text(f"           and {len(case.given) - _MOST_LINES} more", style="dim")


def _entries(case: Case, outcomes: dict[str, Outcome]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("apply", justify="right")
    table.add_column("entry", overflow="fold")
    for name in outcomes:
        table.add_column(name, overflow="fold")
    # What nent names beyond the entries given: a row or two tell how that ends.
    shown = tuple(islice(case.named(), min(len(case.apply) + _MOST_ZERO_ENTRIES, _MOST_LINES)))
    columns = [answers(outcome, len(shown)) for outcome in outcomes.values()]
    for i, region in enumerate(shown):
        words = region_words(region) if i < len(case.apply) else "(zero bytes) slot=0 size=0"
        table.add_row(str(i), words, *[_coloured(column[i]) for column in columns])
    if len(case.apply) > _MOST_LINES:
        table.add_row("", f"and {len(case.apply) - _MOST_LINES} more")
    if case.nent is not None:
        table.add_row("", f"the header says nent={case.nent}, {len(case.apply)} are given")
    return table


def _coloured(answer: str) -> Text:
    good = answer == "ok" or (answer.endswith("ok") and "refused" not in answer and "WARN" not in answer)
    return Text(answer, style="green" if good else "dim" if answer in ("not tried", "passed over") else "red")


def _ending(outcome: Outcome) -> Text:
    return Text(ending_words(outcome), style="green" if how_ended(outcome) == "ok" else "red")


def _map(as_id: int, outcomes: dict[str, Outcome], policy: Policy, held: Held) -> Iterator[RenderableType]:
    reference = next(iter(outcomes.values()))
    columns: dict[str, SlotSets] = {"before": reference.before}
    judged: dict[int, SlotSet] = {}
    for name, outcome in outcomes.items():
        if outcome.active == UNSEEN:
            continue
        columns[name] = outcome.active
        if outcome is reference:
            continue
        right = expected_active(right_for(name, outcomes, held), policy)[as_id]
        judged[len(columns) - 1] = right
        if outcome.inactive is not None and outcome.inactive[as_id] != outcome.active[as_id]:
            columns[f"{name}, inactive set"] = outcome.inactive
            judged[len(columns) - 1] = right
    # What is right is drawn with the others to be compared, but stands in no column of its own.
    rights = list(dict.fromkeys(judged.values()))
    rows = rows_of([*(sets[as_id] for sets in columns.values()), *rights])
    if not rows:
        return
    table = Table(
        title=f"address space {as_id}: active slots", title_justify="left", title_style="", show_edge=False, box=ASCII
    )
    table.add_column("gfn", justify="right", no_wrap=True)
    for name in columns:
        table.add_column(name, overflow="fold")
    drawn = folded(rows, _MOST_LINES)
    for row in drawn[:_MOST_ROWS]:
        if isinstance(row, int):
            table.add_row("...", f"{row} ranges alike", style="dim")
            continue
        cells, expected = row.cells[: len(columns)], row.cells[len(columns) :]
        wrong = any(cells[column] != expected[rights.index(right)] for column, right in judged.items())
        table.add_row(
            gfns(row.first, row.end - row.first),
            *[cell_text(cell) for cell in cells],
            style="bold red" if wrong else "",
        )
    if len(drawn) > _MOST_ROWS:
        table.add_row("...", f"{len(drawn) - _MOST_ROWS} more rows", style="dim")
    yield Text("")
    yield table


def _judged(outcomes: dict[str, Outcome]) -> list[str]:
    """All but the reference, or that alone."""
    return list(outcomes)[1:] or list(outcomes)


def _findings(findings: Sequence[tuple[str, str]]) -> Iterator[RenderableType]:
    yield Text("")
    if not findings:
        yield Text("No mismatch.", style="bold green")
        return
    yield Text("They part:", style="bold red")
    for name, bucket in findings:
        yield Text(f"  {name} {bucket}")
