"""The sum of a batch: every item accounted for, in request order, and figures over those that ran."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from loopai_lab.execution.options import RunOptions, samples
from loopai_lab.models import BatchResult, ItemResult, Program, SessionPoolStatistics, percentile

if TYPE_CHECKING:
    from loopai_lab.execution.items import Prepared


def summarise(
    *,
    batch_id: str,
    task_id: str | None,
    program: Program,
    items: list[Prepared],
    results: list[ItemResult],
    unstarted: Literal["skipped", "cancelled"],
    duration_ms: float,
    started_at: datetime,
    pool: SessionPoolStatistics,
    options: RunOptions,
) -> BatchResult:
    """Return the result of a batch.

    Args:
        batch_id: the run's id.
        task_id: the program's task, if any.
        program: what ran.
        items: all that was asked for.
        results: those that finished, in any order.
        unstarted: what to call the others.
        duration_ms: from the start of the batch to its end.
        started_at: wall clock, for the record.
        pool: the pool's books at the end.
        options: the limits that were in force.

    Percentiles and means are over the items that ran to an end of their own: not the skipped, not the cancelled.
    """
    by_index = {result.index: result for result in results}
    ordered = tuple(by_index.get(item.index) or _unstarted(item, unstarted, options) for item in items)
    counts = {status: sum(result.status == status for result in ordered) for status in _STATUSES}
    latencies = [result.latency_ms for result in ordered if result.status not in {"skipped", "cancelled"}]
    return BatchResult(
        batch_id=batch_id,
        task_id=task_id,
        program_id=program.key,
        version=program.version,
        total_items=len(ordered),
        success_count=counts["success"],
        failure_count=counts["error"] + counts["timeout"] + counts["lost"],
        skipped_count=counts["skipped"],
        cancelled_count=counts["cancelled"],
        total_duration_ms=duration_ms,
        avg_latency_ms=sum(latencies) / len(latencies) if latencies else 0.0,
        p50_ms=percentile(latencies, 0.50),
        p95_ms=percentile(latencies, 0.95),
        p99_ms=percentile(latencies, 0.99),
        throughput=len(latencies) / duration_ms * 1000 if duration_ms > 0 else 0.0,
        items=ordered,
        started_at=started_at,
        completed_at=datetime.now(UTC),
        session_pool_stats=pool,
    )


_STATUSES = ("success", "error", "timeout", "lost", "skipped", "cancelled")
_WHY = {
    "skipped": "not started: an earlier item failed and stop_on_first_error is set",
    "cancelled": "not started: the batch was cancelled",
}


def _unstarted(item: Prepared, status: Literal["skipped", "cancelled"], options: RunOptions) -> ItemResult:
    return ItemResult(
        item_id=item.id,
        index=item.index,
        execution_id=uuid.uuid4().hex,
        status=status,
        error_message=_WHY[status],
        error_type=status.capitalize(),
        sampled_for_validation=samples(options, item.index, forced=item.forced),
    )
