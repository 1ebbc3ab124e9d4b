"""A cancellation at every single turn of the loop: whatever it hits, it goes through, and nothing is lost or left.

The scenario runs once uncancelled to count its turns, then once for every turn, cancelled there. Time is virtual and
the server scripted, so every run takes the same turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from loopai_lab.execution.executor import BatchExecutor
from loopai_lab.models import Program
from loopai_lab.pool.pool import SessionPool
from tests.support.scripted import ScriptedSource
from tests.support.virtual import VirtualLoop

PROGRAM = Program(code="result = input_data * 2")
Scenario = Callable[[SessionPool], Coroutine[Any, Any, object]]


async def acquire_and_release(pool: SessionPool) -> None:
    for _ in range(3):
        async with pool.session("python") as session:
            await asyncio.sleep(0.01)
            await session.run(PROGRAM, "1")


async def acquire_after_a_quiet_time(pool: SessionPool) -> None:
    async with pool.session("python"):
        await asyncio.sleep(0)
    await asyncio.sleep(5)
    async with pool.session("python"):
        await asyncio.sleep(0)


async def execute_batch(pool: SessionPool) -> None:
    await BatchExecutor(pool).execute_batch(PROGRAM, range(6), max_concurrency=3)


async def take_from_a_stream(pool: SessionPool) -> None:
    async for _ in BatchExecutor(pool).stream(PROGRAM, range(6), max_concurrency=3):
        await asyncio.sleep(0.01)


async def steer(pool: SessionPool) -> None:
    await pool.warm("python", 2)
    await pool.resize(1)
    await pool.drain()
    async with pool.session("javascript"):
        await asyncio.sleep(0.01)


async def close(pool: SessionPool) -> None:
    session = await pool.acquire("python")
    asyncio.get_running_loop().call_later(0.01, pool.release, session)
    await pool.close()


SCENARIOS = [acquire_and_release, acquire_after_a_quiet_time, execute_batch, take_from_a_stream, steer, close]


def run(scenario: Scenario, *, cancel_at: tuple[int, ...] = ()) -> int:
    """Run a scenario on a fresh pool, cancel it at these turns, check the end; return how many turns it took."""
    source = ScriptedSource()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        pool = SessionPool(source, max_size=2, check_after_s=1.0)
        turns = runner.run(_cancelled(scenario, pool, loop, cancel_at))
        runner.run(_check_end(pool, source))
    return turns


async def _cancelled(scenario: Scenario, pool: SessionPool, loop: VirtualLoop, cancel_at: tuple[int, ...]) -> int:
    pool.open()
    task = asyncio.create_task(scenario(pool))
    first = loop.turns
    loop.on_turn = lambda turn: turn - first in cancel_at and task.cancel()
    await asyncio.wait([task])
    loop.on_turn = None
    assert task.cancelled() or task.exception() is None, task
    return loop.turns - first


async def _check_end(pool: SessionPool, source: ScriptedSource) -> None:
    await asyncio.sleep(60)
    now = pool.statistics()
    assert (now.active_sessions, now.requests_waiting) == (0, 0)
    assert now.requests_num == now.taken_idle + now.handed_off + now.requests_errors + now.requests_cancelled
    await pool.close()
    assert not source.open, "a session was left on the server"
    assert pool.statistics().total_sessions == 0
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_cancellation_at_any_turn_goes_through_and_leaves_nothing(scenario: Scenario) -> None:
    turns = run(scenario)
    assert turns > 3
    for turn in range(1, turns + 1):
        run(scenario, cancel_at=(turn,))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_second_cancellation_right_after_the_first_leaves_nothing_either(scenario: Scenario) -> None:
    for turn in range(1, run(scenario) + 1):
        run(scenario, cancel_at=(turn, turn + 1))
