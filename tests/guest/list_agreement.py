# SPDX-License-Identifier: GPL-2.0-only
"""What a booted kernel has made of lists, beside the engine `ideal` and a build of the very tree that it was built of.

`python -m tests.guest.list_agreement FILE LISTS BUILD naive|atomic`: FILE is what `list_campaign.py` has written.
Whatever `kvm-list` vouches for must be what the tree's code does in user space, in all LISTS lists. Of atomic it must
be what `ideal` says as well; naive must differ from that wherever an entry is refused behind one that changes
something. Ends with 0 if all of it is so.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engines.ideal.engine import Ideal
from engines.protocol import Engine
from engines.simulated.engines import Serial
from engines.tree.built import built_in
from engines.tree.engine import TreeList, end_processes
from memslots.case import Case
from memslots.errors import BadInput
from memslots.jsonl import Json, case_from_line, json_of_outcome, line_from_case

FACETS = ("ended", "kind", "value", "errno", "active", "inactive", "slots_lock", "slots_arch_lock", "warned", "damage")
ALWAYS = ("ended", "value", "errno", "active")
"""What a kernel that lives shows of each list: where it does not, nothing was compared."""
SHOWN = 5
"""So many lists that differ are printed whole."""
Said = dict[str, Json]


@dataclass(slots=True)
class Beside:
    """How the lists came out beside one engine."""

    differing: int = 0
    facets: Counter[str] = field(default_factory=Counter)
    """How many lists differ in each."""
    shown: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Agreement:
    """What was compared, and what came of it."""

    ideal: Beside
    tree: Beside
    lists: int = 0
    refused: int = 0
    """Lists that must be refused."""
    several: int = 0
    """Lists of several entries that must not."""
    torn: int = 0
    """Lists that leave something behind if nobody undoes it, when they are refused."""
    whole: int = 0
    """Those of them on which the kernel does not differ from `ideal`."""
    looked_at: Counter[str] = field(default_factory=Counter)
    """In how many lists the kernel shows a facet."""

    def wrong(self, lists: int, variant: str) -> Iterator[str]:
        """A line for whatever is not as it should be, after so many lists of this variant."""
        if self.lists != lists:
            yield f"{self.lists:,} lists were tried: expected {lists:,}"
        for name in ALWAYS:
            if self.looked_at[name] != self.lists:
                yield f"{name} was seen in {self.looked_at[name]:,} lists: expected all of them"
        if self.tree.differing:
            yield f"{self.tree.differing:,} lists differ from the tree: expected none"
        if not self.torn:
            yield "in no list there was anything to undo: expected some among as many"
        if variant == "atomic" and self.ideal.differing:
            yield f"{self.ideal.differing:,} lists differ from ideal: expected none"
        if variant == "naive" and self.whole:
            yield f"{self.whole:,} of {self.torn:,} lists that naive must tear came out as ideal says: expected none"


def read(path: Path) -> Iterator[tuple[Case, Said]]:
    """Each list, and what the kernel has shown. Raises BadInput."""
    for n, line in enumerate(path.read_text().splitlines(), 1):
        try:
            fields = json.loads(line)
            outcome = dict(fields["outcome"])
            outcome["ended"], outcome["active"]
        except (ValueError, KeyError, TypeError):
            raise BadInput(f'{path}:{n}: {line[:40]!r}: expected {{"case": ..., "outcome": ...}}') from None
        yield case_from_line(json.dumps(fields["case"]))[1], outcome


def agreement(lines: Iterator[tuple[Case, Said]], ideal: Engine, tree: Engine) -> Agreement:
    """Compare each list's outcome with what both engines say."""
    found = Agreement(Beside(), Beside())
    serial = Serial()
    for case, said in lines:
        found.lists += 1
        found.looked_at.update(name for name in FACETS if said[name] is not None)
        right = ideal.apply(case)
        found.refused += right.errno != 0
        found.several += right.errno == 0 and len(case.apply) > 1
        plain = serial.apply(case)
        torn = plain.at_first_refusal not in (None, plain.before)
        differs = _compare(case, said, json_of_outcome(right), found.ideal)
        found.torn += torn
        found.whole += torn and not differs
        _compare(case, said, json_of_outcome(tree.apply(case)), found.tree)
    return found


def _compare(case: Case, said: Said, expected: Said, beside: Beside) -> bool:
    """Whether they differ, which is put down."""
    names = [name for name in FACETS if said[name] is not None and said[name] != expected[name]]
    if not names:
        return False
    beside.differing += 1
    beside.facets.update(names)
    if beside.differing <= SHOWN:
        lines = [f"  {name}: {said[name]}, expected {expected[name]}" for name in names]
        beside.shown.append("\n".join([line_from_case(case), *lines]))
    return True


def main(words: Sequence[str]) -> int:
    """Judge the file that the words name, and say what was compared. Raises BadInput."""
    name, lists, build, variant = words
    path = Path(name)
    if variant not in ("naive", "atomic"):
        raise BadInput(f"{variant}: expected naive or atomic")
    built = built_in(Path(build))
    if not built.list_ioctl:
        raise BadInput(f"{build}: expected a build of a tree with a list ioctl")
    found = agreement(read(path), Ideal(), TreeList(f"tree:{build}", built))
    end_processes()
    for engine, beside in (("the tree", found.tree), *((("ideal", found.ideal),) if variant == "atomic" else ())):
        for each in beside.shown:
            print(f"Unlike {engine}: {each}")
    print(
        f"{variant}: {found.lists:,} lists: {found.refused:,} that must be refused, {found.torn:,} of them behind"
        f" a change, {found.several:,} of several entries that must not;"
        f" {found.tree.differing:,} differ from the tree, {found.ideal.differing:,} from ideal"
    )
    for facet in FACETS:
        differing = f"{found.tree.facets[facet]:7,} unlike the tree {found.ideal.facets[facet]:7,} unlike ideal"
        print(f"{facet:16} {found.looked_at[facet]:7,} looked at {differing}")
    wrong = list(found.wrong(int(lists), variant))
    for each in wrong:
        print(f"{path}: {each}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
