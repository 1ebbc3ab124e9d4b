"""A batch as its owner holds it: progress, waiting, cancelling, partial results, from any thread or loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from loopai_lab.execution.batch import Batch, Tally
from loopai_lab.execution.items import Feed, Prepared
from loopai_lab.execution.summary import summarise
from loopai_lab.models import BatchResult, ItemResult, Program, frame_of

if TYPE_CHECKING:
    from collections.abc import Generator

    import pandas as pd

    from loopai_lab.execution.options import RunOptions
    from loopai_lab.pool.events import PoolEvent
    from loopai_lab.pool.pool import SessionPool

RunStatus = Literal["running", "completed", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Args:
        rate: finished items per second since the start.
        eta_s: seconds until the end at that rate; None before the first item is done.
    """

    total: int
    done: int
    failed: int
    in_flight: int
    rate: float
    eta_s: float | None


class Run:
    """Hold one batch that was started.

    It can be awaited from a cell, waited for from a script, cancelled from anywhere; what is finished is never lost.

    Args:
        pool: lends the sessions.
        program: what runs.
        items: all items, checked.
        options: the limits, checked.
        task_id: the task that the program belongs to, if any.
    """

    def __init__(
        self,
        pool: SessionPool,
        program: Program,
        items: list[Prepared],
        options: RunOptions,
        *,
        task_id: str | None = None,
    ) -> None:
        """Prepare everything; `begin` starts it on the running loop."""
        self.id = uuid.uuid4().hex
        self.program = program
        self.options = options
        self.task_id = task_id
        self.results: list[ItemResult] = []
        self._pool = pool
        self._items = items
        self._batch = Batch(pool, program, Feed(items), options, self.results.append)
        self._future: concurrent.futures.Future[BatchResult] = concurrent.futures.Future()
        self._future.set_running_or_notify_cancel()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._first_event = 0
        self._last_event: int | None = None
        self._started_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._ended: float | None = None

    def begin(self) -> Run:
        """Start on the running event loop and return at once."""
        self._loop = asyncio.get_running_loop()
        self._first_event = self._pool.events.total
        self._task = self._loop.create_task(self._drive(), name=f"run {self.id[:8]}")
        return self

    async def _drive(self) -> None:
        try:
            await self._batch.run(min(self.options.max_concurrency, len(self._items)))
        except asyncio.CancelledError:
            self._settle()
            if not self._cancelled:
                raise  # the loop is ending, not this run alone
        except Exception as error:  # noqa: BLE001 - the owner gets it from `result`
            self._ended = time.monotonic()
            self._future.set_exception(error)
        else:
            self._settle()

    def _settle(self) -> None:
        self._ended = time.monotonic()
        self._last_event = self._pool.events.total
        fate: Literal["skipped", "cancelled"] = "skipped" if self._batch.stopped else "cancelled"
        self._future.set_result(
            summarise(
                batch_id=self.id,
                task_id=self.task_id,
                program=self.program,
                items=self._items,
                results=self.results,
                unstarted=fate,
                duration_ms=(self._ended - self._began) * 1000,
                started_at=self._started_at,
                pool=self._pool.statistics(),
                options=self.options,
            )
        )

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._future.done()

    @property
    def status(self) -> RunStatus:
        """How it stands."""
        if not self._future.done():
            return "running"
        if self._future.exception() is not None:
            return "failed"
        return "cancelled" if self._cancelled else "completed"

    @property
    def progress(self) -> Progress:
        """How far it is; cheap, and safe from any thread."""
        tally: Tally = self._batch.tally
        spent_s = (self._ended or time.monotonic()) - self._began
        total, done = len(self._items), tally.done
        rate = done / spent_s if spent_s > 0 else 0.0
        eta_s = (total - done) / rate if rate and not self.done else (0.0 if self.done else None)
        return Progress(total, done, tally.failed, tally.in_flight, rate, eta_s)

    def events(self) -> list[PoolEvent]:
        """Return what happened in the pool since the start of the run, as far as the pool remembers."""
        numbered = self._pool.events.numbered_since(self._first_event)
        return [event for number, event in numbered if self._last_event is None or number <= self._last_event]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finished item: all of them, in request order, once the run has ended."""
        if self.done and self._future.exception() is None:
            return self._future.result().to_frame()
        return frame_of(sorted(self.results, key=lambda result: result.index))

    @property
    def pool(self) -> SessionPool:
        """The pool that it runs on."""
        return self._pool

    def show(self) -> Any:
        """Return a live view of this run for a notebook: status, charts, and a Stop button."""
        from loopai_lab.workbench.runview import RunView

        return RunView(self)

    # -- waiting and cancelling ---------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended, or for `timeout` seconds; return whether it has.

        Not from the event loop that it runs on: there, await it.
        """
        concurrent.futures.wait([self._future], timeout)
        return self._future.done()

    def result(self, timeout: float | None = None) -> BatchResult:
        """Block until the run has ended and return its result; a cancelled run's has all that was finished.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds.
            Exception: what the source of the items raised.
        """
        return self._future.result(timeout)

    def cancel(self) -> bool:
        """Cancel what runs and what waits; finished items are kept. Return False if it has ended already."""
        if self._future.done() or self._loop is None or self._task is None:
            return False
        self._cancelled = True
        self._loop.call_soon_threadsafe(self._task.cancel)
        return True

    def __await__(self) -> Generator[Any, None, BatchResult]:
        """Wait for the result on whatever loop the caller is on; cancelling the wait leaves the run alone."""
        return asyncio.shield(asyncio.wrap_future(self._future)).__await__()

    def __repr__(self) -> str:
        """Say how it stands."""
        now = self.progress
        done = f"{now.done}/{now.total} done, {now.failed} failed, {now.rate:.0f} items/s"
        return f"<Run {self.id[:8]} {self.status}: {done}>"
