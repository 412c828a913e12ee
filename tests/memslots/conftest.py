# SPDX-License-Identifier: GPL-2.0-only
"""What Hypothesis draws for each value: `st.from_type(Case)` is any case that can be held."""

from typing import get_args

from hypothesis import strategies as st

from memslots.case import FAULT_KINDS, Case
from memslots.expectation import ActiveSlot, Agreement, Ending, Expectation, MismatchExpected
from memslots.machine import PROFILES, Machine, machine_of
from memslots.region import NO_PADDING, Region
from memslots.slot import Gfn, Slot
from memslots.textwords import ORACLES
from memslots.uapi import PADDING_BYTES, U16, U32, U64


def numbers(most: int) -> st.SearchStrategy[int]:
    """Any value of a field, its ends and powers of two more often than not."""
    ends = [0, 1, 2, 0x1000, 0x10000, most // 2, most // 2 + 1, most - 1, most]
    return st.sampled_from([n for n in ends if n <= most]) | st.integers(0, most)


regions = st.builds(
    Region,
    slot=numbers(U32),
    flags=numbers(U32),
    guest_phys_addr=numbers(U64),
    memory_size=numbers(U64),
    userspace_addr=numbers(U64),
    invalidate_slot=numbers(255),
    padding=st.just(NO_PADDING) | st.binary(min_size=PADDING_BYTES, max_size=PADDING_BYTES),
)
slots = st.builds(
    Slot,
    as_id=numbers(U16),
    id=numbers(U16),
    base_gfn=numbers(U64).map(Gfn),
    npages=numbers(U64),
    userspace_addr=numbers(U64),
    flags=numbers(U32),
)
machines = st.builds(
    machine_of,
    st.sampled_from(sorted(PROFILES)),
    st.fixed_dictionaries(
        {},
        optional={
            "address_spaces": st.integers(1, 2),
            "page_size": st.sampled_from([4096, 8192, 16384, 32768, 65536]),
            "max_gfn": numbers((1 << 52) - 1),
            "user_slots": st.integers(1, 32767),
            "readonly": st.integers(0, 1),
        },
    ),
)
faults = st.dictionaries(st.sampled_from(sorted(FAULT_KINDS)), numbers(U32)).map(lambda d: tuple(sorted(d.items())))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A case whose nent is None where the header tells the truth."""
    apply = tuple(draw(st.lists(regions, max_size=3)))
    nent = draw(st.none() | numbers(U32).filter(lambda n: n != len(apply)))
    given = tuple(draw(st.lists(regions, max_size=2)))
    return Case(apply, given, draw(machines), nent, draw(st.just(0) | numbers(U32)), draw(faults))


engines = st.sampled_from(["serial", "rfc-v1", "tree:linux", "E"])
errnos = st.sampled_from(["EINVAL", "EEXIST", "ENOMEM", "EFAULT", "ENOTTY"])
expectations = {
    Ending: st.builds(Ending, engines, st.sampled_from(["ok", "returned-1", "hung", "looped"]))
    | st.builds(Ending, engines, st.just("refused"), errnos, st.none() | numbers(U32))
    | st.builds(
        Ending,
        engines,
        st.just("crashed"),
        kind=st.sampled_from([None, "null-dereference", "bug", "use-after-free", "unresolved-helper"]),
    ),
    Agreement: st.builds(Agreement, engines),
    ActiveSlot: st.builds(ActiveSlot, engines, st.none() | slots),
    MismatchExpected: st.builds(
        MismatchExpected,
        engines,
        st.builds("{} {}".format, st.sampled_from(ORACLES), st.sampled_from(["ok EINVAL nowhere", "corrupt P2 MOVE"])),
    ),
}
assert set(expectations) == set(get_args(Expectation))

st.register_type_strategy(Region, regions)
st.register_type_strategy(Slot, slots)
st.register_type_strategy(Machine, machines)
st.register_type_strategy(Case, cases())
for kind, drawn in expectations.items():
    st.register_type_strategy(kind, drawn)
