"""Those who wait for a session: one plain future each, in the order of their arrival.

No condition variable and no `wait_for`: a waiter is served by a synchronous `serve`, which tells the giver whether the
session was taken. That leaves no instant in which a session belongs to nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
    """

    language: str
    item_id: str
    since: float
    program_key: str | None = None
    future: asyncio.Future[PooledSession] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def waits(self) -> bool:
        """Whether it can still be served."""
        return not self.future.done()

    def fail(self, error: Exception) -> bool:
        """Refuse the request; False if it does not wait any more."""
        if self.future.done():
            return False
        self.future.set_exception(error)
        return True


class WaitQueue:
    """All waiters of a pool, first come, first served among those of a language."""

    def __init__(self) -> None:
        """Start empty."""
        self._queue: deque[Waiter] = deque()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def __iter__(self) -> Iterator[Waiter]:
        """Go through them, oldest first."""
        return iter(tuple(self._queue))

    def push(self, waiter: Waiter) -> None:
        """Let one wait."""
        self._queue.append(waiter)

    def remove(self, waiter: Waiter) -> bool:
        """Take out one that does not want any more; False if it has been served."""
        try:
            self._queue.remove(waiter)
        except ValueError:
            return False
        return True

    def pop_for(self, language: str) -> Waiter | None:
        """Take out the oldest that a session of this language serves."""
        for waiter in self._queue:
            if waiter.language == language and waiter.waits:
                self._queue.remove(waiter)
                return waiter
        return None

    def count(self, language: str) -> int:
        """Return how many wait for a language."""
        return sum(waiter.language == language for waiter in self._queue)

    def languages(self) -> list[str]:
        """Return the languages waited for, the longest wait first."""
        return list(dict.fromkeys(waiter.language for waiter in self._queue))
