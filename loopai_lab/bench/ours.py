"""Our own ways to do the work, as arms measure them: through the executor, the pool and the server, as a user would."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopai_lab.bench.child import ArmFailed
from loopai_lab.bench.work import PROGRAM, check_answers, inputs
from loopai_lab.execution.executor import BatchExecutor
from loopai_lab.pool.null import NullPool
from loopai_lab.pool.pool import SessionPool
from loopai_lab.rpc.beaker import Beaker, connect

if TYPE_CHECKING:
    from loopai_lab.models import BatchResult, Isolation, ItemResult

SESSIONS = 10
FIRST_INPUT, ANSWER = '{"n":21}', 42
WARM_UP = 10  # items that are run and not counted: a process that slept while another arm ran is slow at first


@dataclass(frozen=True, slots=True)
class Ours:
    """An embedded server, a pool with ten warm sessions that have the program loaded, and a pool that keeps nothing.

    Args:
        beaker: the server.
        executor: on the warm pool.
        control: on the NullPool.
    """

    beaker: Beaker
    executor: BatchExecutor
    control: BatchExecutor

    @staticmethod
    @contextlib.asynccontextmanager
    async def open() -> AsyncGenerator[Ours, None]:
        """Start the server, make the sessions and load the program in each, both ways."""
        async with (
            connect() as beaker,
            SessionPool(beaker, max_size=SESSIONS) as pool,
            NullPool(beaker, max_size=SESSIONS) as null_pool,
        ):
            await pool.warm("python", SESSIONS)
            await _load_everywhere(pool)
            yield Ours(beaker, BatchExecutor(pool), BatchExecutor(null_pool))

    async def latencies_ms(self, count: int, *, isolation: Isolation) -> list[float]:
        """Run items one after the other; a sample is the time from one finished item to the next."""
        result = await _checked(self.executor, count + WARM_UP, at_once=1, isolation=isolation)
        finished_ms = [item.finished_ms for item in result.items[WARM_UP - 1 :]]
        return [later - earlier for earlier, later in itertools.pairwise(finished_ms)]

    async def paced_latencies_ms(self, count: int, *, isolation: Isolation, pause_ms: float) -> list[float]:
        """Run items one after the other with a pause before each; a sample is from the source's yield to the result."""
        given: list[float] = []
        spent_ms: list[float] = []
        answers: list[Any] = []
        source = _paced(count + WARM_UP, pause_ms, given)
        async for item in self.executor.stream(PROGRAM, source, max_concurrency=1, isolation=isolation):
            spent_ms.append((time.perf_counter() - given[item.index]) * 1000)
            answers.append(item.output)
        check_answers(answers, count=count + WARM_UP)
        return spent_ms[WARM_UP:]

    async def items_per_s(self, count: int, *, isolation: Isolation, at_once: int = SESSIONS) -> float:
        """Run a batch on the warm pool and return the rate."""
        return await _rate(self.executor, count, at_once, isolation)

    async def control_items_per_s(self, count: int, *, at_once: int = SESSIONS) -> float:
        """Run a batch with a new session for every item and return the rate."""
        return await _rate(self.control, count, at_once, "item")

    async def creations_ms(self, count: int) -> list[float]:
        """Make and close sessions one after the other; a sample is the making alone."""
        return [(await self._one_session())[0] for _ in range(count)]

    async def cold_items_ms(self, count: int) -> list[float]:
        """Make a session, run its first item and close it, one after the other; a sample is all of that."""
        return [(await self._one_session())[1] for _ in range(count)]

    async def _one_session(self) -> tuple[float, float]:
        began = time.perf_counter()
        session = await self.beaker.create_session("python")
        made_ms = (time.perf_counter() - began) * 1000
        outcome = await session.run(PROGRAM, FIRST_INPUT)
        await session.close()
        if outcome.output != ANSWER:
            raise ArmFailed(f"the first item of a new session ended as {outcome.status}: {outcome.error_message}")
        return made_ms, (time.perf_counter() - began) * 1000


async def _load_everywhere(pool: SessionPool) -> None:
    """Hold all sessions at once, so that each of them gets the program and none gets it twice."""
    sessions = [await pool.acquire("python") for _ in range(SESSIONS)]
    for session in sessions:
        await session.run(PROGRAM, '{"n":0}', isolation="session")
        await session.run(PROGRAM, '{"n":0}', isolation="item")
        pool.release(session)


async def _checked(executor: BatchExecutor, count: int, *, at_once: int, isolation: Isolation) -> BatchResult:
    result = await executor.execute_batch(PROGRAM, inputs(count), max_concurrency=at_once, isolation=isolation)
    if result.success_count != count:
        failed: ItemResult = next(item for item in result.items if not item.success)
        raise ArmFailed(f"{result!r}; item {failed.item_id} ended as {failed.status}: {failed.error_message}")
    check_answers((item.output for item in result.items), count=count)
    return result


async def _rate(executor: BatchExecutor, count: int, at_once: int, isolation: Isolation) -> float:
    began = time.perf_counter()
    await _checked(executor, count, at_once=at_once, isolation=isolation)
    return count / (time.perf_counter() - began)


async def _paced(count: int, pause_ms: float, given: list[float]) -> AsyncIterator[dict[str, int]]:
    for value in inputs(count):
        await asyncio.sleep(pause_ms / 1000)
        given.append(time.perf_counter())
        yield value
