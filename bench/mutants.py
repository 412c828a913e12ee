# SPDX-License-Identifier: GPL-2.0-only
"""How soon calibration finds each mistake that can be planted in the model's checks by rule.

Run as a module: python -m bench.mutants. Each mutant is compared with the kernel until it differs, for 60 seconds at
most, in the forms of the model that run it. Those that are proved not to differ are compared all at once, over many
more requests than any other takes: that takes minutes.
"""

import statistics
import sys
from collections import defaultdict

from bench.planting.model import Planted, Search, Sequences, models_with, planted, searched, together
from bench.planting.survivors import PAGE, surviving, survivors
from engines.real.host import this_host

SECONDS = 60
REQUESTS_OF_SURVIVORS = 30_000
SEED = 1


def main() -> int:
    """Print a line for each function, and what is not as docs/calibrate.md says. 1 if anything is not."""
    host = this_host()
    sequences = Sequences(SEED, host.machine)
    listed = surviving(survivors(PAGE.read_text()), host.machine)
    equal: list[Planted] = []
    found: dict[str, list[tuple[Search, str]]] = defaultdict(list)
    missed: list[str] = []
    for each in planted():
        if each.mutant.proof or each.name in listed:
            equal.append(each)
            continue
        search = searched(models_with(each.module, each.mutant.source), sequences, seconds=SECONDS)
        if search.difference is None:
            missed.append(f"not found in {SECONDS} s: {each.mutant.where}, {each.name}")
        else:
            found[each.name.partition(":")[0]].append((search, each.name))
    print(f"Linux {host.release}, seed {SEED}; until a mutant is found: requests, median and most, and seconds, most")
    print(f"{'function':44}{'mutants':>8}{'median':>8}{'most':>6}{'seconds':>9}{'proved':>8}")
    functions = dict.fromkeys(each.name.partition(":")[0] for each in planted())
    for function in functions:
        searches = [search for search, _ in found[function]]
        proved = sum(each.name.partition(":")[0] == function for each in equal)
        if searches:
            requests = [search.requests for search in searches]
            most = max(search.seconds for search in searches)
            figures = f"{statistics.median(requests):8.0f}{max(requests):6}{most:9.2f}"
        else:
            figures = " " * 23
        print(f"{function:44}{len(searches) + proved:8}{figures}{proved:8}")
    every = [each for of_function in found.values() for each in of_function]
    took = sum(search.seconds for search, _ in every)
    print(f"{len(every)} found in {took:.0f} s; {len(equal)} proved not to differ; {len(missed)} neither")
    print("the last to be found:")
    for search, name in sorted(every, key=lambda each: each[0].requests)[-5:]:
        print(f"{search.requests:8} requests {search.seconds:6.2f} s  {name}")
    search = together(equal, sequences, requests=REQUESTS_OF_SURVIVORS)
    print(f"{len(equal)} at once, {search.requests:,} requests in {search.seconds:.0f} s: ", end="")
    print("none differs" if search.difference is None else search.difference.kind)
    for line in missed:
        print(line)
    return 1 if missed or search.difference is not None else 0


if __name__ == "__main__":
    sys.exit(main())
