"""The way in: a WebSocket on a Unix socket of mode 0600, or on loopback TCP with a token."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from loopai_lab.rpc.websocket import WebSocket

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from websockets.http11 import Request, Response

    from loopai_lab.server.app import App

PATH = "/ws/jsonrpc"
SOCKET_NAME = "beaker.sock"
HEALTH = ("/health", "/health/live", "/health/ready")


class Door:
    """Let clients in and pass their lines to the app.

    Args:
        app: answers the lines.
        token: what a TCP client has to send as `Authorization: Bearer …` or `?token=…`; empty for none.
        address: where it is, for people and for our parent.
    """

    def __init__(self, app: App, token: str, address: str) -> None:
        """Keep them; `open` listens."""
        self._app = app
        self._token = token
        self._visits: set[Visit] = set()
        self.address = address

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, app: App, options: argparse.Namespace) -> AsyncGenerator[Door]:
        """Listen while the context lasts; on the way out, open connections are closed."""
        loop = asyncio.get_running_loop()
        if options.port is not None:
            door = cls(app, options.token, "")
            server = await loop.create_server(door._let_in, "127.0.0.1", options.port)
            port = server.sockets[0].getsockname()[1]
            door.address = f"ws://127.0.0.1:{port}{PATH}"
        else:
            path = options.folder / SOCKET_NAME
            door = cls(app, "", str(path))
            mask = os.umask(0o177)
            try:
                server = await loop.create_unix_server(door._let_in, path)
            finally:
                os.umask(mask)
        try:
            yield door
        finally:
            server.close()
            await asyncio.gather(*(visit.close() for visit in tuple(door._visits)))
            if options.port is None:
                with contextlib.suppress(FileNotFoundError):  # asyncio removes it from Python 3.13 on
                    (options.folder / SOCKET_NAME).unlink()

    def _let_in(self) -> WebSocket:
        """Return what serves a new connection."""
        visit = Visit(self._app, self._visits)
        # No pings: a client may be busy for minutes, and a dead one closes its socket. No compression: it is all local.
        protocol = ServerProtocol(max_size=None)
        visit.socket = WebSocket(
            protocol,
            on_message=visit.hear,
            on_lost=visit.end,
            admit=lambda request: self._refusal(protocol, request) or protocol.accept(request),
        )
        self._visits.add(visit)
        return visit.socket

    def _refusal(self, protocol: ServerProtocol, request: Request) -> Response | None:
        """Refuse what a web page could send, what lacks the token, and what asks for something else."""
        path, _, query = request.path.partition("?")
        if path in HEALTH:
            return protocol.reject(HTTPStatus.OK, '{"status":"healthy"}\n')
        if path != PATH:
            return protocol.reject(HTTPStatus.NOT_FOUND, f"the session server is at {PATH}\n")
        if request.headers.get_all("Origin"):
            return protocol.reject(HTTPStatus.FORBIDDEN, "requests of web pages are refused\n")
        if self._token and not self._is_known(request.headers.get_all("Authorization"), query):
            return protocol.reject(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong\n")
        return None

    def _is_known(self, headers: list[str], query: str) -> bool:
        sent = [header.removeprefix("Bearer ") for header in headers] + parse_qs(query).get("token", [])
        token = self._token.encode()
        return any(hmac.compare_digest(one.encode("utf-8", "replace"), token) for one in sent)


class Visit:
    """One client's connection, and what it has running.

    Args:
        app: answers its lines.
        visits: all of them, to leave at the end.
    """

    socket: WebSocket

    def __init__(self, app: App, visits: set[Visit]) -> None:
        """Start with nothing running."""
        self._app = app
        self._visits = visits
        self._running: set[asyncio.Task[None]] = set()

    def hear(self, message: str | bytes) -> None:
        """Begin to answer the lines of a message; answers go out as they are ready, side by side."""
        text = message if isinstance(message, str) else message.decode(errors="replace")
        for line in text.split("\n"):
            if line:
                task = asyncio.get_running_loop().create_task(self._answer(line))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _answer(self, line: str) -> None:
        reply = await self._app.respond(line)
        if reply is None:
            return
        with contextlib.suppress(ConnectionClosed):  # the client has left: nobody wants the answer
            if self.socket.is_clogged:
                await self.socket.has_room()
            self.socket.send(reply)

    def end(self, _: ConnectionClosed) -> None:
        """Cancel what the client had running: it has left."""
        self._visits.discard(self)
        for task in self._running:
            task.cancel()

    async def close(self) -> None:
        """Part with the client; one that does not answer is dropped."""
        await self.socket.close()
