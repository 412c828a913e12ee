# SPDX-License-Identifier: GPL-2.0-only
"""Inside a guest whose kernel has a list ioctl: random lists through it, each on a clean VM.

`python -m tests.guest.list_campaign LISTS SEED FILE` puts each list and what became of it into FILE, a line each, for
`list_agreement.py` to judge where there is more room. Ends with 0 when all of them are there.
"""

import json
import sys
import time
from pathlib import Path
from random import Random

from engines.real.kvm_list import IoctlList
from engines.real.list_vm import ThisKvm
from fuzz.choices import drawn_choices
from fuzz.grammar import case_of
from memslots.case import Case
from memslots.errors import Unfit
from memslots.jsonl import json_of_outcome, line_from_case
from memslots.outcome import Outcome


def line_of(case: Case, outcome: Outcome) -> str:
    """A list and all that the kernel has shown of what became of it."""
    return f'{{"case": {line_from_case(case)}, "outcome": {json.dumps(json_of_outcome(outcome))}}}'


def main() -> int:
    """Try as many lists as the command line says."""
    lists, seed, path = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    machine = ThisKvm().host().machine
    engine = IoctlList()
    rng = Random(seed)
    tried = unfit = 0
    begin = time.monotonic()
    with path.open("w") as file:
        while tried < lists:
            case = case_of(drawn_choices(rng), machine)
            try:
                outcome = engine.apply(case)
            except Unfit:
                unfit += 1
                continue
            tried += 1
            print(line_of(case, outcome), file=file, flush=True)
    engine.close()
    print(f"{tried:,} lists in {time.monotonic() - begin:.0f} s, seed {seed}; {unfit:,} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
