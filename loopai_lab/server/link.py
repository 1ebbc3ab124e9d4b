"""The server's end of a session's control channel: requests go out in order, answers come back in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import SessionLost
from loopai_lab.server.runners import wire

if TYPE_CHECKING:
    import socket

Answer = tuple[dict[str, Any], bytes]


class SupervisorLink(asyncio.Protocol):
    """Speak frames with one supervisor."""

    def __init__(self) -> None:
        """Start unconnected; the first frame, the supervisor's `ready`, answers the first expectation."""
        loop = asyncio.get_running_loop()
        self._frames = wire.FrameReader()
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[Answer] = loop.create_future()
        self._expected: deque[asyncio.Future[Answer]] = deque([self.ready])
        self.lost: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def over(cls, channel: socket.socket) -> SupervisorLink:
        """Return a link over one end of a socket pair, which it owns from then on."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(cls, sock=channel)
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own promise for a stream socket
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand every whole frame to the oldest expectation."""
        self._frames.feed(data)
        try:
            while frame := self._frames.next_frame():
                future = self._expected.popleft()
                if not future.done():
                    future.set_result(frame)
        except (wire.BrokenFrame, IndexError) as error:
            self._fail(f"the session's supervisor broke the protocol: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whatever is still expected."""
        self._fail("the session ended" + (f": {exc}" if exc else ""))
        if not self.lost.done():
            self.lost.set_result(None)

    def _fail(self, reason: str) -> None:
        while self._expected:
            future = self._expected.popleft()
            if not future.done():
                future.set_exception(SessionLost(reason))
                future.exception()  # an answer that nobody waits for any more is not an error of its own

    def request(self, head: dict[str, Any], body: bytes = b"") -> asyncio.Future[Answer]:
        """Send one request; its answer comes after those of the requests before it.

        Raises:
            SessionLost: (from the future) the supervisor is gone.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            future.set_exception(SessionLost("the session has ended"))
        else:
            self._expected.append(future)
            self._transport.write(wire.pack(head, body))
        return future

    def close(self) -> None:
        """End the channel; the supervisor then ends the session."""
        if self._transport is not None:
            self._transport.abort()
