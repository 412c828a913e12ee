# SPDX-License-Identifier: GPL-2.0-only
"""Which findings of one case are news of their own, and which are in the company of worse ones."""

from collections.abc import Sequence

from fuzz.trial import Finding


def alarms(findings: Sequence[Finding]) -> list[Finding]:
    """The first finding of each parting event: what parts at one event has one cause, and the oracles name it in turn.

    Oracles come with the worst news first. Nothing is lost: a reduced case is recorded with all its findings.
    """
    firsts: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        parting = finding.parting
        where = () if parting is None else (parting.kind, parting.phase, parting.change.name)
        firsts.setdefault(where, finding)
    return list(firsts.values())
