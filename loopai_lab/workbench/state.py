"""What the workbench shows, as plain data: a run's events and results, folded into bounded series and a few figures.

No widget in here. The watch feeds a `Recording` from its thread and hands its `Snapshot`s to whoever draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from loopai_lab.workbench.series import Cloud, Floats, Levels

if TYPE_CHECKING:
    from loopai_lab.models import ItemResult
    from loopai_lab.pool.events import PoolEvent

Phase = Literal["ready", "running", "stopping", "completed", "cancelled", "failed"]
Group = Literal["warm ok", "cold ok", "warm failed", "cold failed"]

GAUGES = ("active", "idle", "creating", "closing")
GROUPS: tuple[Group, ...] = ("warm ok", "cold ok", "warm failed", "cold failed")

_BECOMES = {
    "creating": "creating",
    "created": "idle",
    "acquired": "active",
    "released": "idle",
    "passed_on": "idle",
    "check_failed": "idle",
    "closing": "closing",
}
_GOES = {"create_failed", "closed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Tell how a run stands, in figures.

    Args:
        finished: items that ended by themselves, failed ones among them.
        failed: those of them without an answer.
        cancelled: items that a stop ended while they ran.
        waiting: requests that wait for a session.
        limit: how many sessions the pool may hold.
        error: what ended a run that failed.
    """

    phase: Phase = "ready"
    total: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    rate: float = 0.0
    eta_s: float | None = None
    seconds: float = 0.0
    waiting: int = 0
    limit: int = 0
    sandbox: str = ""
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold what the figure shows at one instant.

    Args:
        seconds: when the slices of time begin.
        levels: for each of `GAUGES`, how many sessions there were in each slice, on average.
        clouds: for each of `GROUPS`, rows of second, latency in milliseconds and the item's index.
    """

    seconds: Floats
    levels: dict[str, Floats]
    clouds: dict[Group, Floats]


@dataclass(slots=True)
class Sessions:
    """Know the state of every session of a pool from its events.

    Each event says what state a session is in now, so hearing one twice does no harm; the event log, read from another
    thread, may repeat the last ones.
    """

    counts: list[int] = field(default_factory=lambda: [0] * len(GAUGES))
    _states: dict[str, str] = field(default_factory=dict)
    _strangers: int = 0

    @property
    def total(self) -> int:
        """All sessions that were heard of."""
        return len(self._states)

    @property
    def settled(self) -> bool:
        """Whether every session is idle."""
        return sum(self.counts) == self.counts[GAUGES.index("idle")]

    def expect(self, strangers: int) -> None:
        """Count sessions that the pool has and no event told of as idle: the log remembers only so many events."""
        self._count("idle", strangers - self._strangers)
        self._strangers = strangers

    def take(self, event: PoolEvent) -> None:
        """Take in one event."""
        if event.kind == "created":
            self._leave(event.reason)  # the attempt that this session came from
        if event.kind in _GOES:
            self._leave(event.session_id)
        elif state := _BECOMES.get(event.kind):
            self._greet(event)
            self._leave(event.session_id)
            self._states[event.session_id] = state
            self._count(state, 1)

    def _greet(self, event: PoolEvent) -> None:
        """Take a session that was counted as a stranger off that count: from now on it is known."""
        if self._strangers and event.session_id not in self._states and event.kind not in {"creating", "created"}:
            self._strangers -= 1
            self._count("idle", -1)

    def _leave(self, session_id: str) -> None:
        state = self._states.pop(session_id, None)
        if state is not None:
            self._count(state, -1)

    def _count(self, state: str, change: int) -> None:
        self.counts[GAUGES.index(state)] += change


class Recording:
    """Fold one run into what can be drawn of it.

    Args:
        sessions: the pool's sessions as they were when the run began; they go on from one recording to the next.
        origin: the second on the pool's clock that the charts call 0.
    """

    def __init__(self, sessions: Sessions, origin: float) -> None:
        """Start with nothing seen."""
        self._sessions = sessions
        self._origin = origin
        self._levels = Levels(len(GAUGES))
        self._clouds: dict[Group, Cloud] = {group: Cloud() for group in GROUPS}
        self.finished = self.failed = self.cancelled = 0

    def take_events(self, events: Iterable[PoolEvent], now: float) -> None:
        """Take in what happened in the pool, until the pool's clock said `now`."""
        for event in events:
            self._levels.hold(self._sessions.counts, event.at - self._origin)
            self._sessions.take(event)
        self._levels.hold(self._sessions.counts, now - self._origin)

    def take_results(self, results: Sequence[ItemResult]) -> None:
        """Take in items that ended."""
        points: dict[Group, list[tuple[float, float, float]]] = {group: [] for group in GROUPS}
        for result in results:
            self._tally(result)
            group = group_of(result)
            if group is not None:
                points[group].append((result.finished_ms / 1000, result.latency_ms, result.index))
        for group, added in points.items():
            self._clouds[group].add(added)

    def _tally(self, result: ItemResult) -> None:
        if result.status == "cancelled":
            self.cancelled += 1
        else:
            self.finished += 1
            self.failed += not result.success

    def snapshot(self) -> Snapshot:
        """Return what there is to draw now; it does not change afterwards."""
        seconds, levels = self._levels.steps()
        clouds: dict[Group, Floats] = {group: cloud.points() for group, cloud in self._clouds.items()}
        return Snapshot(seconds, dict(zip(GAUGES, levels, strict=True)), clouds)


def group_of(result: ItemResult) -> Group | None:
    """Return which cloud an item belongs to; None if it never had a session, or was stopped before its end."""
    if result.session_id is None or result.status in {"cancelled", "skipped"}:
        return None
    if result.success:
        return "warm ok" if result.reused else "cold ok"
    return "warm failed" if result.reused else "cold failed"
