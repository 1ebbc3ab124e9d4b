"""Frames on the channels between server, supervisor and runner.

A frame is two lengths, a JSON head and a raw body: nothing that a program prints can be taken for one, because programs
never hold these channels, and no line or size limit applies. The body is passed on without being looked at.
"""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False  # as in `typing`, which would cost every session 3 ms
if TYPE_CHECKING:
    import socket
    from typing import Any

    Head = dict[str, Any]

LENGTHS = struct.Struct("!II")

encode_json = json.JSONEncoder(separators=(",", ":")).encode
decode_json = json.JSONDecoder().decode


class BrokenFrame(Exception):
    """What arrived is not a frame."""


def pack(head: Head, body: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    text = encode_json(head).encode()
    return b"".join((LENGTHS.pack(len(text), len(body)), text, body))


class FrameReader:
    """Cut a stream of bytes into frames; feed it whatever arrives.

    Args:
        limit: the largest frame to accept, in bytes; a longer one is a `BrokenFrame`, because it can only be forged.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = 1 << 30) -> None:
        """Start with an empty buffer."""
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> None:
        """Take in bytes."""
        self._buffer += data

    def next_frame(self) -> tuple[Head, bytes] | None:
        """Return the next whole frame, or None until more has been fed.

        Raises:
            BrokenFrame: what has been fed is none; the stream is of no use any more.
        """
        buffer = self._buffer
        if len(buffer) < LENGTHS.size:
            return None
        head_size, body_size = LENGTHS.unpack_from(buffer)
        end = LENGTHS.size + head_size + body_size
        if end > self._limit:
            message = f"a frame of {end} bytes is over the limit of {self._limit}"
            raise BrokenFrame(message)
        if len(buffer) < end:
            return None
        middle = LENGTHS.size + head_size
        head = self._head(bytes(buffer[LENGTHS.size : middle]))
        body = bytes(buffer[middle:end])
        del buffer[:end]
        return head, body

    @staticmethod
    def _head(raw: bytes) -> Head:
        try:
            head = decode_json(raw.decode())
        except (ValueError, RecursionError) as error:
            raise BrokenFrame(str(error)) from error
        if not isinstance(head, dict):
            message = f"a frame's head is a {type(head).__name__}, not an object"
            raise BrokenFrame(message)
        return head


def read_frame(channel: socket.socket, reader: FrameReader) -> tuple[Head, bytes] | None:
    """Block until a frame is there; None at the end of the stream."""
    while (frame := reader.next_frame()) is None:
        data = channel.recv(1 << 18)
        if not data:
            return None
        reader.feed(data)
    return frame
