"""All sessions of a server: made, found, swept when they expire, and ended together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from loopai_lab.server.session import Session

if TYPE_CHECKING:
    from loopai_lab.server.sandbox.choice import Choice
    from loopai_lab.server.sandbox.launch import Limits


class Registry:
    """Keep the sessions of one server.

    Args:
        folder: private to the server; a session's folder is made in it.
        choice: the sandbox in force.
    """

    def __init__(self, folder: Path, choice: Choice) -> None:
        """Start empty."""
        self._folder = folder
        self.choice = choice
        self._sessions: dict[str, Session] = {}
        self._wake = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None

    async def create(self, language: str, *, idle_timeout_s: float, lifetime_s: float, limits: Limits) -> Session:
        """Start a session; creations run side by side."""
        session = Session(language, self._folder, idle_timeout_s, lifetime_s)
        session.folder = self._folder / session.id
        self._sessions[session.id] = session
        try:
            await session.start(self.choice.sandbox, limits)
        except BaseException:
            self._sessions.pop(session.id, None)
            raise
        session.lost.add_done_callback(lambda _: self._forget(session))
        self._wake.set()
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="session-sweeper")
        return session

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        session.end_soon()

    def find(self, session_id: object) -> Session | None:
        """Return a live session by its id."""
        return self._sessions.get(session_id) if isinstance(session_id, str) else None

    def all(self) -> list[Session]:
        """Return the live sessions, oldest first."""
        return list(self._sessions.values())

    async def close(self, session_id: object) -> None:
        """End a session; an unknown one has ended already."""
        session = self.find(session_id)
        if session is not None:
            self._sessions.pop(session.id, None)
            await session.end()

    async def close_all(self) -> None:
        """End every session, and the sweeper."""
        if self._sweeper:
            self._sweeper.cancel()
        sessions = self.all()
        self._sessions.clear()
        await asyncio.gather(*(session.end() for session in sessions))

    async def _sweep(self) -> None:
        """Sleep until the next session may expire; wake only for that or for a new session."""
        while True:
            waits = [max(0.05, session.expires_in_s) for session in self._sessions.values()]
            self._wake.clear()
            try:
                async with asyncio.timeout(min(waits) if waits else None):
                    await self._wake.wait()
            except TimeoutError:
                expired = [session for session in self.all() if session.expires_in_s <= 0]
                await asyncio.gather(*(self.close(session.id) for session in expired))
