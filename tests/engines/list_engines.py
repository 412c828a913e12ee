# SPDX-License-Identifier: GPL-2.0-only
"""The list ioctl of kernels that a test makes up, as an engine: how to have one, and what is found of it."""

from collections.abc import Callable

from engines.real.kvm_list import IoctlList
from engines.simulated.engines import Serial
from fuzz.trial import Trial
from memslots.case import Case
from oracles.policy import Policy
from tests.engines.wrecked_kernel import WreckedKvm, WreckedVm, stuck

SILENT_SECONDS = 0.25
MACHINE_LINE = "machine linux-6.1 max_gfn=0xfffffff"
GIVEN = "given slot=0 gpa=0x0 size=0x4000 hva=0x10000"
GROW = ("apply slot=0 size=0", "apply slot=0 gpa=0x0 size=0x8000 hva=0x10000")
Wrong = Callable[[WreckedVm], int | None]
Made = Callable[..., tuple[IoctlList, WreckedKvm]]


def findings(engine: IoctlList, case: Case) -> list[str]:
    verdict = Trial(Serial(), engine, Policy.PREFIX).verdict(case)
    return [" ".join(filter(None, (f.mismatch.oracle, f.mismatch.what))) for f in verdict.findings]


def hangs(vm: WreckedVm) -> None:
    stuck()
