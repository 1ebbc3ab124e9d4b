"""What crosses a border: programs and items on the way in, results and statistics on the way out.

What a person writes (`Program`, `BatchItem`) is pydantic, because it must be checked; what the pool and the executor
produce, thousands of times a second, are frozen slotted dataclasses.
"""

from __future__ import annotations

import dataclasses
import hashlib
import html
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd  # importing loopai_lab must not load pandas

Status = Literal["success", "error", "timeout", "cancelled", "skipped", "lost"]
Isolation = Literal["item", "session"]


class Program(BaseModel):
    """Describe a small program that reads `input_data` and leaves its answer in `result`.

    Whether the language is there and the code compiles is checked when a batch starts, before its first session.

    Args:
        language: a language or an alias that the server knows, such as `"python"`.
        code: the source text.
        name: what to call it in tables and records.
        version: its number among the versions of the same task, from 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = "python"
    code: str
    name: str | None = None
    version: int = 1

    @cached_property
    def key(self) -> str:
        """The content address of the program: equal for equal language and code, whatever its name."""
        text = f"{self.language}\0{self.code}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:32]


class BatchItem(BaseModel):
    """Name one input of a batch.

    Args:
        id: unique inside its batch.
        input: any JSON value; the program reads it as `input_data`.
        force_validation: sample this item for validation whatever the sampling rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    input: Any = None
    force_validation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """Tell how one item ended, where, and what its time was spent on.

    The four spans are measured where they happen, on a monotonic clock: `queue_ms` is the wait for a session,
    `create_ms` the part of that wait in which the session was being made, `transport_ms` the way to the runner and
    back, `execute_ms` the program itself.
    """

    item_id: str
    execution_id: str
    status: Status
    output: Any = None
    error_message: str | None = None
    error_type: str | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    session_id: str | None = None
    sampled_for_validation: bool = False
    queue_ms: float = 0.0
    create_ms: float = 0.0
    transport_ms: float = 0.0
    execute_ms: float = 0.0
    reused: bool = False
    attempts: int = 0
    index: int = 0
    finished_ms: float = 0.0

    @property
    def success(self) -> bool:
        """Whether the program left an answer."""
        return self.status == "success"

    @property
    def latency_ms(self) -> float:
        """The sum of the four spans."""
        return self.queue_ms + self.create_ms + self.transport_ms + self.execute_ms

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the two derived figures as one flat dictionary."""
        row = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return row | {"success": self.success, "latency_ms": self.latency_ms}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPoolStatistics:
    """Count what a pool has (gauges) and what it has done since it was opened (counters).

    `total_sessions = active + idle + creating + closing` holds at every instant.
    """

    total_sessions: int = 0
    active_sessions: int = 0
    idle_sessions: int = 0
    creating_sessions: int = 0
    closing_sessions: int = 0
    available_slots: int = 0
    requests_waiting: int = 0
    average_execution_count: float = 0.0
    oldest_session_age_s: float = 0.0

    requests_num: int = 0
    requests_queued: int = 0
    requests_wait_ms: float = 0.0
    requests_errors: int = 0
    requests_cancelled: int = 0
    handed_off: int = 0
    taken_idle: int = 0
    sessions_created: int = 0
    sessions_create_ms: float = 0.0
    sessions_create_errors: int = 0
    usage_ms: float = 0.0
    closed_idle: int = 0
    closed_lifetime: int = 0
    closed_uses: int = 0
    closed_evicted: int = 0
    closed_broken: int = 0
    closed_timeout: int = 0
    closed_memory: int = 0
    closed_shutdown: int = 0

    sandbox: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return every figure by name."""
        return dataclasses.asdict(self)

    def _repr_html_(self) -> str:
        """Return a table for notebooks: every figure that is not nought, and what it means."""
        rows = "".join(
            f"<tr><td style='text-align:left'><code>{name}</code></td><td>{_figure(getattr(self, name))}</td>"
            f"<td style='text-align:left'>{meaning}</td></tr>"
            for name, meaning in MEANINGS.items()
            if getattr(self, name) or not name.startswith(("closed_", "requests_errors", "requests_cancelled"))
        )
        sandbox = (
            f"<caption style='text-align:left'>sandbox: {html.escape(self.sandbox)}</caption>" if self.sandbox else ""
        )
        return f"<table>{sandbox}{rows}</table>"


MEANINGS = {
    "total_sessions": "sessions in whatever state: active + idle + creating + closing",
    "active_sessions": "lent and working",
    "idle_sessions": "made and waiting for work",
    "creating_sessions": "being made",
    "closing_sessions": "on their way out",
    "available_slots": "how many requests could be served without waiting for a return",
    "requests_waiting": "requests in the queue now",
    "average_execution_count": "uses per living session: what reuse buys",
    "oldest_session_age_s": "age of the oldest living session, in seconds",
    "requests_num": "requests so far",
    "requests_queued": "of those, how many had to wait",
    "requests_wait_ms": "time that requests waited, all together",
    "requests_errors": "requests refused: no session in time, queue full, pool closed",
    "requests_cancelled": "requests whose caller left while they waited",
    "handed_off": "requests served by a session that came back, or was made, while they waited",
    "taken_idle": "requests served at once",
    "sessions_created": "sessions made so far",
    "sessions_create_ms": "time that making them took, all together",
    "sessions_create_errors": "creations that failed",
    "usage_ms": "time that sessions were lent, all together",
    "closed_idle": "closed because they lay unused",
    "closed_lifetime": "closed because of their age",
    "closed_uses": "closed after their last permitted use",
    "closed_evicted": "closed to make room, for another language or a smaller pool",
    "closed_broken": "closed because they were gone, in doubt, or their item was cancelled",
    "closed_timeout": "closed because their item ran past its time",
    "closed_memory": "closed because they used too much memory",
    "closed_shutdown": "closed by a drain or with the pool",
}


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """Sum up a batch; `items` stand in request order and the counts add up to `total_items`."""

    batch_id: str
    task_id: str | None
    program_id: str
    version: int
    total_items: int
    success_count: int
    failure_count: int
    skipped_count: int
    cancelled_count: int
    total_duration_ms: float
    avg_latency_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    throughput: float
    items: tuple[ItemResult, ...]
    started_at: datetime
    completed_at: datetime
    session_pool_stats: SessionPoolStatistics

    def to_frame(self) -> pd.DataFrame:
        """Return one row per item, in request order, with every span in milliseconds."""
        return frame_of(self.items)

    def __repr__(self) -> str:
        """Say in one line what a person asks first."""
        return (
            f"<BatchResult {self.success_count}/{self.total_items} ok, {self.failure_count} failed, "
            f"{self.skipped_count} skipped, {self.cancelled_count} cancelled in {self.total_duration_ms / 1000:.2f} s, "
            f"{self.throughput:.0f} items/s, p50 {self.p50_ms:.2f} ms, p95 {self.p95_ms:.2f} ms>"
        )


def frame_of(items: Sequence[ItemResult]) -> pd.DataFrame:
    """Return a DataFrame with one row per item; an empty one keeps its columns."""
    import pandas as pd  # importing loopai_lab must not load pandas

    names = [field.name for field in dataclasses.fields(ItemResult)]
    columns = [*names[:3], "success", *names[3:], "latency_ms"]
    return pd.DataFrame([item.to_dict() for item in items], columns=columns)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the exact percentile of all values, linear between neighbours (numpy's default); 0.0 of none.

    Args:
        values: the sample, in any order.
        share: 0.0 to 1.0.
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
