"""The finer rules of the pool: languages, priorities, checks, leaks, leaps of the clock, tasks that hold and wait."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from loopai_lab.errors import InvalidOption, PoolError, SessionMisuse
from loopai_lab.pool.pool import SessionPool
from tests.support.audit import audited, use
from tests.support.scripted import ScriptedSource
from tests.support.virtual import virtual


@virtual
async def test_a_language_keeps_within_its_own_maximum() -> None:
    source = ScriptedSource()
    async with audited(source, max_size=5, limits={"javascript": {"max_size": 2}}) as pool:
        await asyncio.gather(*(use(pool, language="javascript") for _ in range(10)))
        await asyncio.gather(*(use(pool) for _ in range(20)))
    assert sum(session.language == "javascript" for session in source.made) == 2


@virtual
async def test_an_eviction_leaves_every_language_its_minimum() -> None:
    limits = {"python": {"min_size": 1}, "javascript": {"min_size": 1}}
    async with audited(source := ScriptedSource(), max_size=3, limits=limits) as pool:
        await asyncio.sleep(1)
        assert {session.language for session in source.open} == {"python", "javascript"}
        await use(pool, language="go")
        await use(pool, language="csharp")
        assert {"python", "javascript", "csharp"} == {session.language for session in source.open}


@pytest.mark.parametrize(
    "limits",
    [{"go": {"max_size": 0}}, {"go": {"min_size": -1}}, {"go": {"most": 3}}, {"go": {"min_size": 11}}, 7, {"go": 3}],
)
def test_limits_that_cannot_be_are_refused(limits: Any) -> None:
    with pytest.raises(InvalidOption):
        SessionPool(ScriptedSource(), limits=limits)


@virtual
async def test_a_higher_priority_overtakes_and_equals_keep_their_order() -> None:
    served: list[str] = []

    async def caller(name: str, priority: int) -> None:
        async with pool.session("python", priority=priority):
            served.append(name)

    async with audited(ScriptedSource(), max_size=1) as pool:
        held = await pool.acquire("python")
        names = [("batch-1", 0), ("batch-2", 0), ("mine-1", 5), ("batch-3", 0), ("mine-2", 5)]
        callers = [asyncio.create_task(caller(name, priority)) for name, priority in names]
        await asyncio.sleep(0)
        pool.release(held)
        await asyncio.gather(*callers)
    assert served == ["mine-1", "mine-2", "batch-1", "batch-2", "batch-3"]


@virtual
async def test_a_session_is_checked_only_after_a_quiet_time() -> None:
    async with audited(source := ScriptedSource(), check_after_s=10.0) as pool:
        await use(pool)
        await asyncio.sleep(9)
        await use(pool)
        assert source.checked == []
        await asyncio.sleep(11)
        await use(pool)
        assert source.checked == ["python-0"]


@virtual
async def test_a_session_that_fails_its_check_is_replaced_without_the_caller_noticing() -> None:
    async with audited(source := ScriptedSource(), max_size=1, check_after_s=1.0) as pool:
        await use(pool)
        source.made[0].is_closed = True
        await asyncio.sleep(2)
        assert await use(pool) == "python-1"
        assert pool.statistics().closed_broken == 1
        assert pool.statistics().requests_num == 2


@virtual
async def test_the_check_is_within_the_callers_deadline() -> None:
    async with audited(source := ScriptedSource(), max_size=1, check_after_s=1.0) as pool:
        await use(pool)
        await asyncio.sleep(2)
        source.check_s = 3600
        began = asyncio.get_running_loop().time()
        with pytest.raises(PoolError):
            await pool.acquire("python", timeout_s=5)
        assert asyncio.get_running_loop().time() - began == pytest.approx(5)


@virtual
async def test_a_caller_that_is_cancelled_during_the_check_gives_the_session_back() -> None:
    async with audited(source := ScriptedSource(), max_size=1, check_after_s=1.0) as pool:
        await use(pool)
        await asyncio.sleep(2)
        source.check_s = 60
        caller = asyncio.create_task(pool.acquire("python"))
        await asyncio.sleep(1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        source.check_s = 0.001
        await use(pool)
        assert source.checked == ["python-0", "python-0"]


@virtual
async def test_a_leap_of_the_wall_clock_leads_to_a_check_and_expires_nothing() -> None:
    async with audited(source := ScriptedSource(), max_idle_s=7200.0, check_after_s=None) as pool:
        await pool.warm("python", 3)
        leap = 0.0
        loop = asyncio.get_running_loop()
        pool.wall_clock = lambda: loop.time() + leap
        await asyncio.sleep(120)
        leap = 86_400.0
        await asyncio.sleep(120)
        assert pool.statistics().idle_sessions == 3
        assert source.checked == []
        await use(pool)
        assert len(source.checked) == 1


@virtual
async def test_a_session_that_does_not_come_back_is_reported_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async with audited(ScriptedSource(), leak_after_s=10.0) as pool:
        session = await pool.acquire("python")
        with caplog.at_level(logging.WARNING):
            await asyncio.sleep(100)
        leaks = [event for event in pool.events.since(0) if event.kind == "leaked"]
        assert len(leaks) == 1
        assert "test_limits.py" in leaks[0].reason
        assert "test_limits.py" in caplog.text
        pool.release(session)


@virtual
async def test_a_task_that_would_wait_for_itself_for_ever_is_told() -> None:
    async with audited(ScriptedSource(), max_size=1, acquire_timeout_s=None) as pool:
        session = await pool.acquire("python")
        with pytest.raises(SessionMisuse, match="it would wait for itself for ever"):
            await pool.acquire("python")
        pool.release(session)


def test_a_pool_may_be_made_before_its_loop_and_used_on_one_only() -> None:
    pool = SessionPool(ScriptedSource(create_s=0, close_s=0))

    async def borrow() -> None:
        async with pool.session("python"):
            pass

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(borrow())
        with pytest.raises(PoolError, match="another event loop"):
            second.run(borrow())
        first.run(pool.close())


@virtual
async def test_a_session_that_has_the_program_is_preferred() -> None:
    async with audited(ScriptedSource(), max_size=3) as pool:
        await pool.warm("python", 3)
        wanted = pool.core.idle()[0]
        wanted.programs.add("the-program")
        async with pool.session("python", program_key="the-program") as session:
            assert session is wanted
