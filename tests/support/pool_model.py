"""A pool in the hands of chance: the actions that a schedule is made of, and what must hold after each of them.

The real pool runs on a virtual clock with a scripted server. Two drivers use it: seeded random schedules, fast and many
(`make soak`), and a Hypothesis state machine, which shrinks what it finds.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from loopai_lab.errors import LoopaiLabError, ServerUnavailable
from loopai_lab.pool.events import PoolEvent
from loopai_lab.pool.pool import SessionPool
from loopai_lab.pool.session import PooledSession
from loopai_lab.pool.statistics import Books
from tests.support.scripted import ScriptedSource
from tests.support.virtual import VirtualLoop

LANGUAGES = ("python", "javascript")
DISCARDS = (None, None, None, "broken", "timeout")


class PoolModel:
    """Act on a pool and check it.

    Args:
        options: of the pool.
    """

    def __init__(self, **options: Any) -> None:
        self.loop = VirtualLoop()
        self.source = ScriptedSource(create_s=0.04, close_s=0.003)
        self.pool = SessionPool(self.source, **options)
        self.callers: list[asyncio.Task[PooledSession]] = []
        self.held: list[PooledSession] = []
        self.most = self.pool.max_size
        self.pool.events.subscribe(self._note_size)
        self._run(self._open())

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def _open(self) -> None:
        self.pool.open()

    def _note_size(self, event: PoolEvent) -> None:
        self.most = max(self.most, event.size)
        books = self.pool.core.books
        assert books.total <= self.most

    # -- actions ------------------------------------------------------------------------------------------------------

    def acquire(self, language: str, priority: int, timeout_s: float | None) -> None:
        request = self.pool.acquire(language, priority=priority, timeout_s=timeout_s)
        self.callers.append(self.loop.create_task(request))

    def cancel(self, which: int) -> None:
        if self.callers:
            self.callers[which % len(self.callers)].cancel()

    def release(self, which: int, discard: Any) -> None:
        if self.held:
            self._run(self._release(self.held.pop(which % len(self.held)), discard))

    async def _release(self, session: PooledSession, discard: Any) -> None:
        self.pool.release(session, discard=discard)

    def turn(self, times: int) -> None:
        """Let the loop turn without time passing: every await is a place where something can come between."""
        for _ in range(times):
            self._run(asyncio.sleep(0))
            self._collect()

    def wait(self, seconds: float) -> None:
        self._run(asyncio.sleep(seconds))
        self._collect()

    def fail_creations(self, count: int) -> None:
        self.source.failures = [ServerUnavailable("by the script")] * count

    def slow_down(self, create_s: float) -> None:
        self.source.create_s = create_s

    def lose_sessions(self) -> None:
        """Have the server forget what it has; a check finds it out."""
        for session in self.source.open:
            session.is_closed = True

    def resize(self, size: int) -> None:
        self._run(self.pool.resize(size))

    def drain(self) -> None:
        self._run(self.pool.drain())
        self._collect()

    def _collect(self) -> None:
        """Note who has been served."""
        waiting = []
        for caller in self.callers:
            if not caller.done():
                waiting.append(caller)
            elif not caller.cancelled():
                error = caller.exception()
                if error is None:
                    assert caller.result() not in self.held, "one session is lent twice"
                    self.held.append(caller.result())
                else:
                    assert isinstance(error, LoopaiLabError), error
        self.callers = waiting

    # -- what must hold -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        core = self.pool.core
        now = self.pool.statistics()
        parts = now.active_sessions + now.idle_sessions + now.creating_sessions + now.closing_sessions
        assert now.total_sessions == parts <= self.most
        settled = now.taken_idle + now.handed_off + now.requests_errors + now.requests_cancelled + now.requests_waiting
        assert now.requests_num == settled
        assert now.active_sessions == len(core.lent)
        assert now.idle_sessions == len(core.idle())
        assert now.requests_waiting == len(core.waiters)
        assert set(self.held) <= core.lent
        idle = {session.language for session in core.idle()}
        assert not idle & set(core.waiters.languages()), "somebody waits for a session that lies idle"
        for language in LANGUAGES:
            in_class = [w.since for w in core.waiters if w.language == language and not w.priority]
            assert in_class == sorted(in_class), "the queue is out of order"

    def finish(self) -> None:
        """Bring everything back, close, and require that nothing is left, nobody starved and the books balance."""
        self.source.failures.clear()
        self.source.create_s = 0.01
        for _ in range(200):
            self.wait(1.0)
            while self.held:
                self.release(0, None)
            self.check()
            if not self.callers:
                break
        assert not self.callers, "a request was never answered"
        self._run(self.pool.close())
        books = Books()
        for event in self.pool.events.since(0):
            books.apply(event)
        assert books.statistics(0.0) == self.pool.core.books.statistics(0.0)
        assert self.pool.statistics().total_sessions == 0
        assert not self.source.open, "sessions were left on the server"
        self._run(asyncio.sleep(0))
        left = asyncio.all_tasks(self.loop)
        assert not left, left
        self.loop.close()


def run_schedule(seed: int, actions: int = 40) -> None:
    """Run one random schedule; the seed says all about it."""
    chance = random.Random(seed)
    model = PoolModel(
        max_size=chance.randint(1, 4),
        max_creating=chance.randint(1, 3),
        max_idle_s=chance.choice([None, 1.0, 30.0]),
        max_lifetime_s=chance.choice([None, 5.0, 60.0]),
        max_uses=chance.choice([None, 2]),
        max_waiting=chance.choice([None, 3]),
        check_after_s=chance.choice([None, 0.0, 1.0]),
        limits=chance.choice([{}, {"javascript": {"max_size": 1}}]),
    )
    random.seed(seed)  # jitter
    for _ in range(actions):
        _act(model, chance)
        model.check()
    model.finish()


def _act(model: PoolModel, chance: random.Random) -> None:
    roll = chance.random()
    if roll < 0.30:
        timeout_s = chance.choice([None, None, 0.0, 0.02, 1.0])
        model.acquire(chance.choice(LANGUAGES), chance.choice([0, 0, 0, 1]), timeout_s)
    elif roll < 0.50:
        model.release(chance.randrange(100), chance.choice(DISCARDS))
    elif roll < 0.62:
        model.cancel(chance.randrange(100))
    elif roll < 0.85:
        model.turn(chance.randint(1, 4))
    elif roll < 0.93:
        model.wait(chance.choice([0.003, 0.02, 0.05, 2.0, 40.0]))
    elif roll < 0.95:
        model.fail_creations(chance.randint(1, 3))
    elif roll < 0.96:
        model.slow_down(chance.choice([0.0, 0.04, 10.0]))
    elif roll < 0.97:
        model.lose_sessions()
    elif roll < 0.99:
        model.resize(chance.randint(1, 5))
    else:
        model.drain()
