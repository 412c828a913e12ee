# SPDX-License-Identifier: GPL-2.0-only
"""What a vCPU saw while a list was applied, as lines of text."""

from collections.abc import Iterator, Mapping, Sequence


def testimony_lines(
    counts: Mapping[tuple[str, str], int], kinds: Sequence[str], seen: Sequence[str], lost: Mapping[int, int]
) -> Iterator[str]:
    """A table of accesses, a row a kind and a column for what they came to; and the gfns that lost their memory."""
    yield f"{'':8}" + "".join(f"{what:>16}" for what in seen)
    for kind in kinds:
        yield f"{kind:8}" + "".join(f"{counts.get((kind, what), 0):16,}" for what in seen)
    if lost:
        most = sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:8]
        told = ", ".join(f"gfn {gfn:#x} {times:,} times" for gfn, times in most)
        more = f", and {len(lost) - len(most)} more" if len(lost) > len(most) else ""
        yield f"not as before and not as after: {told}{more}"
