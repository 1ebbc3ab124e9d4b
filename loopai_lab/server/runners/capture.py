"""What a program prints, in bounded memory: the head and the tail are kept, the middle is counted."""

from __future__ import annotations

import os

CONTINUATION = range(0x80, 0xC0)  # the second and later bytes of a UTF-8 character


class Capture:
    """Keep the first and the last part of one output stream.

    Args:
        fd: the read end of the program's pipe; it is made non-blocking and owned from here on.
        limit: how many bytes to keep in all, half of them from the head.
    """

    __slots__ = ("_head", "_head_limit", "_tail", "_tail_limit", "fd", "total")

    def __init__(self, fd: int, limit: int) -> None:
        """Start empty."""
        os.set_blocking(fd, False)
        self.fd = fd
        self.total = 0
        self._head_limit = limit // 2
        self._tail_limit = limit - limit // 2
        self._head = bytearray()
        self._tail = bytearray()

    def pump(self) -> bool:
        """Read what is there now, at most a few pipes full; False at the end of the stream."""
        for _ in range(8):
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._keep(data)
        return True

    def drain(self, limit: int = 1 << 22) -> None:
        """Read until the pipe is empty, or `limit` bytes were read: a grandchild may print for ever."""
        start = self.total
        while self.total - start < limit:
            before = self.total
            if not self.pump() or self.total == before:
                return

    def _keep(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_limit:  # seldom, so that each byte is moved once or twice, not every time
            del self._tail[: len(self._tail) - self._tail_limit]

    def take(self) -> tuple[str, bool]:
        """Return what was kept as text and whether anything was left out, and start anew."""
        head, tail = self._head, self._tail
        if len(tail) > self._tail_limit:
            del tail[: len(tail) - self._tail_limit]
        total, self.total = self.total, 0
        self._head, self._tail = bytearray(), bytearray()
        if total == len(head) + len(tail):
            return _text(head + tail), False
        _drop_cut_characters(head, tail)
        left_out = total - len(head) - len(tail)
        return f"{_text(head)}\n[… {left_out} bytes left out …]\n{_text(tail)}", True

    def close(self) -> None:
        """Close the read end."""
        os.close(self.fd)


def _drop_cut_characters(head: bytearray, tail: bytearray) -> None:
    """Leave out the characters that the cut went through, instead of showing their halves as noise."""
    for back in range(1, min(4, len(head) + 1)):
        if head[-back] not in CONTINUATION:
            if head[-back] >= 0xC0 and back < _length(head[-back]):  # noqa: PLR2004 - the mark of a first byte
                del head[-back:]
            break
    cut = 0
    while cut < min(3, len(tail)) and tail[cut] in CONTINUATION:
        cut += 1
    del tail[:cut]


def _length(first: int) -> int:
    """Return how many bytes a UTF-8 character has, by its first one."""
    return 2 + (first >= 0xE0) + (first >= 0xF0)  # noqa: PLR2004 - as UTF-8 has it


def _text(raw: bytes | bytearray) -> str:
    return raw.decode("utf-8", "replace")
