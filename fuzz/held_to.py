# SPDX-License-Identifier: GPL-2.0-only
"""What an engine was held to in a trial, put into words for those who read of it."""

from errno import errorcode

from fuzz.trial import Basis, Trial
from memslots.case import Case
from memslots.outcome import Outcome
from oracles.injected import met_first
from reports.held_to import HeldTo


def held_to(trial: Trial, case: Case, reference: Outcome, outcome: Outcome) -> HeldTo | None:
    """The same measure that the trial judges by, with events; None if it is what the reference did with the case."""
    right, basis, form = trial.measure(case, reference, outcome, record=True)
    serial, engine = trial.reference.name, trial.engine.name
    match basis:
        case Basis.REFERENCE:
            return None
        case Basis.SPARED:
            name, why = (
                f"{serial} without the failure",
                f"{serial} alone meets {_failure(reference)}, {engine} does not",
            )
        case Basis.REFUSED_BEFORE:
            name = f"{serial} without the failure"
            why = f"{engine} meets {_failure(outcome)}, and an entry before that is to be refused, whatever fails"
        case Basis.FAILURE:
            name = f"the answer to the failure that {engine} meets"
            other = f"{serial} meets {_failure(reference)}" if reference.failed else f"{serial} meets none"
            errno = errorcode[right.errno or 0]
            why = f"{engine} meets {_failure(outcome)}, {other}: the call is to answer {errno} and to change nothing"
        case Basis.FORM:
            at = "the header" if form is None or form.entry is None else f"entry {form.entry}"
            name = f"a refusal of {at}"
            why = f"{at} has no meaning to a list ioctl, and {serial} does not look at it: {engine} is to refuse it"
        case Basis.OWN_ORDER:
            name = f"{serial}, in the order of {engine}"
            why = f"{engine} has an order of its own: what counts is what {serial} does with the list in that order"
    return HeldTo(name, f"{why}.", right, ran=basis in (Basis.SPARED, Basis.REFUSED_BEFORE, Basis.OWN_ORDER))


def _failure(outcome: Outcome) -> str:
    failure = met_first(outcome)
    if failure is None:
        return "no failure"
    # A list's own copies and arrays come before its entries.
    of_the_list = failure.entry is None or (outcome.entry_errnos is None and failure.kind in ("copy", "array"))
    return f"the failure ({failure.kind}{'' if of_the_list else f', at entry {failure.entry}'})"
