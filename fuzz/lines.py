# SPDX-License-Identifier: GPL-2.0-only
"""`sameslots run`: a case a line in, a result a line out, in constant memory."""

import json
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from engines.protocol import Engine
from engines.simulated.engines import Serial
from fuzz.trial import Basis, Trial, Verdict
from memslots.case import Case
from memslots.errors import BadInput
from memslots.jsonl import BadJson, Json, case_from_line, json_of_outcome, json_of_published
from memslots.outcome import Outcome
from reports.readers import figures_of

MAX_LINE_BYTES = 16 << 20
"""A list of 10,000 entries takes about 1.5 MB."""


class LineRunner:
    """Runs lines through engines and remembers whether any was bad, and whether any showed a mismatch."""

    def __init__(self, trials: Sequence[Trial], shown: Sequence[Engine], *, published: bool = False) -> None:
        """`trials` judge; `shown` are further engines whose outcomes are wanted as they are.

        With `published` each outcome has the sets that readers could see, too.
        """
        self._trials = trials
        self._shown = shown
        self._published = published
        self.bad_line = False
        self.mismatch = False

    def results(self, stream: BinaryIO) -> Iterator[str]:
        """One JSON object for each line of `stream`, in order, without newlines. Raises BadInput."""
        number = 0
        while line := _read(stream):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = _read(stream)
                yield self._error(None, f"line {number}: expected at most {MAX_LINE_BYTES} bytes a line")
                continue
            case_id = None
            try:
                case_id, case = case_from_line(line)
                yield self._result(case_id, case)
            except BadJson as error:
                where = f"line {number}: " if error.case_id is None else ""
                yield self._error(error.case_id, f"{where}{error}")
            except BadInput as error:
                yield self._error(case_id, str(error))
            except MemoryError:
                yield self._error(case_id, f"line {number}: there is not enough memory for this case")

    def _error(self, case_id: str | None, why: str) -> str:
        self.bad_line = True
        return json.dumps({"id": case_id, "error": why})

    def _result(self, case_id: str | None, case: Case) -> str:
        outcomes: dict[str, Outcome] = {}
        mismatches: list[Json] = []
        held_to: dict[str, Json] = {}
        for trial in self._trials:
            verdict = trial.verdict(case)
            outcomes.setdefault(trial.reference.name, verdict.did)
            outcomes[trial.engine.name] = verdict.outcome
            if verdict.basis is not Basis.REFERENCE:
                held_to[trial.engine.name] = _json_of_measure(verdict)
            mismatches += _json_of_findings(verdict)
        for engine in self._shown:
            outcomes[engine.name] = engine.apply(case)
        if self._published:
            engines = {each.name: each for trial in self._trials for each in (trial.reference, trial.engine)}
            engines |= {each.name: each for each in self._shown}
            for name, outcome in outcomes.items():
                engine = engines[name]
                if isinstance(engine, Serial):  # it is quick, and keeps them when it records
                    outcomes[name] = outcome._replace(published=engine.apply(case, record=True).published)
        self.mismatch = self.mismatch or bool(mismatches)
        return json.dumps(
            {
                "id": case_id,
                "outcomes": {name: self._json_of(outcome) for name, outcome in outcomes.items()},
                "mismatches": mismatches,
                **({"held_to": held_to} if held_to else {}),
            }
        )

    def _json_of(self, outcome: Outcome) -> Json:
        fields = json_of_outcome(outcome)
        if not self._published:
            return fields
        return fields | {"published": json_of_published(outcome.published), "readers": _json_of_costs(outcome)}


def _read(stream: BinaryIO) -> bytes:
    """The next line, cut where it is too long."""
    try:
        return stream.readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{stream.name}: {error.strerror}: expected a file of cases, one JSON object a line") from None


def _json_of_costs(outcome: Outcome) -> Json:
    """What the call costs its readers; null where that is not known."""
    cost = figures_of(outcome)
    if cost is None:
        return None
    losses: dict[str, Json] = {
        name: [list(loss) for loss in each] for name, each in (("unbacked", cost.unbacked), ("retried", cost.retried))
    }
    return {"invalid_windows": cost.invalid_windows, "inhibited": cost.inhibited, **losses}


def _json_of_measure(verdict: Verdict) -> Json:
    """What is right where that is not what the reference did: the answer and the slots, for nobody need have run it."""
    right = json_of_outcome(verdict.reference)
    return {"basis": verdict.basis.name.lower(), **{key: right[key] for key in _HELD_TO}}


_HELD_TO = ("value", "errno", "entry_errnos", "at_first_refusal", "active")


def _json_of_findings(verdict: Verdict) -> list[Json]:
    return [
        {
            "engine": finding.engine,
            "reference": finding.reference,
            "oracle": finding.mismatch.oracle,
            "bucket": finding.bucket,
            "facts": dict(finding.mismatch.facts),
        }
        for finding in verdict.findings
    ]
