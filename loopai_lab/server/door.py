"""The way in: a WebSocket on a Unix socket of mode 0600, or on loopback TCP with a token."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import serve, unix_serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection
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
        self.address = address

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, app: App, options: argparse.Namespace) -> AsyncIterator[Door]:
        """Listen while the context lasts; on the way out, open connections are closed with 1001."""
        # No pings: a client may be busy for minutes, and a dead one closes its socket. No compression: it is all local.
        settings: dict[str, Any] = {"compression": None, "ping_interval": None, "max_size": None, "server_header": None}
        if options.port is not None:
            door = cls(app, options.token, f"ws://127.0.0.1:{options.port}{PATH}")
            async with serve(door._serve, "127.0.0.1", options.port, process_request=door._admit, **settings) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                door.address = f"ws://127.0.0.1:{port}{PATH}"
                yield door
            return
        path = str(options.folder / SOCKET_NAME)
        door = cls(app, "", path)
        mask = os.umask(0o177)
        try:
            server = await unix_serve(door._serve, path, process_request=door._admit, **settings)
        finally:
            os.umask(mask)
        async with server:
            yield door

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse what a web page could send, what lacks the token, and what asks for something else."""
        path, _, query = request.path.partition("?")
        if path in HEALTH:
            return connection.respond(HTTPStatus.OK, '{"status":"healthy"}\n')
        if path != PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, f"the session server is at {PATH}\n")
        if request.headers.get("Origin") is not None:
            return connection.respond(HTTPStatus.FORBIDDEN, "requests of web pages are refused\n")
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ") or query.removeprefix("token=")
        if self._token and not hmac.compare_digest(sent.encode(), self._token.encode()):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        """Answer a client's lines side by side until it leaves; what it had running then is cancelled."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            async for message in connection:
                text = message if isinstance(message, str) else message.decode(errors="replace")
                for line in text.split("\n"):
                    if line:
                        task = asyncio.create_task(self._answer(connection, line))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
        except ConnectionClosed:
            return
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, connection: ServerConnection, line: str) -> None:
        reply = await self._app.respond(line)
        if reply is not None:
            with contextlib.suppress(ConnectionClosed):  # the client has left: nobody wants the answer
                await connection.send(reply)
