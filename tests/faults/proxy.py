"""A TCP proxy between client and server that stalls, cuts, delays and splits what passes."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Pass bytes both ways, badly.

    Args:
        target: the server's `ws://` URL.
        seed: of what is left to chance.
    """

    def __init__(self, target: str, seed: int = 1) -> None:
        parts = urlsplit(target)
        self._target = parts.hostname, parts.port
        self._path = parts.path
        self._chance = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.splits = False
        self.delays = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}{self._path}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        self.go_on()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Break every connection without a word."""
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Let nothing pass; the connections stay."""
        self._open.clear()

    def go_on(self) -> None:
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                for piece in self._pieces(data):
                    await self._open.wait()
                    if self.delays:
                        await asyncio.sleep(self._chance.random() * 0.01)
                    sink.write(piece)
                    await sink.drain()
        except ConnectionError:
            return
        finally:
            self._writers.discard(sink)
            sink.close()

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self.splits:
            return [data]
        pieces = []
        while data:
            size = self._chance.choice([1, 1, 2, 7, 100])
            pieces.append(data[:size])
            data = data[size:]
        return pieces
