"""A pool under audit: its books are checked after every event, and nothing may be left on the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from loopai_lab.pool.events import PoolEvent
from loopai_lab.pool.pool import SessionPool
from tests.support.scripted import ScriptedSource


@asynccontextmanager
async def audited(
    source: ScriptedSource, pool_type: type[SessionPool] = SessionPool, **options: Any
) -> AsyncIterator[SessionPool]:
    """Open a pool, check the balances after every event, and require that it leaves nothing."""
    pool = pool_type(source, **options)
    most = pool.max_size

    def check(event: PoolEvent) -> None:
        nonlocal most
        most = max(most, event.size)
        now = pool.statistics()
        parts = now.active_sessions + now.idle_sessions + now.creating_sessions + now.closing_sessions
        assert now.total_sessions == parts <= most
        settled = now.taken_idle + now.handed_off + now.requests_errors + now.requests_cancelled + now.requests_waiting
        assert now.requests_num == settled

    pool.events.subscribe(check)
    async with pool:
        yield pool
    assert not source.open, "sessions were left on the server"
    assert pool.statistics().total_sessions == 0


async def use(pool: SessionPool, seconds: float = 0.01, language: str = "python") -> str:
    """Borrow a session for a while; return which one it was."""
    async with pool.session(language) as session:
        await asyncio.sleep(seconds)
        return session.id
