"""What a program prints, in bounded memory: the head and the tail are kept, the middle is counted."""

from __future__ import annotations

import os


class Capture:
    """Keep the first and the last part of one output stream.

    Args:
        fd: the read end of the program's pipe; it is made non-blocking and owned from here on.
        limit: how many bytes to keep in all, half of them from the head.
    """

    __slots__ = ("_head", "_limit", "_tail", "fd", "total")

    def __init__(self, fd: int, limit: int) -> None:
        """Start empty."""
        os.set_blocking(fd, False)
        self.fd = fd
        self.total = 0
        self._limit = limit
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
        half = self._limit // 2
        room = half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * half:
            del self._tail[:-half]

    def take(self) -> tuple[str, bool]:
        """Return what was kept as text and whether anything was left out, and start anew."""
        half = self._limit // 2
        cut = self.total - len(self._head) - min(len(self._tail), half)
        tail = self._tail[-half:] if half else b""
        if cut:
            text = f"{_text(self._head)}\n[… {cut} bytes left out …]\n{_text(tail)}"
        else:
            text = _text(self._head + tail)
        self._head, self._tail, self.total = bytearray(), bytearray(), 0
        return text, cut > 0

    def close(self) -> None:
        """Close the read end."""
        os.close(self.fd)


def _text(raw: bytes | bytearray) -> str:
    return raw.decode("utf-8", "replace")
