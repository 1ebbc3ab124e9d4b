"""What there is to see in runs that did the same work: a table, the charts, the timelines, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loopai_lab.bench.charts import RunView, latency_ecdf, latency_over_time, rates, stacked_spans
from loopai_lab.bench.page import Mark, Section, Source, Table
from loopai_lab.bench.timeline import session_timeline

if TYPE_CHECKING:
    from loopai_lab.models import ItemResult

MOST_FAILURES = 50
COLUMNS = (
    *("run", "items", "ok", "failed", "not run", "wall, s", "items/s", "x slowest"),
    *("p50, ms", "p95, ms", "p99, ms", "sessions made", "items on reused"),
)


def run_sections(views: Sequence[RunView]) -> list[Section]:
    """Return the sections of a report on named runs.

    Args:
        views: in the order to show them.
    """
    views = [view for view in views if view.result.items]
    if not views:
        return [Section(heading="Runs", text="Nothing ran: there were no items.")]
    return [_overview(views), _latency(views), _spans(views), *_sessions(views), *_failures(views)]


def run_table(views: Sequence[RunView]) -> Table:
    """Return one row per run: how many items, how they ended, how fast, on how many sessions."""
    slowest = min((view.result.throughput for view in views if view.result.throughput), default=0.0)
    return Table(columns=COLUMNS, rows=[_run_row(view, slowest) for view in views])


def _run_row(view: RunView, slowest: float) -> tuple[object, ...]:
    result = view.result
    made = sum(event.kind == "created" for event in view.events)
    return (
        *(view.name, result.total_items, result.success_count, result.failure_count),
        *(result.skipped_count + result.cancelled_count, result.total_duration_ms / 1000, result.throughput),
        result.throughput / slowest if slowest else None,
        *(result.p50_ms, result.p95_ms, result.p99_ms),
        *((made, sum(item.reused for item in result.items)) if view.events else (None, None)),
    )


def _overview(views: Sequence[RunView]) -> Section:
    return Section(
        heading="Runs",
        text="The same items through each way. Wall time is from the start of the batch to its last result.",
        tables=[run_table(views)],
        figures=[rates([(view.name, view.result.throughput) for view in views])],
    )


def _latency(views: Sequence[RunView]) -> Section:
    samples = [(view.name, [item.latency_ms for item in view.ran]) for view in views]
    return Section(
        heading="Latency",
        text="The latency of an item is its wait for a session, the making of that session if it was new, the way to "
        "the runner and back, and the program itself.",
        figures=[latency_over_time(views), latency_ecdf(samples)],
    )


def _spans(views: Sequence[RunView]) -> Section:
    return Section(
        heading="Where the time goes",
        text="Each span is measured where it happens. With more items in flight than sessions or cores, waiting shows "
        "as queue or transport.",
        figures=[stacked_spans(views)],
    )


def _sessions(views: Sequence[RunView]) -> list[Section]:
    pooled = [view for view in views if view.events]
    if not pooled:
        return []
    text = "One row per session, in the order of their first appearance. White is idle."
    return [Section(heading="Sessions", text=text, figures=[session_timeline(view) for view in pooled])]


def _failures(views: Sequence[RunView]) -> list[Section]:
    tables = [_failure_table(view, failed) for view in views if (failed := _failed(view))]
    if not tables:
        return []
    return [Section(heading="What failed", text="An item that fails is a result like any other.", tables=tables)]


def _failed(view: RunView) -> list[ItemResult]:
    return [item for item in view.result.items if item.status not in {"success", "skipped", "cancelled"}]


def _failure_table(view: RunView, failed: Sequence[ItemResult]) -> Table:
    first = f", the first {MOST_FAILURES}" if len(failed) > MOST_FAILURES else ""
    return Table(
        caption=f"{view.name}: {len(failed):,} of {view.result.total_items:,} items failed{first}",
        columns=("item", "status", "error"),
        rows=[
            (item.item_id, Mark(item.status, "bad"), Source(item.error_message or item.error_type or ""))
            for item in failed[:MOST_FAILURES]
        ],
    )
