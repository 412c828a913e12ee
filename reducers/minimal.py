# SPDX-License-Identifier: GPL-2.0-only
"""What "minimal" means: every case that is one step away from another."""

from collections.abc import Iterator
from dataclasses import replace

from memslots.case import Case
from memslots.region import Region
from reducers.fields import lower_values
from reducers.rename import with_field


def one_step_smaller(case: Case) -> Iterator[Case]:
    """The case without one of its entries or given regions, and with one field of one region lower, all of them."""
    for name in ("given", "apply"):
        regions: tuple[Region, ...] = getattr(case, name)
        for i, region in enumerate(regions):
            yield replace(case, **{name: regions[:i] + regions[i + 1 :]})  # type: ignore[arg-type]  # a field of regions
            for field in Region._fields:
                for lower in lower_values(field, getattr(region, field), case):
                    changed = (*regions[:i], with_field(region, field, lower), *regions[i + 1 :])
                    yield replace(case, **{name: changed})  # type: ignore[arg-type]  # as above
