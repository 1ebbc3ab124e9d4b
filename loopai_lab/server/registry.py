"""All sessions of a server: made, found, swept when they expire, and ended together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from loopai_lab.server.session import Session
from loopai_lab.server.strays import Strays

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
        self._strays = Strays()
        if not choice.sandbox.contains:
            self._strays.adopt()
        self._sessions: dict[str, Session] = {}
        self._wake = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None

    async def create(self, language: str, *, idle_timeout_s: float, lifetime_s: float, limits: Limits) -> Session:
        """Start a session; creations run side by side."""
        session = Session(language, self._folder, self._strays, idle_timeout_s, lifetime_s)
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
        """End a session whose supervisor has gone; it stays in the books, unseen, until nothing of it is left."""
        session.end_soon().add_done_callback(lambda _: self._sessions.pop(session.id, None))

    def find(self, session_id: object) -> Session | None:
        """Return a live session by its id; one that has begun to end is not found, so that nothing is sent to it."""
        session = self._sessions.get(session_id) if isinstance(session_id, str) else None
        return None if session is None or session.is_ending else session

    def all(self) -> list[Session]:
        """Return the live sessions, oldest first."""
        return [session for session in self._sessions.values() if not session.is_ending]

    async def close(self, session_id: object) -> None:
        """End a session; an unknown one has ended already."""
        session = self._sessions.get(session_id) if isinstance(session_id, str) else None
        if session is not None:
            await session.end()
            self._sessions.pop(session.id, None)

    async def close_all(self) -> None:
        """End every session, and the sweeper."""
        if self._sweeper:
            self._sweeper.cancel()
        await asyncio.gather(*(session.end() for session in self._sessions.values()))
        self._sessions.clear()
        await self._strays.end()

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
