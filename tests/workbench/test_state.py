"""What the workbench shows, without a widget: it agrees with the pool's own books, and items find their cloud."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from loopai_lab.execution.executor import BatchExecutor
from loopai_lab.models import ItemResult, Program, Status
from loopai_lab.pool.events import Kind, PoolEvent
from loopai_lab.pool.pool import SessionPool
from loopai_lab.pool.statistics import Books
from loopai_lab.workbench.state import GAUGES, Recording, Sessions, group_of
from tests.support.scripted import ScriptedSource
from tests.support.virtual import virtual


def event(kind: Kind, session_id: str, at: float = 0.0, reason: str = "") -> PoolEvent:
    return PoolEvent(kind, at, language="python", session_id=session_id, reason=reason)


def gauges(sessions: Sessions) -> dict[str, int]:
    return {name: count for name, count in zip(GAUGES, sessions.counts, strict=True) if count}


def item(status: Status = "success", **facts: Any) -> ItemResult:
    return ItemResult(item_id="0", execution_id="x", status=status, **{"session_id": "a"} | facts)


async def events_of_a_busy_pool() -> list[PoolEvent]:
    """Return what happens in a pool that grows, works, is cancelled, resized and closed."""
    source = ScriptedSource(failures=[None, OSError("no room")])
    async with SessionPool(source, max_size=4) as pool:
        executor = BatchExecutor(pool)
        await executor.execute_batch(Program(code="result = input_data"), range(40), max_concurrency=6)
        run = await executor.start(Program(code="result = input_data"), range(40), max_concurrency=6)
        await asyncio.sleep(0.025)
        run.cancel()
        await run
        await pool.resize(2)
        await pool.warm("python", 2)
    return pool.events.since(0)


@virtual
async def test_the_fold_agrees_with_the_pools_books_after_every_event() -> None:
    books, sessions = Books(), Sessions()
    for happened in await events_of_a_busy_pool():
        books.apply(happened)
        sessions.take(happened)
        figures = books.statistics(0.0)
        assert sessions.counts == [getattr(figures, f"{name}_sessions") for name in GAUGES]
    assert sessions.total == 0


@virtual
async def test_hearing_the_last_events_twice_does_no_harm() -> None:
    events = await events_of_a_busy_pool()
    once, again = Sessions(), Sessions()
    for number, happened in enumerate(events):
        once.take(happened)
        for repeated in events[max(0, number - 3) : number + 1]:
            again.take(repeated)
        assert again.counts == once.counts


def test_sessions_that_no_event_told_of_are_idle_until_they_are_heard_of() -> None:
    sessions = Sessions()
    sessions.expect(3)
    assert gauges(sessions) == {"idle": 3}
    sessions.take(event("acquired", "old"))
    assert gauges(sessions) == {"idle": 2, "active": 1}
    sessions.take(event("creating", "attempt"))
    sessions.take(event("created", "new", reason="attempt"))
    assert gauges(sessions) == {"idle": 3, "active": 1}
    sessions.take(event("closing", "old"))
    sessions.take(event("closed", "old"))
    assert gauges(sessions) == {"idle": 3}
    assert sessions.settled


def test_a_recording_draws_sessions_over_time_from_the_start_of_the_run() -> None:
    recording = Recording(Sessions(), origin=100.0)
    recording.take_events([event("creating", "t", 100.0), event("created", "s", 101.0, reason="t")], now=101.0)
    recording.take_events([event("acquired", "s", 102.0)], now=104.0)
    shown = recording.snapshot()
    assert shown.seconds[-1] == 4.0
    middles = [int(second / 4.0 * (len(shown.seconds) - 1)) for second in (0.5, 1.5, 3.0)]
    assert [shown.levels["creating"][middle] for middle in middles] == [1, 0, 0]
    assert [shown.levels["idle"][middle] for middle in middles] == [0, 1, 0]
    assert [shown.levels["active"][middle] for middle in middles] == [0, 0, 1]


@pytest.mark.parametrize(
    ("result", "group"),
    [
        (item(reused=True), "warm ok"),
        (item(reused=False), "cold ok"),
        (item("error", reused=True), "warm failed"),
        (item("timeout", reused=False), "cold failed"),
        (item("cancelled"), None),
        (item("error", session_id=None), None),
    ],
)
def test_an_item_belongs_to_the_cloud_of_its_session_and_its_end(result: ItemResult, group: str | None) -> None:
    assert group_of(result) == group


def test_a_recording_counts_what_finished_apart_from_what_was_stopped() -> None:
    recording = Recording(Sessions(), origin=0.0)
    recording.take_results(
        [item(reused=True, execute_ms=3.0, finished_ms=2000, index=7), item("error"), item("cancelled")]
    )
    assert (recording.finished, recording.failed, recording.cancelled) == (2, 1, 1)
    clouds = recording.snapshot().clouds
    assert clouds["warm ok"].tolist() == [[2.0, 3.0, 7.0]]
    assert len(clouds["cold failed"]) == 1


def test_a_snapshot_does_not_change_afterwards() -> None:
    recording = Recording(Sessions(), origin=0.0)
    recording.take_results([item(reused=True)])
    before = recording.snapshot()
    recording.take_results([item(reused=True)])
    assert len(before.clouds["warm ok"]) == 1
