"""What the pool itself costs: borrowing and giving back with nobody else there and no server behind it.

The sessions are scripted and live in this process; the pool, its books and its events are the real ones. The floor is
the least that anyone would write instead: an `asyncio.Queue` of sessions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopai_lab.pool.pool import SessionPool

if TYPE_CHECKING:
    from loopai_lab.models import Isolation, Program
    from loopai_lab.pool.session import RemoteSession

SIZE = 10
PAIRS_PER_SAMPLE = 100  # reading the clock costs a good part of a microsecond


@dataclass(slots=True)
class ScriptedSession:
    """A session that does nothing, at once."""

    id: str
    is_open: bool = True

    async def run(self, program: Program, input_json: str, *, isolation: Isolation, timeout_ms: float | None) -> Any:
        """Answer with nothing; nobody asks."""

    async def check(self) -> None:
        """Be there."""

    async def close(self) -> None:
        """End, at once."""


class ScriptedSource:
    """Make scripted sessions."""

    def __init__(self) -> None:
        """Start counting."""
        self._made = 0

    async def create_session(self, language: str) -> RemoteSession:
        """Make one at once."""
        self._made += 1
        return ScriptedSession(f"{language}-{self._made:027d}")


async def pool_pairs_us(count: int) -> list[float]:
    """Borrow and give back on a warm pool; each of `count` samples is the mean of a hundred pairs."""
    async with SessionPool(ScriptedSource(), max_size=SIZE) as pool:
        await pool.warm("python", SIZE)

        async def pair() -> None:
            pool.release(await pool.acquire("python"))

        return await _timed(pair, count)


async def queue_pairs_us(count: int) -> list[float]:
    """Take from and put back into a queue of sessions, measured alike."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    for number in range(SIZE):
        queue.put_nowait(number)

    async def pair() -> None:
        queue.put_nowait(await queue.get())

    return await _timed(pair, count)


async def _timed(pair: Callable[[], Awaitable[None]], count: int) -> list[float]:
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        for _ in range(PAIRS_PER_SAMPLE):
            await pair()
        samples.append((time.perf_counter() - began) * 1e6 / PAIRS_PER_SAMPLE)
    return samples
