# SPDX-License-Identifier: GPL-2.0-only
"""Why a finding is one, in the words for the engine that it is of."""

from engines.catalogue import built
from fuzz.trial import Finding
from memslots.outcome import Outcome
from reports.why import why
from reports.why_tree import why_of_tree


def reason(finding: Finding, outcome: Outcome) -> str:
    """One sentence; `outcome` is the engine's."""
    told = why_of_tree if built(finding.engine) else why
    return told(finding.mismatch, finding.parting, outcome)
