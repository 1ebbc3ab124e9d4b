"""The pool's state and its rules, without I/O: who waits, who has what, who gets the next session.

Every method is synchronous and leaves the state whole. What takes time is asked for through two callbacks, `create` and
`close`; the clock is a callable. So the rules run unchanged on a virtual clock with a scripted server.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import LoopaiLabError, PoolClosed, SessionMisuse, TooManyRequests
from loopai_lab.pool.events import CloseReason, EventLog, Kind, PoolEvent
from loopai_lab.pool.statistics import Books
from loopai_lab.pool.waiters import Waiter, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopai_lab.pool.options import PoolOptions
    from loopai_lab.pool.session import PooledSession


logger = logging.getLogger(__name__)


class Core:
    """Hold the sessions and the waiters of one pool.

    Args:
        options: the pool's options.
        clock: monotonic seconds.
        create: begin to make a session of a language; `adopt` or `creation_failed` must follow.
        close: begin to close a session; `closed` must follow.
    """

    def __init__(
        self,
        options: PoolOptions,
        clock: Callable[[], float],
        create: Callable[[str], object],
        close: Callable[[PooledSession], object],
    ) -> None:
        """Start empty."""
        self.options = options
        self.max_size = options.max_size
        self.clock = clock
        self.events = EventLog()
        self.books = Books()
        self.events.subscribe(self.books.apply)
        self.waiters = WaitQueue()
        self.lent: set[PooledSession] = set()
        self.is_closed = False
        self.generation = 0
        self._create = create
        self._close = close
        self._idle: dict[str, list[PooledSession]] = {}
        self._creating: dict[str, int] = {}

    # -- looking ------------------------------------------------------------------------------------------------------

    def idle(self) -> list[PooledSession]:
        """Return the idle sessions, of all languages."""
        return [session for sessions in self._idle.values() for session in sessions]

    def supply(self, language: str) -> int:
        """Return how many sessions of a language there are or will soon be."""
        return self.books.count(language, "idle", "active", "creating")

    def is_spare(self, session: PooledSession) -> bool:
        """Whether a session is above the minimum of its language."""
        return self.supply(session.language) > self.options.minimums().get(session.language, 0)

    def brief(self) -> str:
        """Return the figures that an error message needs."""
        figures = self.books.statistics(self.clock())
        return (
            f"the pool has {figures.active_sessions} busy, {figures.idle_sessions} idle, {figures.creating_sessions} "
            f"creating of max_size={self.max_size}, and {figures.requests_waiting} requests wait"
        )

    def emit(self, kind: Kind, session: PooledSession | None = None, **facts: Any) -> None:
        """Record what happened."""
        if session is not None:
            facts |= {"language": session.language, "session_id": session.id}
        self.events.emit(PoolEvent(kind, self.clock(), **facts))

    # -- borrowing ----------------------------------------------------------------------------------------------------

    def fail_check(self, session: PooledSession, how: str) -> None:
        """Send away a session that was lent and turned out to be gone; the request counts as not served yet."""
        self.lent.discard(session)
        session.uses -= 1
        session.state, session.item_id = "idle", ""
        self.emit("check_failed", session, reason=how)
        self.retire(session, "broken")

    def suspect_all(self) -> None:
        """Have every idle session checked before its next use: time has passed that nobody saw."""
        for session in self.idle():
            session.suspect = True

    def report_leaks(self, after_s: float) -> None:
        """Report sessions that have been lent for longer than that, once each."""
        now = self.clock()
        for session in self.lent:
            if not session.reported and now - session.since >= after_s:
                session.reported = True
                self.emit(
                    "leaked", session, item_id=session.item_id, reason=session.place, ms=(now - session.since) * 1000
                )
                logger.warning("%r is lent for %.0f s, acquired at %s", session, now - session.since, session.place)

    def take(self, language: str, program_key: str | None, item_id: str) -> PooledSession | None:
        """Lend the idle session used last, if possible one that has the program; None if none is idle."""
        for session in [session for session in self._idle.get(language, ()) if not session.remote.is_open]:
            self.retire(session, "broken")
        idle = self._idle.get(language)
        if not idle:
            return None
        chosen = len(idle) - 1
        if program_key is not None and program_key not in idle[chosen].programs:
            holders = (place for place in range(chosen - 1, -1, -1) if program_key in idle[place].programs)
            chosen = next(holders, chosen)
        session = idle.pop(chosen)
        self._lend(session, item_id, "idle", 0.0)
        return session

    def enqueue(self, language: str, item_id: str, priority: int) -> Waiter:
        """Let a request wait, and begin what it needs.

        Raises:
            TooManyRequests: `max_waiting` requests wait already.
        """
        self.emit("queued", language=language, item_id=item_id)
        limit = self.options.max_waiting
        if limit is not None and len(self.waiters) >= limit:
            error = TooManyRequests(f"max_waiting={limit} requests wait for a session already; {self.brief()}")
            self.emit("failed", language=language, item_id=item_id, reason=str(error))
            raise error
        waiter = Waiter(language, item_id, self.clock(), priority)
        self.waiters.push(waiter)
        self.grow()
        return waiter

    def refuse(self, waiter: Waiter, error: LoopaiLabError) -> None:
        """End a request with an error, unless it has been served."""
        if waiter.fail(error) and self.waiters.remove(waiter):
            self._left(waiter, "failed", str(error))

    def abandon(self, waiter: Waiter) -> None:
        """Forget a request whose caller was cancelled; if it had just been served, its session goes on to the next."""
        if self.waiters.remove(waiter):
            self._left(waiter, "cancelled", "")
        elif waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
            self._pass_on(waiter.future.result())

    def _left(self, waiter: Waiter, kind: Kind, reason: str) -> None:
        ms = (self.clock() - waiter.since) * 1000
        self.emit(kind, language=waiter.language, item_id=waiter.item_id, reason=reason, ms=ms)

    def _lend(self, session: PooledSession, item_id: str, how: str, wait_ms: float) -> None:
        now = self.clock()
        session.rested_s = now - session.since
        session.state, session.since, session.item_id = "active", now, item_id
        session.uses += 1
        self.lent.add(session)
        self.emit("acquired", session, item_id=item_id, reason=how, ms=wait_ms)

    # -- giving back --------------------------------------------------------------------------------------------------

    def give_back(self, session: PooledSession, discard: CloseReason | None) -> None:
        """Take a session back: to the oldest request it serves, or idle, or, in doubt or worn, away.

        Raises:
            SessionMisuse: it is not lent (any more).
        """
        self.check_lent(session)
        now = self.clock()
        self.lent.discard(session)
        self.emit("released", session, item_id=session.item_id, ms=(now - session.since) * 1000)
        session.state, session.since, session.item_id = "idle", now, ""
        session.holder, session.place, session.reported = None, "", False
        reason = discard or session.doubt or self._worn(session)
        if reason:
            self.retire(session, reason)
            self.grow()
        else:
            self._hand_off(session)

    def check_lent(self, session: PooledSession) -> None:
        """Refuse a session that nobody has borrowed here."""
        if session not in self.lent:
            raise SessionMisuse(f"session {session.id[:8]} is not lent by this pool: released twice, or another pool's")

    def _worn(self, session: PooledSession) -> CloseReason | None:
        """Return why a session that comes back must not stay, if it must not."""
        if self.is_closed or session.generation < self.generation:
            return "shutdown"
        if self.options.max_uses is not None and session.uses >= self.options.max_uses:
            return "uses"
        if session.expires_at is not None and self.clock() >= session.expires_at:
            return "lifetime"
        if self.books.staying > self.max_size:
            return "evicted"
        return None

    def _pass_on(self, session: PooledSession) -> None:
        self.lent.discard(session)
        session.uses -= 1
        session.state, session.item_id = "idle", ""
        self.emit("passed_on", session)
        if self.is_closed:
            self.retire(session, "shutdown")
        else:
            self._hand_off(session)

    def _hand_off(self, session: PooledSession) -> None:
        """Give an idle session to the oldest request that it serves; keep it if there is none."""
        waiter = self.waiters.pop_for(session.language)
        if waiter is None:
            self._idle.setdefault(session.language, []).append(session)
            if self.waiters:
                self.grow()  # somebody waits for another language, and here is a session to evict
            return
        self._lend(session, waiter.item_id, "handed", (self.clock() - waiter.since) * 1000)
        waiter.future.set_result(session)

    # -- growing and shrinking ----------------------------------------------------------------------------------------

    def grow(self) -> None:
        """Begin the creations that those who wait still need; called whenever that may have changed."""
        if self.is_closed:
            return
        for language in self.waiters.languages():
            while self.waiters.count(language) > self._creating.get(language, 0):
                if sum(self._creating.values()) >= self.options.max_creating:
                    return
                if self.books.count(language) >= self.options.most(language):
                    break
                if self.books.total >= self.max_size:
                    self._evict_for(language)
                    break
                self.begin_creation(language)

    def _evict_for(self, language: str) -> None:
        """Retire the longest unused session of another language; growth goes on when it has closed."""
        others = [session for session in self.idle() if session.language != language and self.is_spare(session)]
        if others and not self.books.closing:
            self.retire(min(others, key=lambda session: session.since), "evicted")

    def begin_creation(self, language: str) -> None:
        """Begin one creation, whether or not somebody waits for it."""
        self._creating[language] = self._creating.get(language, 0) + 1
        self._create(language)

    def adopt(self, session: PooledSession, attempt: str) -> None:
        """Take in a session that was made: to the oldest request it serves, or idle, or away if it came too late."""
        self._creating[session.language] -= 1
        session.since = self.clock()
        self.emit("created", session, reason=attempt, ms=session.create_ms)
        if self.is_closed or session.generation < self.generation:
            self.retire(session, "shutdown")
        elif self.books.staying > self.max_size:
            self.retire(session, "evicted")
        else:
            self._hand_off(session)
        self.grow()

    def creation_failed(self, language: str, attempt: str, error: Exception) -> None:
        """Note that a creation came to nothing; its slot is free again."""
        self._creating[language] -= 1
        reason = f"{type(error).__name__}: {error}"
        self.emit("create_failed", language=language, session_id=attempt, reason=reason)

    def retire(self, session: PooledSession, reason: CloseReason) -> None:
        """Send an idle session away."""
        idle = self._idle.get(session.language, [])
        if session in idle:
            idle.remove(session)
        session.state = "closing"
        self.emit("closing", session, reason=reason)
        self._close(session)

    def closed(self, session: PooledSession) -> None:
        """Note that a session is gone; its slot is free."""
        self.emit("closed", session)
        self.grow()

    def resize(self, max_size: int) -> None:
        """Change the maximum; idle sessions above it go, the longest unused first, lent ones as they come back."""
        self.max_size = max_size
        self.emit("resized", size=max_size)
        surplus = self.books.staying - max_size
        for session in sorted(self.idle(), key=lambda idle: idle.since)[: max(0, surplus)]:
            self.retire(session, "evicted")
        self.grow()

    def shut(self) -> None:
        """Close for good: refuse those who wait, send the idle away."""
        self.is_closed = True
        for waiter in self.waiters:
            self.refuse(waiter, PoolClosed("the pool was closed while this request waited"))
        for session in self.idle():
            self.retire(session, "shutdown")
