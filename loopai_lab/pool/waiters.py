"""Those who wait for a session: one plain future each, in the order of their priority and arrival.

No condition variable and no `wait_for`: a waiter is served by a synchronous change of its future, so there is never an
instant in which a session belongs to nobody.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopai_lab.pool.session import PooledSession


@dataclass(slots=True, eq=False)
class Waiter:
    """One request that waits.

    Args:
        language: what it needs.
        item_id: what it is for.
        since: when it began to wait, on the pool's clock.
        priority: a higher class is served first; inside a class the first to come is.
        patient: it waits on past its time while the pool is busy and not broken.
        alarm: goes off when its time is over.
    """

    language: str
    item_id: str
    since: float
    priority: int = 0
    patient: bool = False
    alarm: asyncio.TimerHandle | None = None
    future: asyncio.Future[PooledSession] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: Exception) -> bool:
        """Refuse the request; False if it does not wait any more."""
        if self.future.done():
            return False
        self.future.set_exception(error)
        return True


class WaitQueue:
    """All waiters of a pool."""

    def __init__(self) -> None:
        """Start empty."""
        self._queue: list[Waiter] = []

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def __iter__(self) -> Iterator[Waiter]:
        """Go through them in the order in which they will be served."""
        return iter(tuple(self._queue))

    def push(self, waiter: Waiter) -> None:
        """Let one wait, behind all of its class and before all of lower ones."""
        place = len(self._queue)
        while place and self._queue[place - 1].priority < waiter.priority:
            place -= 1
        self._queue.insert(place, waiter)

    def remove(self, waiter: Waiter) -> bool:
        """Take out one that does not want any more; False if it has been served."""
        try:
            self._queue.remove(waiter)
        except ValueError:
            return False
        return True

    def pop_for(self, language: str) -> Waiter | None:
        """Take out the first that a session of this language serves."""
        for place, waiter in enumerate(self._queue):
            if waiter.language == language and not waiter.future.done():
                return self._queue.pop(place)
        return None

    def count(self, language: str) -> int:
        """Return how many wait for a language."""
        return sum(waiter.language == language for waiter in self._queue)

    def languages(self) -> list[str]:
        """Return the languages waited for, the next to be served first."""
        return list(dict.fromkeys(waiter.language for waiter in self._queue))
