"""A batch while it runs: workers that pull an item, borrow one session for it, run it and give the session back.

An item is pulled only when it may run, holds one session at most, and ends in exactly one status whatever happens.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import BeakerError, InvalidItem, PoolError, SessionNotFound
from loopai_lab.execution.items import Feed, Prepared
from loopai_lab.execution.options import RunOptions, samples
from loopai_lab.models import ItemResult, Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopai_lab.pool.pool import SessionPool
    from loopai_lab.pool.session import PooledSession


@dataclass(slots=True)
class Tally:
    """Count a batch's items while it runs; plain integers, read from any thread."""

    started: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0

    def add(self, result: ItemResult) -> None:
        """Count an item that ended; a cancelled one did not finish."""
        if result.status != "cancelled":
            self.done += 1
            self.failed += not result.success


@dataclass(slots=True)
class _Spans:
    """Where an item's time goes, as it goes there."""

    queue_ms: float = 0.0
    create_ms: float = 0.0
    transport_ms: float = 0.0
    execute_ms: float = 0.0


@dataclass(slots=True)
class Batch:
    """Run a program over a feed of items.

    Args:
        pool: lends the sessions.
        program: what to run; checked by the caller.
        feed: the items.
        options: the limits.
        deliver: is given every result the moment it is there.
        room: a permit is taken for every item pulled; whoever consumes the results gives it back. None: no bound but
            `max_concurrency`.
    """

    pool: SessionPool
    program: Program
    feed: Feed
    options: RunOptions
    deliver: Callable[[ItemResult], None]
    room: asyncio.Semaphore | None = None
    tally: Tally = field(default_factory=Tally)
    stopped: bool = False
    began: float = 0.0
    _feed_error: Exception | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, workers: int) -> None:
        """Run to the end of the feed, or until the first error stops it.

        A caller that is cancelled finds every item that had started delivered as cancelled, and its session returned.

        Raises:
            Exception: what the source of the items raised, once everything that had started is delivered.
        """
        self.began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())
        if self._feed_error is not None:
            raise self._feed_error

    async def _work(self) -> None:
        while not self.stopped:
            if self.room is not None:
                await self.room.acquire()
            item = await self._pull()
            if item is None:
                return
            if isinstance(item, Prepared):
                self._hand_over(await self._finish(item))
            else:
                self._hand_over(item)

    async def _pull(self) -> Prepared | ItemResult | None:
        """Return the next item, or the result of one that cannot run, or None when there is nothing more to start."""
        async with self._turn:
            if self.stopped:
                return None
            try:
                return await self.feed.next()
            except InvalidItem as error:
                index = self.feed.pulled - 1
                refused = Prepared(index, str(index), "null")
                return self._result(
                    refused, _Spans(), status="error", error_message=str(error), error_type="InvalidItem"
                )
            except Exception as error:  # noqa: BLE001 - the source is the user's code: its error is raised by `run`
                self._feed_error = error
                self.stopped = True
                return None

    async def _finish(self, item: Prepared) -> ItemResult:
        """Run one item to its result; a cancelled one is delivered as such before the cancellation goes on."""
        spans = _Spans()
        self.tally.started += 1
        self.tally.in_flight += 1
        try:
            return await self._attempt(item, spans)
        except asyncio.CancelledError:
            message = "the batch was cancelled while this item ran"
            self._hand_over(
                self._result(item, spans, status="cancelled", error_message=message, error_type="Cancelled")
            )
            raise
        finally:
            self.tally.in_flight -= 1

    def _hand_over(self, result: ItemResult) -> None:
        self.tally.add(result)
        self.deliver(result)
        if self.options.stop_on_first_error and result.status not in {"success", "cancelled"}:
            self.stopped = True

    async def _attempt(self, item: Prepared, spans: _Spans) -> ItemResult:
        refusal: SessionNotFound | None = None
        most = self.pool.max_size + 1  # all idle sessions may have been forgotten; a new one is not
        for attempt in range(1, most + 1):
            try:
                session = await self._borrow(item, spans)
            except (PoolError, BeakerError) as error:
                return self._result(
                    item, spans, status="error", error_message=str(error), error_type=type(error).__name__
                )
            try:
                return await self._run_on(session, item, spans, attempt)
            except SessionNotFound as error:
                # The server had forgotten the session, so the program did not start: a fresh session may have it once.
                refusal = error
            finally:
                self.pool.release(session)
        return self._result(
            item, spans, status="lost", error_message=str(refusal), error_type="SessionLost", attempts=most
        )

    async def _borrow(self, item: Prepared, spans: _Spans) -> PooledSession:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            session = await self.pool.acquire(
                self.program.language,
                patient=True,  # a pool that other items or batches keep busy is no failure of this one
                priority=self.options.priority,
                program_key=self.program.key,
                item_id=item.id,
            )
        except BaseException:
            spans.queue_ms += (loop.time() - asked) * 1000
            raise
        waited_ms = (loop.time() - asked) * 1000
        making_ms = min(waited_ms, session.create_ms) if session.is_new else 0.0
        spans.create_ms += making_ms
        spans.queue_ms += waited_ms - making_ms
        return session

    async def _run_on(self, session: PooledSession, item: Prepared, spans: _Spans, attempt: int) -> ItemResult:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        try:
            outcome = await session.run(
                self.program, item.input_json, isolation=self.options.isolation, timeout_ms=self.options.timeout_ms
            )
        finally:
            spans.transport_ms += (loop.time() - sent) * 1000
        spans.execute_ms += outcome.execute_ms
        spans.transport_ms = max(0.0, spans.transport_ms - outcome.execute_ms)
        return self._result(
            item,
            spans,
            status=outcome.status,
            output=outcome.output,
            error_message=outcome.error_message,
            error_type=outcome.error_type,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            truncated=outcome.truncated,
            session_id=session.id,
            reused=not session.is_new,
            attempts=attempt,
        )

    def _result(self, item: Prepared, spans: _Spans, **facts: Any) -> ItemResult:
        return ItemResult(
            item_id=item.id,
            index=item.index,
            execution_id=uuid.uuid4().hex,
            sampled_for_validation=samples(self.options, item.index, forced=item.forced),
            queue_ms=spans.queue_ms,
            create_ms=spans.create_ms,
            transport_ms=spans.transport_ms,
            execute_ms=spans.execute_ms,
            finished_ms=(asyncio.get_running_loop().time() - self.began) * 1000,
            **facts,
        )
