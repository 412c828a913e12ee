# SPDX-License-Identifier: GPL-2.0-only
"""What every file here needs: a case from its text, a kernel to drive by hand, slot sets in the specification's words.

A slot is written as the specification writes it, in bytes: `s0=[0x0,+0x1000)LR` with the flags behind it, `1:s0` in
address space 1, `inv0` for the INVALID copy of slot 0.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines.real.kvm_list import IoctlList
from engines.simulated.boot import boot, boot_faithfully
from engines.simulated.kernel import Kernel
from engines.simulated.linked import LinkedMemslots
from memslots.case import Case
from memslots.outcome import Outcome
from memslots.slot import SlotSets
from memslots.textreader import parse_case
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEMSLOT_INVALID
from tests.engines.list_engines import GIVEN, GROW, MACHINE_LINE, SILENT_SECONDS, Made, Wrong
from tests.engines.wrecked_kernel import WreckedKvm


def _case_of(*lines: str) -> Case:
    return parse_case("\n".join(("slots 1", *lines)).splitlines()).case


@pytest.fixture(scope="session")
def case_of() -> Callable[..., Case]:
    """The case that lines of case text describe, without their first, `slots 1`."""
    return _case_of


@pytest.fixture(scope="session")
def kernel_of() -> Callable[..., Kernel]:
    """A kernel that holds what `given` leaves; `linked` if its sets are going to be misused."""

    def kernel_of(case: Case, *, linked: bool = False) -> Kernel:
        if not linked:
            return boot(case)
        kernel = Kernel(case.machine, LinkedMemslots)
        boot_faithfully(case, kernel)
        return kernel

    return kernel_of


@pytest.fixture(scope="session")
def written() -> Callable[[SlotSets | None], str]:
    """Slot sets as text, on a machine with pages of 4096 bytes."""

    def written(sets: SlotSets | None) -> str:
        assert sets is not None
        words = []
        for slot in (slot for slots in sets for slot in slots):
            space = f"{slot.as_id}:" if slot.as_id else ""
            name = "inv" if slot.flags & KVM_MEMSLOT_INVALID else "s"
            letters = "L" * bool(slot.flags & KVM_MEM_LOG_DIRTY_PAGES) + "R" * bool(slot.flags & KVM_MEM_READONLY)
            start, size = slot.base_gfn * 4096, slot.npages * 4096
            words.append(f"{space}{name}{slot.id}=[{start:#x},+{size:#x}){letters}")
        return " ".join(words)

    return written


@pytest.fixture(scope="session")
def refusals() -> Callable[[Outcome], list[str]]:
    """Why requests were refused, in order, from a recorded outcome."""

    def refusals(outcome: Outcome) -> list[str]:
        assert outcome.events is not None
        return [event.detail for event in outcome.events if event.kind == "refuse"]

    return refusals


_LOCK_WORDS = {
    ("lock", "slots_lock"): "+slots",
    ("unlock", "slots_lock"): "-slots",
    ("lock", "slots_arch_lock"): "+arch",
    ("unlock", "slots_arch_lock"): "-arch",
}


@pytest.fixture(scope="session")
def locks() -> Callable[[Outcome], str]:
    """What a recorded outcome locks (`+slots`, `+arch`), unlocks (`-`) and publishes, in order."""

    def locks(outcome: Outcome) -> str:
        assert outcome.events is not None
        return " ".join(
            "publish" if event.kind == "publish" else _LOCK_WORDS[event.kind, event.detail]
            for event in outcome.events
            if event.kind in ("lock", "unlock", "publish")
        )

    return locks


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """Engines with the list ioctl on kernels that go wrong, ended with the test."""
    engines: list[IoctlList] = []

    def engine_on(goes_wrong: Wrong = lambda vm: None, *, patch_8: bool = False) -> tuple[IoctlList, WreckedKvm]:
        kvm = WreckedKvm(tmp_path / "kmsg", goes_wrong, looks_at_inactive=patch_8)
        engines.append(IoctlList(kvm, str(kvm.log), SILENT_SECONDS))
        return engines[-1], kvm

    yield engine_on
    for engine in engines:
        engine.close()


@pytest.fixture
def grow(case_of: Callable[..., Case]) -> Case:
    """A slot that grows, for such a kernel."""
    return case_of(MACHINE_LINE, GIVEN, *GROW)
