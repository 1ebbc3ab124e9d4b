"""The sockets of the fake: one request at a time on each, and nothing is read, not even a ping, while it is served."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.server import ServerConnection

CHUNK = 4096


class DeafConnection(ServerConnection):
    """A connection that hears nothing while it serves a request: what comes meanwhile waits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_deaf = False
        self._held: list[bytes] = []
        self.gone = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        if self.is_deaf:
            self._held.append(data)
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)

    def hear(self) -> None:
        """Take in what came meanwhile."""
        self.is_deaf = False
        held, self._held = self._held, []
        for data in held:
            super().data_received(data)


def messages_in(text: str) -> list[str]:
    """Return the lines of one text frame, after the server's decoding: 4,096 bytes at a time, each on its own."""
    raw = text.encode("utf-8", "surrogatepass")
    decoded = "".join(raw[at : at + CHUNK].decode("utf-8", "replace") for at in range(0, len(raw), CHUNK))
    return [line for line in decoded.split("\n") if line]
