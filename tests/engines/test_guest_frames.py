# SPDX-License-Identifier: GPL-2.0-only
"""Frames: whole again however the stream is cut, and told from bytes that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.guests.frames import MOST_BYTES, BrokenFrame, Frame, Kind, Unpacker

FRAMES = st.lists(st.builds(Frame, st.sampled_from(Kind), st.binary(max_size=40)), max_size=6)


@given(FRAMES, st.lists(st.integers(1, 9), min_size=1))
def test_frames_come_out_in_order_however_the_stream_is_cut(frames: list[Frame], lengths: list[int]) -> None:
    stream = b"".join(frame.packed() for frame in frames)
    unpacker = Unpacker()
    got: list[Frame] = []
    i = 0
    while stream:
        length = lengths[i % len(lengths)]
        got += unpacker.feed(stream[:length])
        stream = stream[length:]
        i += 1
    assert got == frames


def test_half_a_frame_is_none_yet() -> None:
    unpacker = Unpacker()
    packed = Frame(Kind.OUTPUT, b"abc").packed()
    assert list(unpacker.feed(packed[:-1])) == []
    assert list(unpacker.feed(packed[-1:])) == [Frame(Kind.OUTPUT, b"abc")]


@pytest.mark.parametrize("data", [b"?????", b"o" + (MOST_BYTES + 1).to_bytes(4, "little")])
def test_bytes_that_are_no_frame_are_told(data: bytes) -> None:
    with pytest.raises(BrokenFrame):
        list(Unpacker().feed(data))
