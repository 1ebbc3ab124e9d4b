"""What a batch promises, on a virtual clock with a scripted server: every item ends once, and the counts add up."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pandas as pd
import pytest

from loopai_lab.errors import (
    DuplicateItem,
    InvalidConcurrency,
    InvalidInput,
    InvalidItem,
    InvalidOption,
    ProgramError,
    ServerUnavailable,
    SessionNotFound,
)
from loopai_lab.execution.executor import BatchExecutor
from loopai_lab.models import BatchItem, BatchResult, Program
from loopai_lab.pool.pool import SessionPool
from loopai_lab.rpc.drivers import Outcome
from tests.support.scripted import ScriptedSession, ScriptedSource, double
from tests.support.virtual import virtual

DOUBLE = Program(code="result = input_data * 2")


@asynccontextmanager
async def lab_bench(source: ScriptedSource, **options: Any) -> AsyncIterator[BatchExecutor]:
    async with SessionPool(source, **options) as pool:
        yield BatchExecutor(pool)
    assert not source.open


def fail_on(*bad: int) -> Any:
    def script(value: int) -> Outcome:
        if value in bad:
            return Outcome(status="error", error_message=f"{value} is bad", error_type="ValueError")
        return double(value)

    return script


def counts(result: BatchResult) -> tuple[int, int, int, int]:
    assert result.total_items == len(result.items)
    total = result.success_count + result.failure_count + result.skipped_count + result.cancelled_count
    assert total == result.total_items
    return result.success_count, result.failure_count, result.skipped_count, result.cancelled_count


@virtual
async def test_results_stand_in_request_order_whatever_the_order_of_completion() -> None:
    source = ScriptedSource()
    async with lab_bench(source) as executor:
        result = await executor.execute_batch(DOUBLE, list(range(12)), max_concurrency=5)
    assert [item.output for item in result.items] == [2 * n for n in range(12)]
    assert [item.item_id for item in result.items] == [str(n) for n in range(12)]


@virtual
async def test_an_item_uses_one_session_and_no_more_are_made_than_run_at_once() -> None:
    for size, at_once in ((10, 10), (20, 20), (10, 3)):
        source = ScriptedSource()
        async with lab_bench(source, max_size=size) as executor:
            assert counts(await executor.execute_batch(DOUBLE, range(200), max_concurrency=at_once)) == (200, 0, 0, 0)
        assert len(source.made) <= at_once
        assert source.most_in_flight <= at_once


@virtual
async def test_ten_sleeps_of_a_second_at_five_at_a_time_take_two_waves() -> None:
    source = ScriptedSource(run_s=1.0)
    async with lab_bench(source) as executor:
        result = await executor.execute_batch(DOUBLE, range(10), max_concurrency=5)
    assert counts(result) == (10, 0, 0, 0)


@virtual
async def test_an_item_that_waits_for_a_busy_pool_waits_as_long_as_it_takes() -> None:
    source = ScriptedSource(run_s=100.0)
    async with lab_bench(source, max_size=1, acquire_timeout_s=30.0) as executor:
        result = await executor.execute_batch(DOUBLE, range(4), max_concurrency=4)
    assert counts(result) == (4, 0, 0, 0)
    assert result.items[3].queue_ms > 290_000


@virtual
async def test_an_item_that_waits_for_a_pool_that_cannot_make_sessions_fails_in_time() -> None:
    source = ScriptedSource(failures=[ServerUnavailable("out of order")] * 1000)
    async with lab_bench(source, acquire_timeout_s=30.0) as executor:
        result = await executor.execute_batch(DOUBLE, [1])
    assert result.items[0].error_type == "PoolTimeout"
    assert "out of order" in (result.items[0].error_message or "")
    assert result.items[0].queue_ms == pytest.approx(30_000)


@virtual
async def test_stop_on_first_error_starts_nothing_after_the_failure() -> None:
    source = ScriptedSource(script=fail_on(1))
    async with lab_bench(source) as executor:
        result = await executor.execute_batch(DOUBLE, [0, 1, 2, 3], max_concurrency=1, stop_on_first_error=True)
    assert counts(result) == (1, 1, 2, 0)
    assert [value for _, value in source.ran] == [0, 1]
    assert [item.status for item in result.items] == ["success", "error", "skipped", "skipped"]


@virtual
async def test_what_runs_when_the_first_error_comes_is_finished() -> None:
    source = ScriptedSource(script=fail_on(0))
    async with lab_bench(source) as executor:
        result = await executor.execute_batch(DOUBLE, range(10), max_concurrency=3, stop_on_first_error=True)
    assert counts(result) == (2, 1, 7, 0)


@virtual
async def test_a_failing_item_leaves_the_others_alone() -> None:
    async with lab_bench(ScriptedSource(script=fail_on(*range(0, 50, 5)))) as executor:
        assert counts(await executor.execute_batch(DOUBLE, range(50))) == (40, 10, 0, 0)


@virtual
async def test_no_items_give_an_empty_result_and_no_session() -> None:
    source = ScriptedSource()
    async with lab_bench(source) as executor:
        result = await executor.execute_batch(DOUBLE, [])
    assert counts(result) == (0, 0, 0, 0)
    assert result.throughput == 0
    assert not source.made


@virtual
async def test_items_may_come_from_anything_that_can_be_iterated() -> None:
    async def several() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    source = ScriptedSource(script=lambda value: Outcome(status="success", output=value))
    async with lab_bench(source) as executor:
        for items in (range(3), (n for n in range(3)), several(), [BatchItem(id=str(n), input=n) for n in range(3)]):
            result = await executor.execute_batch(DOUBLE, items)
            assert [item.output for item in result.items] == [0, 1, 2]
        rows = await executor.execute_batch(DOUBLE, frame)
    assert [item.output for item in rows.items] == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ([BatchItem(id="a", input=1), BatchItem(id="a", input=2)], DuplicateItem),
        ([1, object()], InvalidItem),
        ([{"when": {1, 2}}], InvalidItem),
        ([BatchItem(id="", input=1)], InvalidItem),
        ("one string", InvalidItem),
        (42, InvalidItem),
        ({"a": 1}, InvalidItem),
    ],
)
@virtual
async def test_bad_items_are_refused_before_a_session_is_made(items: Any, error: type[InvalidInput]) -> None:
    source = ScriptedSource()
    async with lab_bench(source) as executor:
        with pytest.raises(error):
            await executor.execute_batch(DOUBLE, items)
    assert not source.made


@pytest.mark.parametrize(
    ("options", "error"),
    [
        *(({"max_concurrency": bad}, InvalidConcurrency) for bad in (0, 101, -1, 2.5, True, "3", None)),
        *(({"timeout_ms": bad}, InvalidOption) for bad in (0, -5, float("nan"), float("inf"), "1s")),
        *(({"sampling_rate": bad}, InvalidOption) for bad in (-0.1, 1.1, float("nan"))),
        ({"isolation": "none"}, InvalidOption),
        ({"colour": "blue"}, InvalidOption),
    ],
)
@virtual
async def test_impossible_options_are_refused_before_a_session_is_made(
    options: dict[str, Any], error: type[InvalidInput]
) -> None:
    source = ScriptedSource()
    async with lab_bench(source) as executor:
        with pytest.raises(error):
            await executor.execute_batch(DOUBLE, [1], **options)
        with pytest.raises(error):
            await anext(executor.stream(DOUBLE, [1], **options))
    assert not source.made


@pytest.mark.parametrize("code", ["", "  \n", "x = = 1", "a\0b", "'\ud800'", "(" * 1000])
@virtual
async def test_a_program_that_cannot_run_is_refused_before_a_session_is_made(code: str) -> None:
    source = ScriptedSource()
    async with lab_bench(source) as executor:
        with pytest.raises(ProgramError):
            await executor.execute_batch(Program(code=code), [1])
        with pytest.raises(ProgramError):
            await executor.execute_batch("result = 1", [1])  # type: ignore[arg-type]
    assert not source.made


@virtual
async def test_the_latency_is_the_sum_of_the_four_spans() -> None:
    source = ScriptedSource(create_s=0.2, run_s=0.1)
    async with lab_bench(source, max_size=1) as executor:
        result = await executor.execute_batch(DOUBLE, [1, 2], max_concurrency=2)
    cold, warm = result.items
    assert cold.create_ms == pytest.approx(200)
    assert not cold.reused
    assert warm.reused
    assert warm.create_ms == 0
    assert warm.queue_ms == pytest.approx(300)
    for item in result.items:
        spans = item.queue_ms + item.create_ms + item.transport_ms + item.execute_ms
        assert item.latency_ms == spans
        assert item.transport_ms == pytest.approx(100)


@virtual
async def test_a_cancelled_run_keeps_what_was_finished_and_reports_the_rest() -> None:
    source = ScriptedSource(run_s=1.0)
    async with lab_bench(source) as executor:
        run = await executor.start(DOUBLE, range(10), max_concurrency=2)
        await asyncio.sleep(2.5)
        assert run.cancel()
        result = await run
        assert counts(result) == (4, 0, 0, 6)
        assert run.status == "cancelled"
        assert (run.progress.done, run.progress.failed) == (4, 0)
        assert not run.cancel()
        await asyncio.sleep(1)
        assert executor.pool.statistics().closed_broken == 2


@virtual
async def test_cancelling_the_caller_returns_every_session_and_raises() -> None:
    source = ScriptedSource(run_s=1.0)
    async with lab_bench(source) as executor:
        caller = asyncio.create_task(executor.execute_batch(DOUBLE, range(10), max_concurrency=2))
        await asyncio.sleep(1.5)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert executor.pool.statistics().active_sessions == 0
        assert executor.last_run is not None
        assert counts(executor.last_run.result()) == (2, 0, 0, 8)


@virtual
async def test_a_session_that_the_server_forgot_is_replaced_without_the_item_noticing() -> None:
    source = ScriptedSource()
    forgotten: list[int] = []

    def script(value: int) -> Outcome:
        if not forgotten:
            forgotten.append(value)
            raise SessionNotFound("Session not found: python-0")
        return double(value)

    source.script = script
    async with lab_bench(source) as executor:
        result = await executor.execute_batch(DOUBLE, [1])
    assert result.items[0].output == 2
    assert result.items[0].attempts == 2
    assert result.items[0].session_id == "python-1"


@virtual
async def test_a_lost_item_is_reported_and_never_run_again() -> None:
    source = ScriptedSource(
        script=lambda value: Outcome(status="lost", ended=True) if value == 3 else double(value),
    )
    async with lab_bench(source) as executor:
        result = await executor.execute_batch(DOUBLE, range(10), max_concurrency=2)
    assert counts(result) == (9, 1, 0, 0)
    assert result.items[3].status == "lost"
    assert [value for _, value in source.ran].count(3) == 1


@virtual
async def test_a_stream_yields_in_the_order_of_completion() -> None:
    source = ScriptedSource()
    slow = {0}

    async def run(_session: ScriptedSession, _program: Program, input_json: str, **_: Any) -> Outcome:
        value = json.loads(input_json)
        await asyncio.sleep(1.0 if value in slow else 0.1)
        return double(value)

    async with lab_bench(source) as executor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ScriptedSession, "run", run)
            seen = [item.output async for item in executor.stream(DOUBLE, range(4), max_concurrency=2)]
    assert seen == [2, 4, 6, 0]


@virtual
async def test_an_endless_source_is_pulled_only_as_far_as_it_runs() -> None:
    pulled = 0

    def endless() -> Iterator[int]:
        nonlocal pulled
        for number in itertools.count():
            pulled += 1
            yield number

    taken = 0
    async with lab_bench(ScriptedSource()) as executor:
        stream = executor.stream(DOUBLE, endless(), max_concurrency=4)
        async for _ in stream:
            taken += 1
            await asyncio.sleep(0.5)
            assert pulled <= taken + 2 * 4
            if taken == 50:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        assert executor.pool.statistics().active_sessions == 0


@virtual
async def test_a_value_that_is_no_item_becomes_an_error_in_a_stream_and_the_stream_goes_on() -> None:
    async with lab_bench(ScriptedSource()) as executor:
        results = [item async for item in executor.stream(DOUBLE, [1, object(), 3], max_concurrency=1)]
    assert [item.status for item in results] == ["success", "error", "success"]
    assert results[1].error_type == "InvalidItem"


@virtual
async def test_a_source_that_raises_loses_nothing_that_had_started() -> None:
    def breaking() -> Iterator[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    async with lab_bench(ScriptedSource()) as executor:
        stream = executor.stream(DOUBLE, breaking(), max_concurrency=3)
        results = [(await anext(stream)).output for _ in range(5)]
        with pytest.raises(OSError, match="the disk is gone"):
            await anext(stream)
    assert sorted(results) == [0, 2, 4, 6, 8]


@virtual
async def test_sampling_depends_on_the_seed_and_not_on_the_order_of_completion() -> None:
    async with lab_bench(ScriptedSource()) as executor:
        sampled = []
        for at_once in (1, 20):
            result = await executor.execute_batch(
                DOUBLE, range(2000), max_concurrency=at_once, sampling_rate=0.1, seed=7
            )
            sampled.append([item.index for item in result.items if item.sampled_for_validation])
    assert sampled[0] == sampled[1]
    assert 150 <= len(sampled[0]) <= 250


@virtual
async def test_a_forced_item_is_sampled_at_rate_zero() -> None:
    items = [BatchItem(id="a", input=1), BatchItem(id="b", input=2, force_validation=True)]
    async with lab_bench(ScriptedSource()) as executor:
        result = await executor.execute_batch(DOUBLE, items)
    assert [item.sampled_for_validation for item in result.items] == [False, True]


@virtual
async def test_progress_counts_what_is_done_and_what_runs() -> None:
    async with lab_bench(ScriptedSource(run_s=1.0)) as executor:
        run = await executor.start(DOUBLE, range(4), max_concurrency=2)
        await asyncio.sleep(1.5)
        now = run.progress
        assert (now.total, now.done, now.failed, now.in_flight) == (4, 2, 0, 2)
        await run
        assert run.progress.eta_s == 0
        assert run.status == "completed"
