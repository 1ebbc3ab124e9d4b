"""The batch executor: checks everything, then runs a program over items with sessions of a pool."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import InvalidOption
from loopai_lab.execution.batch import Batch
from loopai_lab.execution.check import check_program
from loopai_lab.execution.items import Feed, collect, rows
from loopai_lab.execution.options import RunOptions
from loopai_lab.execution.run import Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loopai_lab.models import BatchResult, ItemResult, Program
    from loopai_lab.pool.pool import SessionPool


class BatchExecutor:
    """Run programs over items, with the sessions of one pool.

    Args:
        pool: lends the sessions, one per item at most.
    """

    def __init__(self, pool: SessionPool) -> None:
        """Keep the pool; it stays its owner's to open and close."""
        self.pool = pool
        self.last_run: Run | None = None

    async def execute_batch(self, program: Program, items: Any, **options: Any) -> BatchResult:
        """Run a program over items and return when every item has ended.

        Args:
            program: what to run.
            items: JSON values or `BatchItem`s in any iterable or asynchronous iterable that ends, or a DataFrame.
            **options: `max_concurrency=10`, `stop_on_first_error=False`, `timeout_ms=None`, `sampling_rate=0.0`,
                `isolation="item"`, `seed=None`; see `RunOptions`.

        Returns:
            The result of every item in request order; failures of items are values in it, never exceptions.

        Raises:
            InvalidInput: something cannot run; nothing was started.
            CancelledError: the caller was cancelled; what had finished is in `last_run.result()`.
        """
        run = await self.start(program, items, **options)
        try:
            return await run
        except asyncio.CancelledError:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run  # until every session is back; a second cancellation does not wait
            raise

    async def start(self, program: Program, items: Any, *, task_id: str | None = None, **options: Any) -> Run:
        """Check everything, start a batch and return its handle at once.

        Raises:
            InvalidInput: something cannot run; nothing was started.
        """
        checked = self._checked(options)
        await self._reach_server(checked)
        program = check_program(program, self.pool.source)
        prepared = await collect(items)
        self.pool.open()
        self.last_run = Run(self.pool, program, prepared, checked, task_id=task_id).begin()
        return self.last_run

    async def stream(self, program: Program, items: Any, **options: Any) -> AsyncIterator[ItemResult]:
        """Run a program over items and yield each result as it is there, in the order of completion.

        Items are pulled only as they are run and results taken, so the source may be endless and memory stays bounded.
        A value that is not an item becomes a result with status `error`. Leaving the loop cancels what still runs.

        Args:
            program: what to run.
            items: as for `execute_batch`, endless ones included; ids are not checked for duplicates.
            **options: as for `execute_batch`.

        Raises:
            InvalidInput: something cannot run; nothing was started.
        """
        checked = self._checked(options)
        await self._reach_server(checked)
        program = check_program(program, self.pool.source)
        self.pool.open()
        ready: asyncio.Queue[ItemResult | None] = asyncio.Queue()
        room = asyncio.Semaphore(2 * checked.max_concurrency)
        batch = Batch(self.pool, program, Feed(rows(items)), checked, ready.put_nowait, room)
        driver = asyncio.create_task(batch.run(checked.max_concurrency))
        driver.add_done_callback(lambda _: ready.put_nowait(None))
        try:
            while (result := await ready.get()) is not None:
                room.release()
                yield result
            await driver
        finally:
            driver.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await driver

    async def _reach_server(self, options: RunOptions) -> None:
        """Learn what the server can do, if nobody has asked it yet, and refuse what it cannot."""
        source: Any = self.pool.source
        if hasattr(source, "connection") and not source.capabilities.languages:
            await source.connection()
        if hasattr(source, "check_isolation"):
            source.check_isolation(options.isolation)

    @staticmethod
    def _checked(options: dict[str, Any]) -> RunOptions:
        try:
            return RunOptions(**options)
        except TypeError as error:
            raise InvalidOption(f"{error}; a batch has {', '.join(RunOptions.__slots__)}") from error
