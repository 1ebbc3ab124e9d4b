"""The session pool, as its users see it.

All changes of state are synchronous and happen on one event loop (`core`), so there are no locks and no half-done
states. Callers wait on the pool, never on a creation: a request is served by whichever comes first, a session that
returns or one that was made (`crew`).
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import time
from typing import TYPE_CHECKING, Any, Self

from loopai_lab.errors import InvalidOption, LoopaiLabError, PoolClosed, PoolError, PoolTimeout, SessionMisuse
from loopai_lab.pool import holding
from loopai_lab.pool.core import Core
from loopai_lab.pool.crew import Crew
from loopai_lab.pool.options import PoolOptions, check_seconds, check_size
from loopai_lab.pool.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

    from loopai_lab.models import SessionPoolStatistics
    from loopai_lab.pool.events import CloseReason, EventLog
    from loopai_lab.pool.session import PooledSession, SessionSource
    from loopai_lab.pool.waiters import Waiter

PATIENCE_S = 1.0


class SessionPool:
    """Lend sessions to those who ask, first come, first served.

    Use it as `async with SessionPool(beaker, max_size=10) as pool`; borrow with `async with pool.session("python")`.
    `NullPool` (pool.null) has the same interface and keeps nothing.

    Args:
        source: makes the sessions: a `Beaker`.
        **options: `max_size`, `min_size`, `max_idle_s`, `max_lifetime_s`, `max_uses`, …: see `PoolOptions`.

    Raises:
        InvalidOption: an option cannot be.
    """

    def __init__(self, source: SessionSource, **options: Any) -> None:
        """Check the options; nothing is made before the pool is opened."""
        try:
            checked = PoolOptions(**options)
        except TypeError as error:
            raise InvalidOption(f"SessionPool: {error}; it has {', '.join(PoolOptions.__slots__)}") from error
        self.source = source
        self._crew = Crew(source)
        self.core = Core(checked, self._clock, self._crew.create, self._crew.close)
        self._crew.core = self.core
        self._loop: asyncio.AbstractEventLoop | None = None
        self._upkeep: Upkeep | None = None
        self._came_back = asyncio.Event()
        self.wall_clock: Callable[[], float] = time.time

    # -- opening and closing ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the pool; the sessions of its minimum are made in the background."""
        self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pool."""
        await self.close()

    def open(self) -> None:
        """Bind the pool to the running loop and begin its upkeep; once is enough.

        Raises:
            PoolClosed: it was closed; a closed pool stays closed.
            PoolError: it is open on another loop.
        """
        if self.is_closed:
            raise PoolClosed("this pool was closed, and a closed pool stays closed: make a new one")
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
            self.core.emit("resized", size=self.max_size)
            self._upkeep = Upkeep(self)
        elif self._loop is not running:
            raise PoolError("this pool is open on another event loop: use it there, or make one pool per loop")

    @property
    def events(self) -> EventLog:
        """What happens, event by event."""
        return self.core.events

    @property
    def max_size(self) -> int:
        """How many sessions there may be."""
        return self.core.max_size

    @property
    def is_closed(self) -> bool:
        """Whether the pool has been closed."""
        return self.core.is_closed

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Close the pool: wake every waiter with PoolClosed, end idle sessions, and lent ones as they come back.

        Args:
            timeout_s: how long to wait for lent sessions; those still out then are ended under their borrowers.
        """
        self.core.shut()
        if self._upkeep:
            self._upkeep.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.core.lent:
                    self._came_back.clear()
                    await self._came_back.wait()
        for session in tuple(self.core.lent):
            self.core.give_back(session, "shutdown")
        await self._crew.rest()

    def _clock(self) -> float:
        loop = self._loop or asyncio.get_running_loop()
        return loop.time()

    # -- borrowing ----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def session(self, language: str, **request: Any) -> AsyncGenerator[PooledSession]:
        """Borrow a session for the length of a `with` block.

        Args:
            language: what it shall run.
            **request: `timeout_s`, `program_key`, `item_id`, as for `acquire`.
        """
        session = await self.acquire(language, **request)
        try:
            yield session
        finally:
            if session in self.core.lent:  # a pool that was closed meanwhile has taken it back itself
                self.release(session)

    async def acquire(
        self,
        language: str,
        *,
        timeout_s: float | None = None,
        patient: bool = False,
        priority: int = 0,
        program_key: str | None = None,
        item_id: str = "",
    ) -> PooledSession:
        """Borrow a session; `release` gives it back.

        Args:
            language: what it shall run.
            timeout_s: how long to wait; 0 takes what is there or fails; None is the pool's `acquire_timeout_s`.
            patient: wait on past `timeout_s` while sessions are lent and none fails to be made: the pool is busy, not
                broken. It keeps its place in the queue.
            priority: a higher class is served first, and first come, first served inside a class.
            program_key: prefer a session that has this program loaded.
            item_id: what it is for, for the events.

        Raises:
            PoolTimeout: none became free in time; its cause is the last failed creation, if one failed.
            PoolClosed: the pool is closed, or was while this request waited.
            TooManyRequests: `max_waiting` requests wait already.
            SessionMisuse: this task holds every lent session, and would wait for itself for ever.
            UnsupportedLanguage: the server has no such language.
        """
        self.open()
        if timeout_s is None:
            timeout_s = self.core.options.acquire_timeout_s
        else:
            check_seconds("timeout_s", timeout_s)
        deadline = None if timeout_s is None else self._clock() + timeout_s
        while True:
            how = "idle"
            session = self.core.take(language, program_key, item_id)
            if session is None:
                how = "handed"
                holding.look_for_deadlock(self.core, language, for_ever=deadline is None)
                waiter = self.core.enqueue(language, item_id, priority)
                waiter.patient = patient
                session = await self._wait(waiter, timeout_s, deadline)
            if not self._is_doubtful(session, how) or await self._stands_check(session, how, deadline):
                return self._note_holder(session)

    async def _wait(self, waiter: Waiter, timeout_s: float | None, deadline: float | None) -> PooledSession:
        if deadline is not None and timeout_s is not None and deadline < float("inf"):
            waiter.alarm = asyncio.get_running_loop().call_at(deadline, self._time_out, waiter, timeout_s)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self.core.abandon(waiter)
            raise
        finally:
            if waiter.alarm is not None:
                waiter.alarm.cancel()

    def _time_out(self, waiter: Waiter, timeout_s: float) -> None:
        cause = self._crew.last_error.get(waiter.language)
        if waiter.patient and self.core.lent and cause is None:
            again_s = max(timeout_s, PATIENCE_S)
            waiter.alarm = asyncio.get_running_loop().call_later(again_s, self._time_out, waiter, timeout_s)
            return
        why = f"; the last creation failed: {cause}" if cause else ""
        error = PoolTimeout(
            f"no {waiter.language} session became free within {timeout_s:g} s; {self.core.brief()}{why}"
        )
        error.__cause__ = cause
        self.core.refuse(waiter, error)

    def _is_doubtful(self, session: PooledSession, how: str) -> bool:
        if session.suspect:
            return True
        quiet_s = self.core.options.check_after_s
        return how == "idle" and quiet_s is not None and session.rested_s > quiet_s

    async def _stands_check(self, session: PooledSession, how: str, deadline: float | None) -> bool:
        """Ask the server for a session that has been quiet for long; the time it takes is the request's."""
        try:
            async with asyncio.timeout_at(deadline):
                await session.remote.check()
        except asyncio.CancelledError:
            session.suspect = True
            self.core.give_back(session, None)
            raise
        except (LoopaiLabError, OSError, TimeoutError):
            self.core.fail_check(session, how)
            return False
        session.suspect = False
        return True

    def _note_holder(self, session: PooledSession) -> PooledSession:
        session.holder = asyncio.current_task()
        if self.core.options.leak_after_s is not None:
            session.place = holding.calling_place()
        return session

    def release(self, session: PooledSession, *, discard: CloseReason | None = None) -> None:
        """Give a session back; the oldest request that it serves has it at once.

        Args:
            session: one that `acquire` gave.
            discard: end it for this reason instead of using it again.

        Raises:
            SessionMisuse: it is not lent by this pool (any more), or this is not the pool's event loop.
        """
        if asyncio._get_running_loop() is not self._loop:  # noqa: SLF001 - get_running_loop raises where there is none
            raise SessionMisuse(
                f"session {session.id[:8]} was released outside the event loop that its pool is open on"
            )
        self.core.give_back(session, discard)
        self._came_back.set()

    # -- steering -----------------------------------------------------------------------------------------------------

    async def warm(self, language: str, size: int) -> None:
        """Make sessions until there are `size` of a language, and return when they are there.

        Raises:
            InvalidOption: more than the pool may hold.
            BeakerError: a session could not be made.
        """
        self.open()
        if not 0 <= size <= self.max_size:
            raise InvalidOption(f"warm({language!r}, {size}): the pool holds 0 to max_size={self.max_size} sessions")
        for _ in range(size - self.core.supply(language)):
            self.core.begin_creation(language)
        await self._crew.made(language)
        if self.core.supply(language) < size and language in self._crew.last_error:
            raise self._crew.last_error[language]

    def refill(self) -> None:
        """Begin the creations that the minimum needs."""
        for language, least in self.core.options.minimums().items():
            while self.core.supply(language) < least and self.core.books.total < self.max_size:
                self.core.begin_creation(language)

    async def resize(self, max_size: int) -> None:
        """Change the maximum while the pool works; what is above it goes as soon as it is idle."""
        check_size(max_size)
        self.core.resize(max_size)

    async def drain(self) -> None:
        """Replace every session: idle ones end now, lent ones when they come back, new ones are made when needed."""
        self.core.generation += 1
        for session in self.core.idle():
            self.core.retire(session, "shutdown")
        await self._crew.rest()

    def statistics(self) -> SessionPoolStatistics:
        """Return what the pool has and has done, at this instant."""
        capabilities = getattr(self.source, "capabilities", None)
        now = 0.0 if self._loop is None else self._loop.time()
        return self.core.books.statistics(now, getattr(capabilities, "sandbox", ""))

    def _repr_html_(self) -> str:
        """Return what notebooks show: the state in one line, and every figure with its meaning."""
        return f"<p><code>{html.escape(repr(self))}</code></p>{self.statistics()._repr_html_()}"

    def __repr__(self) -> str:
        """Say what it has at this instant."""
        figures = self.statistics()
        state = "closed" if self.is_closed else "open" if self._loop else "not open"
        return (
            f"<{type(self).__name__} {state}: {figures.active_sessions} active, {figures.idle_sessions} idle of "
            f"{self.max_size}, {figures.requests_waiting} waiting>"
        )
