"""Frames, however they are cut, and what is no frame."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopai_lab.server.runners import wire

HEADS = st.dictionaries(st.text(max_size=10), st.one_of(st.none(), st.integers(), st.text(max_size=20)), max_size=4)


@given(st.lists(st.tuples(HEADS, st.binary(max_size=300)), max_size=6), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(
    frames: list[tuple[wire.Head, bytes]], size: int
) -> None:
    stream = b"".join(wire.pack(*frame) for frame in frames)
    reader = wire.FrameReader()
    found = []
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
        while frame := reader.next_frame():
            found.append(frame)
    assert found == frames


def test_half_a_frame_is_none_yet() -> None:
    reader = wire.FrameReader()
    reader.feed(wire.pack({"a": 1}, b"body")[:-1])
    assert reader.next_frame() is None


def test_a_frame_over_the_limit_is_refused_before_it_is_there() -> None:
    reader = wire.FrameReader(limit=100)
    reader.feed(wire.LENGTHS.pack(2, 1000))
    with pytest.raises(wire.BrokenFrame, match=r"1010 bytes is over the limit of 100"):
        reader.next_frame()


@pytest.mark.parametrize(
    "raw", [b"not json", b"[1]", b"\xff\xfe", b"[" * 100_000], ids=["text", "list", "bytes", "deep"]
)
def test_a_head_that_is_no_object_is_refused(raw: bytes) -> None:
    reader = wire.FrameReader()
    reader.feed(wire.LENGTHS.pack(len(raw), 0) + raw)
    with pytest.raises(wire.BrokenFrame):
        reader.next_frame()


def test_reading_ends_with_the_stream() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.pack({"n": 1}) + b"\0")
        theirs.shutdown(socket.SHUT_WR)
        reader = wire.FrameReader()
        assert wire.read_frame(ours, reader) == ({"n": 1}, b"")
        assert wire.read_frame(ours, reader) is None
