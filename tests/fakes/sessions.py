"""The sessions of the fake: one lock for all creations, activity that rolls back, sweeps that ask nobody."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.commands import carry_out
from tests.fakes.runtimes import RUNTIMES, Box, DotNetError, Reply, choose

LOCK_WAIT_S = 10.0


@dataclass(eq=False)
class FakeSession:
    """One session.

    Args:
        id: 32 hexadecimal digits.
        language: as the client wrote it.
        runtime: which of the server's runtimes has it.
        config: the rest of what the client sent.
    """

    id: str
    language: str
    runtime: str
    config: dict[str, Any]
    box: Box
    state: str = "Active"
    executions: int = 0
    really_executed: int = 0
    in_flight: int = 0
    created_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


class Sessions:
    """Make, list and end sessions.

    Args:
        available: the runtimes that the server finds.
        time_scale: what the server's constants (10 s, 300 s) are multiplied by.
        create_s: how long a creation takes, the lock being held.
    """

    def __init__(self, available: set[str], *, time_scale: float, create_s: float, env: dict[str, str]) -> None:
        self.available = {name for name in available if RUNTIMES[name].is_here()}
        self.time_scale = time_scale
        self.create_s = create_s
        self.known: dict[str, FakeSession] = {}
        self.ever: list[FakeSession] = []
        self.most_in_flight = 0
        self._root = Path(tempfile.mkdtemp(prefix="codebeaker-fake-"))
        self.env = {"TMPDIR": str(self._root)} | env
        self._lock = asyncio.Lock()

    async def create(self, params: dict[str, Any]) -> FakeSession:
        try:
            async with asyncio.timeout(LOCK_WAIT_S * self.time_scale):
                await self._lock.acquire()
        except TimeoutError:
            raise DotNetError("InvalidOperationException", "Failed to acquire lock for session creation") from None
        try:
            return await self._create({name.lower(): value for name, value in params.items()})
        finally:
            self._lock.release()

    async def _create(self, params: dict[str, Any]) -> FakeSession:
        language = params.get("language")
        if not isinstance(language, str) or not language.strip():
            raise DotNetError("ArgumentException", "Language is required (Parameter 'language')")
        runtime = choose(language, params.get("runtimetype"), params.get("runtimepreference"), self.available)
        await asyncio.sleep(self.create_s)
        session_id = secrets.token_hex(16)
        folder = self._root / f"codebeaker-{session_id}"
        folder.mkdir()
        box = Box(folder, self.env, self.time_scale)
        session = FakeSession(session_id, language, runtime.name, params, box)
        self.known[session_id] = session
        self.ever.append(session)
        return session

    def get(self, session_id: object) -> FakeSession:
        session = self.known.get(str(session_id))
        if session is None:
            raise DotNetError("InvalidOperationException", f"Session not found: {session_id}")
        return session

    async def execute(self, session_id: object, command: dict[str, Any]) -> Reply:
        session = self.get(session_id)
        session.really_executed += 1
        session.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await carry_out(session.runtime, session.box, command)
        finally:
            session.in_flight -= 1
            if session.really_executed % 2 == 0:  # after each odd one, a copy from before is saved over it
                session.executions += 1
            session.state = "Active" if session.really_executed % 2 == 0 else "Idle"

    @property
    def in_flight(self) -> int:
        return sum(session.in_flight for session in self.ever)

    async def close(self, session_id: object) -> None:
        """End a session, whatever it does; one that nobody knows is fine. Its folder stays."""
        session = self.known.pop(str(session_id), None)
        if session is not None:
            session.state = "Closed"
            session.box.is_closed = True
            await session.box.kill()

    async def forget(self) -> None:
        """End all sessions and remove what they left on this machine."""
        for session_id in tuple(self.known):
            await self.close(session_id)
        for session in self.ever:
            await session.box.kill()

    def remove_files(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
