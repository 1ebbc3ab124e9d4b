"""The watch: a thread that looks at a run four times a second and hands on what it saw.

The view pulls and the engine never waits for it: the run's results are a list that only grows, the pool's events a log
that is read from a mark on. One look costs a few milliseconds, whatever the run's speed.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from loopai_lab.workbench.state import Phase, Recording, Sessions, Snapshot, Standing

if TYPE_CHECKING:
    from loopai_lab.execution.run import Run
    from loopai_lab.pool.events import EventLog, PoolEvent
    from loopai_lab.pool.pool import SessionPool

PERIOD_S = 0.25
SETTLING_S = 3.0


class Tail:
    """Read a pool's event log from another thread: every event once, as far as the log remembers them.

    Args:
        log: the pool's events.
    """

    def __init__(self, log: EventLog) -> None:
        """Start at the oldest event that is remembered."""
        self._log = log
        self._mark = 0

    def read(self) -> list[PoolEvent]:
        """Return what happened since the last reading."""
        entries = self._log.numbered_since(self._mark)
        if entries:
            self._mark = entries[-1][0]
        return [event for _, event in entries]


class PoolView:
    """Know a pool's sessions from one run to the next.

    Args:
        pool: the pool that is looked at.
    """

    def __init__(self, pool: SessionPool) -> None:
        """Start with what the pool remembers."""
        self.pool = pool
        self.sessions = Sessions()
        self.tail = Tail(pool.events)

    def catch_up(self, until: float) -> list[PoolEvent]:
        """Take in what happened before a second on the pool's clock, and return what happened since then."""
        total = self.pool.statistics().total_sessions
        events = self.tail.read()
        later = [event for event in events if event.at >= until]
        for event in events:
            if event.at < until:
                self.sessions.take(event)
        all_told = copy.deepcopy(self.sessions)
        for event in later:
            all_told.take(event)
        self.sessions.expect(max(0, total - all_told.total))
        return later


class Watch:
    """Look at one run until it has ended.

    Args:
        run: what to look at.
        pool_view: the pool that it runs on.
        show: is given every snapshot and standing, on the watch's thread.
        fail: is given what `show` raised, which ends the watch.
    """

    def __init__(
        self,
        run: Run,
        pool_view: PoolView,
        show: Callable[[Snapshot, Standing], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Take in what has happened already."""
        self.run = run
        self._view = pool_view
        self._show = show
        self._fail = fail
        self._closed = threading.Event()
        self._stopping = False
        self._seen = 0
        first = next(iter(run.events()), None)
        origin = first.at if first else time.monotonic()
        early = pool_view.catch_up(origin)
        self._recording = Recording(pool_view.sessions, origin)
        self._recording.take_events(early, origin)
        self._thread = threading.Thread(target=self._look_on, name=f"watch {run.id[:8]}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stopping(self) -> None:
        """Say from now on that the run was told to stop."""
        self._stopping = True

    def close(self) -> None:
        """End the thread, whether the run has ended or not; nothing is shown afterwards."""
        self._closed.set()
        self.join()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the last look; return whether it is over."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _look_on(self) -> None:
        try:
            self._look()
            while not self._closed.is_set() and not self.run.wait(PERIOD_S):
                self._look()
            self._look()
            self._see_it_settle()
        except Exception as error:  # noqa: BLE001 - a thread's exception would be seen by nobody
            self._fail(error)

    def _see_it_settle(self) -> None:
        """Look on for a moment: sessions that a stop made useless are still on their way out."""
        deadline = time.monotonic() + SETTLING_S
        while not self._view.sessions.settled and time.monotonic() < deadline and not self._closed.wait(PERIOD_S):
            self._look()

    def _look(self) -> None:
        if self._closed.is_set():
            return
        now = time.monotonic()
        self._recording.take_events(self._view.tail.read(), now)
        results = self.run.results
        fresh = results[self._seen : len(results)]
        self._seen += len(fresh)
        self._recording.take_results(fresh)
        self._show(self._recording.snapshot(), self._standing())

    def _standing(self) -> Standing:
        progress, figures = self.run.progress, self._view.pool.statistics()
        phase: Phase = "stopping" if self.run.status == "running" and self._stopping else self.run.status
        seen = self._recording
        return Standing(
            phase=phase,
            total=progress.total,
            finished=seen.finished,
            failed=seen.failed,
            cancelled=seen.cancelled,
            rate=progress.rate,
            eta_s=progress.eta_s,
            seconds=progress.done / progress.rate if progress.rate else 0.0,
            waiting=figures.requests_waiting,
            limit=self._view.pool.max_size,
            sandbox=figures.sandbox,
            error=self._error() if phase == "failed" else None,
        )

    def _error(self) -> Exception | None:
        try:
            self.run.result(0)
        except Exception as error:  # noqa: BLE001 - whatever the source of the items raised
            return error
        return None
