# SPDX-License-Identifier: GPL-2.0-only
"""Mutation and crossover: between choices, within bounds, and never for nothing."""

from hypothesis import given
from hypothesis import strategies as st

from fuzz.choices import CHUNK, bytes_from_choices
from fuzz.mutate import crossed_over, mutated

inputs = st.lists(st.integers(0, (1 << 48) - 1), max_size=12).map(bytes_from_choices)


def never(data: bytes, max_size: int) -> bytes:
    return data[:max_size]


@given(inputs, inputs, st.integers(0, 1 << 32), st.integers(CHUNK, 100))
def test_what_comes_out_is_whole_choices_within_the_size(one: bytes, two: bytes, seed: int, size: int) -> None:
    for data in (mutated(one, size, seed, never), crossed_over(one, two, size, seed)):
        assert len(data) <= size
        assert len(data) % CHUNK == 0 or data == one[:size]


def test_most_mutations_change_something_and_few_of_its_choices() -> None:
    data = bytes_from_choices([1000 + i for i in range(8)])
    results = [mutated(data, 96, seed, never) for seed in range(400)]
    assert sum(result != data for result in results) > 200
    assert len(set(results)) > 200


def test_a_crossover_has_a_head_of_one_and_a_tail_of_the_other() -> None:
    one, two = bytes_from_choices([1] * 6), bytes_from_choices([2] * 6)
    seen = {crossed_over(one, two, 96, seed) for seed in range(100)}
    assert any(result.startswith(one[:CHUNK]) and result.endswith(two[-CHUNK:]) for result in seen)
    assert len(seen) > 10


def test_an_empty_input_goes_to_libfuzzer() -> None:
    assert mutated(b"", 10, 1, lambda data, size: b"x" * size) == b"x" * 10
