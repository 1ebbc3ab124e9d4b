"""One session on a server, as the pool borrows it: how to reach it, run on it, ask for it and end it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import RemoteError, SessionNotFound
from loopai_lab.rpc.drivers import Outcome, run_loaded
from loopai_lab.rpc.foreign import run_foreign
from loopai_lab.rpc.jsonrpc import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopai_lab.models import Isolation, Program
    from loopai_lab.rpc.connection import Connection

CALL_TIMEOUT_S = 30.0
CHECK_TIMEOUT_S = 5.0


@dataclass(slots=True, eq=False)
class RemoteSession:
    """One session on the server and the connection that it is reached by.

    Args:
        runtime: of a foreign server's session, what runs in it; empty on ours.
        shared: opens the way to a server that outlives its connections, for what must go on when this one is lost.
        is_busy: whether a command was sent whose reply has not come, or will be read by nobody.
    """

    id: str
    language: str
    connection: Connection
    own_connection: bool
    loaded: set[tuple[str, str]] = field(default_factory=set)
    runtime: str = ""
    shared: Callable[[], Awaitable[Connection]] | None = None
    is_busy: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its connection is open."""
        return self.connection.is_open

    async def execute(self, command_json: str, *, timeout_s: float | None = None) -> Any:
        """Carry out a command, given as JSON text, and return the reply's result object."""
        params = f'{{"sessionId":{encode(self.id)},"command":{command_json}}}'
        self.is_busy = True
        try:
            reply = await self.connection.call("session.execute", params, timeout_s=timeout_s)
        except RemoteError:
            self.is_busy = False
            raise
        self.is_busy = False
        return reply

    async def run(
        self, program: Program, input_json: str, *, isolation: Isolation = "item", timeout_ms: float | None = None
    ) -> Outcome:
        """Run a program on one input, given as JSON text."""
        run = run_foreign if self.runtime else run_loaded
        return await run(self, program, input_json, isolation=isolation, timeout_ms=timeout_ms)

    async def check(self) -> None:
        """Return if the server still has the session.

        Raises:
            SessionNotFound: it has not.
            BeakerError: it cannot be asked.
        """
        listed = await self.connection.call("session.list", timeout_s=CHECK_TIMEOUT_S)
        sessions = listed.get("sessions", ()) if isinstance(listed, dict) else ()
        if not any(session.get("sessionId") == self.id for session in sessions):
            raise SessionNotFound(f"Session not found: {self.id}")

    async def close(self) -> None:
        """End the session on the server; a session that is gone already is fine."""
        try:
            connection = self.connection
            if self.shared is not None and (self.is_busy or not connection.is_open):
                connection = await self.shared()  # a busy socket is not read, and a session outlives a lost one
            if connection.is_open:
                params = encode({"sessionId": self.id})
                await connection.call("session.close", params, timeout_s=CALL_TIMEOUT_S)
        finally:
            if self.own_connection:
                await self.connection.close()
