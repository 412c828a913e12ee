# SPDX-License-Identifier: GPL-2.0-only
"""A recording made into a folder of case files: each list with what stands when it begins."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz.traces.case_files import CaseFiles
from fuzz.traces.happening import Gone, Update, Warn
from fuzz.traces.qemu_trace import qemu_happenings
from fuzz.traces.recording import lines_of
from fuzz.traces.standing import Entry, Standing, name_of
from fuzz.traces.strace import strace_happenings
from fuzz.traces.transactions import Splitting, transactions
from memslots.errors import BadInput
from memslots.machine import Machine
from memslots.textwriter import region_words

READERS = {"strace": strace_happenings, "qemu-trace": qemu_happenings}


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a recording is to be read, and what is to be kept of it."""

    markers: tuple[str, ...]
    splitting: Splitting
    machine: Machine
    invalidate: bool = True
    keep_hva: bool = False


@dataclass(slots=True)
class Tally:
    """What an import came to. `vms` counts VMs that had an update, `left_out` updates no list can hold."""

    updates: int = 0
    vms: int = 0
    lists: int = 0
    files: int = 0
    left_out: int = 0
    disagreements: int = 0


def import_recording(form: str, path: Path, out: Path, wishes: Wishes, say: Callable[[str], None], warn: Warn) -> Tally:
    """Write the lists of the recording to `out`. `say` is told of each answer that the model would not give.

    What was read before an error stays written. Raises BadInput.
    """
    files = CaseFiles(out, path, wishes.machine)
    tally = Tally()
    standings: dict[int, Standing] = {}
    happenings = READERS[form](str(path), lines_of(path), wishes.markers, warn)
    try:
        for transaction in transactions(str(path), happenings, wishes.splitting):
            if isinstance(transaction, Gone):
                standings.pop(transaction.vm, None)
                continue
            if transaction.vm not in standings:
                tally.vms += 1
                standings[transaction.vm] = Standing(
                    wishes.machine, invalidate=wishes.invalidate, keep_hva=wishes.keep_hva
                )
            standing = standings[transaction.vm]
            given = standing.given()
            told = [update for update in transaction.updates if update.answered_by_rule]
            entries = [standing.entry(update) for update in told]
            tally.updates += len(transaction.updates)
            tally.left_out += len(transaction.updates) - len(told)
            for entry in entries:
                if entry.disagrees:
                    tally.disagreements += 1
                    say(f"{path}:{entry.update.lineno}: {entry.answer}: {region_words(entry.region)}")
            if entries:
                tally.lists += 1
                files.add(given, entries, _notes(transaction.updates, entries))
    finally:
        files.finish()
    if not tally.updates:
        raise BadInput(f"{path}: expected {_WANTED[form]}, found none")
    tally.files = files.distinct
    return tally


_WANTED = {
    "strace": "lines of strace with ioctl(FD, KVM_SET_USER_MEMORY_REGION, ...)",
    "qemu-trace": "lines of QEMU's trace event kvm_set_user_memory",
}


def _notes(updates: tuple[Update, ...], entries: list[Entry]) -> list[str]:
    """What a file must say of its list besides: what was left out of it, and where the model differs."""
    notes = [
        f"Left out: line {update.lineno}, {name_of(update.errno)}, {region_words(update.region)}"
        for update in updates
        if not update.answered_by_rule
    ]
    if any(entry.disagrees for entry in entries):
        notes.append("The recorded kernel and the model disagree: see the entries.")
    return notes
