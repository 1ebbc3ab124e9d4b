"""What is kept of a program's output: all of it up to the limit, then its two ends, and always a true count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopai_lab.server.runners.capture import Capture


@contextmanager
def capturing(limit: int) -> Iterator[tuple[Capture, int]]:
    read_end, write_end = os.pipe()
    capture = Capture(read_end, limit)
    try:
        yield capture, write_end
    finally:
        capture.close()
        os.close(write_end)


def captured(data: bytes, limit: int, piece: int = 1 << 15) -> tuple[str, bool]:
    with capturing(limit) as (capture, write_end):
        for start in range(0, len(data), piece):
            os.write(write_end, data[start : start + piece])
            capture.drain()
        return capture.take()


@pytest.mark.parametrize("limit", [10, 11, 1000, 1001])
@pytest.mark.parametrize("more", [-1, 0])
def test_output_up_to_the_limit_is_kept_whole(limit: int, more: int) -> None:
    text = "x" * (limit + more)
    assert captured(text.encode(), limit) == (text, False)


@pytest.mark.parametrize("limit", [10, 11, 1000, 1001])
def test_one_byte_more_leaves_one_byte_out(limit: int) -> None:
    text, truncated = captured(b"x" * (limit + 1), limit)
    assert truncated
    assert "[… 1 bytes left out …]" in text
    assert text.count("x") == limit


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_a_limit_of_next_to_nothing_keeps_next_to_nothing(limit: int) -> None:
    text, truncated = captured(b"x" * 500_000, limit)
    assert truncated
    assert text.count("x") == limit
    assert f"[… {500_000 - limit} bytes left out …]" in text


@given(st.text("aé€😀", min_size=30, max_size=200), st.integers(2, 60), st.integers(1, 7))
def test_a_cut_never_goes_through_a_character(text: str, limit: int, piece: int) -> None:
    kept, truncated = captured(text.encode(), limit, piece)
    assert truncated == (len(text.encode()) > limit)
    assert "\ufffd" not in kept
    if truncated:
        head, _, rest = kept.partition("\n[… ")
        count, _, tail = rest.partition(" bytes left out …]\n")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert int(count) == len(text.encode()) - len((head + tail).encode())


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert captured(b"a\xff\xfeb", 100) == ("a\ufffd\ufffdb", False)


def test_ten_megabytes_leave_the_two_ends() -> None:
    text, truncated = captured(b"begin" + b"x" * 10_000_000 + b"end", 1 << 10)
    assert truncated
    assert text.startswith("begin")
    assert text.endswith("end")
    assert len(text) < 1100


def test_what_was_taken_is_not_there_again() -> None:
    with capturing(100) as (capture, write_end):
        os.write(write_end, b"one")
        capture.drain()
        assert capture.take() == ("one", False)
        os.write(write_end, b"two")
        capture.drain()
        assert capture.take() == ("two", False)


def test_the_end_of_the_stream_is_told_once_all_is_read() -> None:
    read_end, write_end = os.pipe()
    capture = Capture(read_end, 100)
    os.write(write_end, b"last")
    os.close(write_end)
    assert not capture.pump()
    assert capture.take() == ("last", False)
    capture.close()
