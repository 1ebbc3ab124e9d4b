"""The supervisor's end of the channel to the server, heard even while a program runs."""

from __future__ import annotations

import os
import select

from . import leftovers, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import NoReturn

    from .children import Deadline


class Control:
    """Requests come in, answers go out, and its end is the end of the session.

    Args:
        channel: a stream to the server.
    """

    def __init__(self, channel: socket.socket) -> None:
        """Start with nothing heard."""
        self._channel = channel
        self._frames = wire.FrameReader()

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._channel.fileno()

    def next_request(self) -> tuple[wire.Head, bytes]:
        """Wait for a request; ends the session when the server has gone."""
        try:
            frame = wire.read_frame(self._channel, self._frames)
        except OSError:
            frame = None
        return frame or self.end()

    def send(self, head: wire.Head, body: bytes = b"") -> None:
        """Send an answer."""
        try:
            self._channel.sendall(wire.pack(head, body))
        except OSError:
            self.end()

    def hear(self) -> None:
        """Keep what the server sends during a run for later; end when it is gone."""
        try:
            data = self._channel.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self.end()
        self._frames.feed(data)

    def wait(self, fd: int, deadline: Deadline) -> bool:
        """Wait until a descriptor can be read; False when the deadline passed first."""
        control = self.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(control, select.POLLIN)
        while True:
            ready = {found for found, _ in poll.poll(deadline.left_ms())}
            if control in ready:
                self.hear()
            if fd in ready:
                return True
            if deadline.passed:
                return False

    def end(self) -> NoReturn:
        """Kill everything below this process, and end; as process 1 of a namespace, that alone would do."""
        leftovers.kill_children(())
        os._exit(0)
