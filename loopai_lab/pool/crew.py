"""The pool's hands: the tasks that make and close sessions. They belong to the pool, never to a caller."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import LoopaiLabError, UnsupportedLanguage
from loopai_lab.pool.session import PooledSession

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from loopai_lab.pool.core import Core
    from loopai_lab.pool.session import SessionSource

logger = logging.getLogger(__name__)
BACKOFF_S = 0.05
BACKOFF_MOST_S = 5.0
CLOSE_TIMEOUT_S = 10.0


class Crew:
    """Make and close the sessions of a pool.

    Args:
        source: makes them.
    """

    core: Core

    def __init__(self, source: SessionSource) -> None:
        """Start with nothing to do."""
        self._source = source
        self._tasks: set[asyncio.Task[Any]] = set()
        self._making: dict[str, set[asyncio.Task[None]]] = {}
        self._failures: dict[str, int] = {}
        self.last_error: dict[str, Exception] = {}

    def create(self, language: str) -> None:
        """Begin to make a session."""
        attempt = f"new-{uuid.uuid4().hex[:12]}"
        self.core.emit("creating", language=language, session_id=attempt)
        task = self._own(self._make(language, attempt))
        making = self._making.setdefault(language, set())
        making.add(task)
        task.add_done_callback(making.discard)

    async def made(self, language: str) -> None:
        """Return when the sessions of a language that are being made now are made, or have failed."""
        if making := tuple(self._making.get(language, ())):
            await asyncio.wait(making)

    def close(self, session: PooledSession) -> None:
        """Begin to close a session."""
        self._own(self._end(session))

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def rest(self) -> None:
        """Return when nothing is under way any more."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _make(self, language: str, attempt: str) -> None:
        core = self.core
        began = core.clock()
        generation = core.generation
        try:
            await self._back_off(language)
            remote = await self._source.create_session(language)
        except asyncio.CancelledError as error:
            core.creation_failed(language, attempt, RuntimeError("the event loop is ending"))
            raise error from None
        except Exception as error:  # noqa: BLE001 - whatever went wrong is the waiters' to know, as their cause
            self._failed(language, attempt, error)
            return
        now = core.clock()
        self._failures.pop(language, None)
        self.last_error.pop(language, None)
        expires_at = self._expiry(now)
        session = PooledSession(remote, language, (now - began) * 1000, now, expires_at, generation)
        core.adopt(session, attempt)

    def _expiry(self, now: float) -> float | None:
        options = self.core.options
        if options.max_lifetime_s is None:
            return None
        return now + options.max_lifetime_s * (1 - random.random() * options.lifetime_jitter)

    async def _back_off(self, language: str) -> None:
        failures = self._failures.get(language, 0)
        if failures:
            await asyncio.sleep(min(BACKOFF_MOST_S, BACKOFF_S * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))

    def _failed(self, language: str, attempt: str, error: Exception) -> None:
        self._failures[language] = self._failures.get(language, 0) + 1
        self.last_error[language] = error
        self.core.creation_failed(language, attempt, error)
        logger.warning("making a %s session failed (%d in a row): %s", language, self._failures[language], error)
        if isinstance(error, UnsupportedLanguage):
            for waiter in self.core.waiters:
                if waiter.language == language:
                    self.core.refuse(waiter, error)
        self.core.grow()

    async def _end(self, session: PooledSession) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await session.remote.close()
        except (LoopaiLabError, OSError, TimeoutError) as error:
            # The slot is given back all the same: a close that fails must not shrink the pool for ever.
            logger.warning("closing session %s failed: %s", session.id[:8], error)
        finally:
            self.core.closed(session)
