"""A CodeBeaker server for tests: the real protocol on a real socket, real programs in child processes, every quirk.

Nothing in it is kinder than the original: see the rooms `transport`, `methods`, `sessions`, `commands`, `runtimes`. On
top of it come controls, which make happen at a chosen moment what otherwise happens by chance.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, serve
from websockets.exceptions import ConnectionClosed

from tests.fakes.methods import Methods
from tests.fakes.runtimes import RUNTIMES
from tests.fakes.sessions import FakeSession, Sessions
from tests.fakes.transport import DeafConnection, messages_in

ABNORMAL = 1006


class FakeCodeBeaker:
    """Serve on a free port of the loopback interface; use it as `async with FakeCodeBeaker() as fake`.

    Args:
        runtimes: the ones the server finds; those whose tool is missing on this machine are never found.
        time_scale: what the server's constants (10 s for the lock, 300 s for a program) are multiplied by.
        create_s: how long a creation takes, the lock being held.
        env: what the sessions' processes get on top of the environment.
    """

    def __init__(
        self,
        *runtimes: str,
        time_scale: float = 1.0,
        create_s: float = 0.0,
        env: dict[str, str] | None = None,
    ) -> None:
        self._options: dict[str, Any] = {"time_scale": time_scale, "create_s": create_s, "env": env or {}}
        self._sessions = Sessions(set(runtimes or RUNTIMES), **self._options)
        self._methods = Methods(self._sessions)
        self._connections: dict[DeafConnection, asyncio.Task[Any] | None] = {}
        self._server: Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._losing: dict[str, int] = {}
        self._holding: dict[str, asyncio.Event] = {}
        self._news = asyncio.Condition()
        self.port = 0
        self.requests: list[Any] = []
        """Every message that came, decoded; a line that is no JSON as text."""
        self.frames: list[str] = []
        """Every text frame that came, as it came."""
        self.binary_frames = 0
        self.sockets_opened = 0
        self.cancelled = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flowing.set()
        for gate in self._holding.values():
            gate.set()
        await self._hang_up()
        await self._sessions.forget()
        self._sessions.remove_files()

    async def _listen(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            create_connection=DeafConnection,
            compression=None,
            ping_interval=None,
            max_size=None,
            close_timeout=1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def _hang_up(self) -> None:
        assert self._server is not None
        self.drop_connections()
        self._server.close()
        await self._server.wait_closed()
        while self._methods.background:
            await asyncio.wait(self._methods.background)

    # -- what a test looks at -----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/jsonrpc"

    @property
    def sessions(self) -> dict[str, FakeSession]:
        """The sessions that are open, by id."""
        return self._sessions.known

    @property
    def sessions_ever(self) -> list[FakeSession]:
        return self._sessions.ever

    @property
    def most_in_flight(self) -> int:
        """How many commands were carried out at the same time, at most."""
        return self._sessions.most_in_flight

    def received(self, method: str) -> list[Any]:
        """Return the parameters of the calls of a method."""
        return [
            message.get("params")
            for message in self.requests
            if isinstance(message, dict) and message.get("method") == method
        ]

    async def until(self, holds: Callable[[], object]) -> None:
        """Return when something holds; it is asked whenever a message comes or has been served."""
        async with self._news:
            await self._news.wait_for(holds)

    # -- controls -----------------------------------------------------------------------------------------------------

    async def forget(self, session_id: str) -> None:
        """Lose one session, as a sweep does: what runs in it is killed."""
        await self._sessions.close(session_id)

    async def sweep(self) -> None:
        """Close every session, the busy ones too."""
        for session_id in tuple(self.sessions):
            await self.forget(session_id)

    def stall(self) -> None:
        """Answer nothing any more, on no socket, until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def lose_replies(self, method: str, count: int = 1) -> None:
        """Do what the next calls of a method ask for, and answer nothing: their replies are lost."""
        self._losing[method] = count

    @contextlib.asynccontextmanager
    async def holding(self, method: str) -> AsyncIterator[asyncio.Event]:
        """Let calls of a method wait, before anything is done for them, until the event is set or the block ends."""
        gate = self._holding[method] = asyncio.Event()
        try:
            yield gate
        finally:
            gate.set()
            del self._holding[method]

    def drop_connections(self, code: int = ABNORMAL) -> None:
        """Close every socket with a code; 1006 cuts them without a word."""
        for connection, task in self._connections.items():
            if code == ABNORMAL:
                connection.transport.abort()
            elif task is not None:
                connection.protocol.send_close(code)
                connection.send_data()

    async def restart(self) -> None:
        """End, forget every session, and come back at the same address."""
        await self._hang_up()
        await self._sessions.forget()
        await self._listen()

    async def send_to_all(self, text: str | bytes) -> None:
        """Send something that nobody asked for."""
        for connection in self._connections:
            await connection.send(text)

    # -- serving ------------------------------------------------------------------------------------------------------

    async def _serve(self, connection: Any) -> None:
        self.sockets_opened += 1
        self._connections[connection] = asyncio.current_task()
        try:
            async for message in connection:
                if isinstance(message, bytes):
                    self.binary_frames += 1  # dropped without a word
                    continue
                self.frames.append(message)
                for line in messages_in(message):
                    await self._serve_line(connection, line)
        except ConnectionClosed:
            pass
        finally:
            del self._connections[connection]

    async def _serve_line(self, connection: DeafConnection, line: str) -> None:
        """Serve one request to its end; when the socket goes meanwhile, the request is cancelled, the session stays."""
        try:
            self.requests.append(json.loads(line))
        except ValueError:
            self.requests.append(line)
        await self._tell()
        connection.is_deaf = True
        work = asyncio.ensure_future(self._answer(line))
        gone = asyncio.ensure_future(connection.gone.wait())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                self.cancelled += 1
                work.cancel()
                await self._kill_what_ran(line)
            await asyncio.wait((work, gone))
            connection.hear()
            await self._tell()
        if not work.cancelled() and (text := work.result()) is not None:
            await connection.send(text)

    async def _kill_what_ran(self, line: str) -> None:
        """End the process of a cancelled `execute`; that of any other command goes on."""
        params = json.loads(line).get("params") or {}
        session = self.sessions.get(params.get("sessionId", ""))
        is_execute = (params.get("command") or {}).get("type") == "execute"
        if session is not None and is_execute and session.runtime in {"Python", "NodeJs"}:
            await session.box.kill()

    async def _answer(self, line: str) -> str | None:
        method = _method(line)
        if (gate := self._holding.get(method)) is not None:
            await gate.wait()
        method, text = await self._methods.answer(line)
        await self._flowing.wait()
        if self._losing.get(method, 0) > 0:
            self._losing[method] -= 1
            return None
        return text

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def _method(line: str) -> str:
    try:
        message = json.loads(line)
    except ValueError:
        return ""
    return str(message.get("method", "")) if isinstance(message, dict) else ""
