# SPDX-License-Identifier: GPL-2.0-only
"""A case on its way into a guest, and what became of it on its way out. What is raised inside is raised outside."""

import json
from traceback import format_exc

from engines.catalogue import engine_named, machine_of_engine
from engines.protocol import Engine, RefusedGiven
from memslots import errors
from memslots.case import Case
from memslots.errors import BadInput
from memslots.jsonl import case_from_line, line_from_case
from memslots.jsonoutcome import outcome_from_json, whole_json_of_outcome
from memslots.machine import Machine
from memslots.outcome import Outcome


class FailedInside(Exception):
    """An engine has failed inside a guest, which is a mistake in this program. The text is the traceback."""


_engines: dict[tuple[str, bool], Engine] = {}


def request(engine: str, quick: bool, record: bool, line: str) -> bytes:
    """What `answered` reads: the case of `line` is for this engine."""
    return json.dumps([engine, quick, record, line]).encode()


def machine_request(engine: str) -> bytes:
    """What `answered` reads: which machine is this engine's?"""
    return json.dumps([engine]).encode()


def answered(asked: bytes) -> bytes:
    """JSON: {"outcome": ...} or {"machine": ...}, or the class and text of what was raised."""
    try:
        name, *of_case = json.loads(asked)
        if not of_case:
            machine = machine_of_engine(name)
            return json.dumps(
                {"machine": None if machine is None else line_from_case(Case((), machine=machine))}
            ).encode()
        quick, record, line = of_case
        if (name, quick) not in _engines:
            _engines[name, quick] = engine_named(name, quick=quick)
        _, case = case_from_line(line)
        outcome = _engines[name, quick].apply(case, record=record)
    except RefusedGiven as error:
        answer: dict[str, object] = {"refused": [error.index, error.errno_name]}
    except Exception as error:  # noqa: BLE001 - it is raised again outside
        # A mistake of ours must not look like one of the kernel's.
        ours = type(error).__module__ != errors.__name__
        answer = {"failed": format_exc()} if ours else {"raised": [type(error).__name__, str(error)]}
    else:
        # An engine may know of harm to the kernel that neither the console nor the outcome tells of.
        suspect = bool(getattr(_engines[name, quick], "suspect", ""))
        answer = {"outcome": whole_json_of_outcome(outcome), "suspect": suspect}
    return json.dumps(answer).encode()


def outcome_of(answer: bytes) -> tuple[Outcome, bool]:
    """What `answered` says: the outcome, and whether the kernel is suspect. What was raised inside is raised here."""
    match _not_raised(answer):
        case {"outcome": fields, "suspect": suspect}:
            return outcome_from_json(fields), suspect
        case other:
            raise BadInput(f"a guest answers {other!r}: expected an outcome")


def machine_told(answer: bytes) -> Machine | None:
    """What `answered` says: the machine that cases should be for, or None."""
    match _not_raised(answer):
        case {"machine": str(line)}:
            return case_from_line(line)[1].machine
        case _:
            return None


def _not_raised(answer: bytes) -> object:
    match json.loads(answer):
        case {"refused": [index, errno_name]}:
            raise RefusedGiven(index, errno_name)
        case {"raised": [name, text]}:
            kind: type[Exception] = getattr(errors, name)
            # Its text is written: it is not to be made of its parts again.
            raise kind.__new__(kind, text)
        case {"failed": text}:
            raise FailedInside(text)
        case other:
            return other
