"""What a pool does unasked: it retires idle and old sessions and keeps its minimum. It holds the pool weakly."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loopai_lab.pool.pool import SessionPool


logger = logging.getLogger(__name__)
REST_S = 60.0
LEAP_S = 5.0
BREATH_S = 0.05


class Upkeep:
    """Look after one pool until it is closed or forgotten.

    Args:
        pool: looked after through a weak reference: a pool that nobody holds can die.
    """

    def __init__(self, pool: SessionPool) -> None:
        """Start the task."""
        self._pool = weakref.ref(pool)
        self._clocks: tuple[float, float] | None = None
        self._task = asyncio.get_running_loop().create_task(self._look_after())

    def stop(self) -> None:
        """End the task."""
        self._task.cancel()

    async def _look_after(self) -> None:
        while (wait_s := self._visit()) is not None:  # noqa: ASYNC110 - it waits for a time, not for an event
            await asyncio.sleep(wait_s)

    def _visit(self) -> float | None:
        """Do what is due; return the seconds until the next thing is, or None when the pool is gone."""
        pool = self._pool()
        if pool is None or pool.is_closed:
            return None
        now = pool.core.clock()
        self._notice_leap(pool, now)
        if pool.core.options.leak_after_s is not None:
            pool.core.report_leaks(pool.core.options.leak_after_s)
        for session in pool.core.idle():
            if session.expires_at is not None and now >= session.expires_at:
                pool.core.retire(session, "lifetime")
        idle_due = self._retire_one_idle(pool, now)
        pool.refill()
        moments = [session.expires_at for session in pool.core.idle() if session.expires_at is not None]
        if idle_due is not None:
            moments.append(idle_due)
        options = pool.core.options
        spans = (options.max_idle_s, options.max_lifetime_s, options.leak_after_s)
        rest_s = min(REST_S, *(seconds for seconds in spans if seconds is not None), REST_S)
        return max(BREATH_S, min(rest_s, min(moments, default=now + REST_S) - now))

    def _notice_leap(self, pool: SessionPool, now: float) -> None:
        """Compare the two clocks: a laptop that slept, or a clock that was set, leaps one and not the other.

        Monotonic time stands still while Linux sleeps, but a server elsewhere has gone on and may have closed sessions.
        Nothing expires by that; what is idle is checked before its next use.
        """
        seen, self._clocks = self._clocks, (now, pool.wall_clock())
        if seen is not None:
            passed, on_the_wall = now - seen[0], self._clocks[1] - seen[1]
            if abs(on_the_wall - passed) > LEAP_S:
                logger.info("the clock leapt by %.0f s: idle sessions are checked before use", on_the_wall - passed)
                pool.core.suspect_all()

    @staticmethod
    def _retire_one_idle(pool: SessionPool, now: float) -> float | None:
        """Retire at most one session that lay unused too long; return when the next one may be due."""
        options, core = pool.core.options, pool.core
        if options.max_idle_s is None:
            return None
        spare = [session for session in core.idle() if core.is_spare(session)]
        if not spare:
            return None
        oldest = min(spare, key=lambda session: session.since)
        due = oldest.since + options.max_idle_s
        if now < due:
            return due
        core.retire(oldest, "idle")
        return now if len(spare) > 1 else None
