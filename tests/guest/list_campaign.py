# SPDX-License-Identifier: GPL-2.0-only
"""Inside a guest whose kernel has examples/atomic.patch or naive.patch: its list ioctl beside the engine `ideal`.

`python -m tests.guest.list_campaign LISTS SEED`: random lists, each on a clean VM; whatever `kvm-list` vouches for must
be what `ideal` says. Ends with 1 if anything differs.
"""

import sys
import time
from collections import Counter
from random import Random

from engines.ideal.engine import Ideal
from engines.real.kvm_list import IoctlList
from engines.real.list_vm import ThisKvm
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.errors import Unfit
from memslots.outcome import UNSEEN, Outcome
from memslots.slot import Slot
from memslots.textwriter import region_words

SHOWN = 5
"""So many cases that differ are printed whole."""
FACETS = ("ended", "kind", "value", "errno", "active", "inactive", "slots_lock", "slots_arch_lock", "warned", "damage")


def differences(ideal: Outcome, outcome: Outcome) -> list[str]:
    """What the kernel answers otherwise, by name; what it does not show is none."""
    return [
        name
        for name in FACETS
        if getattr(outcome, name) not in (None, UNSEEN) and getattr(outcome, name) != getattr(ideal, name)
    ]


def words(facet: object) -> str:
    """A facet, a slot of a set as as_id:id@base_gfn+npages, userspace_addr and flags."""
    if not isinstance(facet, tuple):
        return str(facet)
    slots: list[Slot] = [slot for slot_set in facet for slot in slot_set]
    return " ".join(f"{s[0]}:{s[1]}@{s[2]:#x}+{s[3]:#x},{s[4]:#x},{s[5]}" for s in slots) or "no slots"


def shown(case: Case, ideal: Outcome, outcome: Outcome, names: list[str]) -> str:
    """The case in words, and both answers."""
    lines = [f"given   {region_words(region)}" for region in case.given]
    lines += [f"apply   {region_words(region)}" for region in case.apply]
    for name in names:
        lines += [f"  {name}: {words(getattr(outcome, name))}", f"  ideal: {words(getattr(ideal, name))}"]
    return "\n".join([*lines, ""])


def main() -> int:
    """Try as many lists as the command line says."""
    lists, seed = int(sys.argv[1]), int(sys.argv[2])
    machine = ThisKvm().host().machine
    engine, reference = IoctlList(), Ideal()
    rng = Random(seed)
    differing: Counter[str] = Counter()
    looked_at: Counter[str] = Counter()
    tried = unfit = refused = several = wrong = 0
    begin = time.monotonic()
    while tried < lists:
        case = case_of(drawn_choices(rng), machine)
        try:
            outcome = engine.apply(case)
        except Unfit:
            unfit += 1
            continue
        ideal = reference.apply(case)
        tried += 1
        refused += ideal.errno != 0
        several += ideal.errno == 0 and len(case.apply) > 1
        looked_at.update(name for name in FACETS if getattr(outcome, name) not in (None, UNSEEN))
        names = differences(ideal, outcome)
        if names:
            wrong += 1
            differing.update(names)
            if wrong <= SHOWN:
                print(shown(case, ideal, outcome, names), flush=True)
    engine.close()
    print(
        f"{tried:,} lists in {time.monotonic() - begin:.0f} s, seed {seed}: {refused:,} that must be refused,"
        f" {several:,} of several entries that must not; {unfit:,} left out; {wrong:,} differ from ideal"
    )
    for name in FACETS:
        print(f"{name:16} {looked_at[name]:7,} looked at {differing[name]:7,} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
