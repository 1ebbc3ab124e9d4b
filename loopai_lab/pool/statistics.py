"""The pool's books: a fold over its events, and nothing else, so that they cannot say what did not happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loopai_lab.models import SessionPoolStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopai_lab.pool.events import PoolEvent


@dataclass(slots=True)
class _Entry:
    """One session in the books."""

    language: str
    state: str
    born_at: float
    uses: int = 0


@dataclass(slots=True)
class Books:
    """Fold events into figures; `statistics` reads them off.

    Gauges are counts of entries by state, so `total = active + idle + creating + closing` cannot be broken.
    """

    max_size: int = 0
    _sessions: dict[str, _Entry] = field(default_factory=dict)
    _states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("creating", "idle", "active", "closing"), 0))
    _counters: dict[str, float] = field(default_factory=dict)
    _closed: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    _fold: dict[str, Callable[[PoolEvent], None]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Say which event does what."""
        self._fold = {
            "queued": self._queued,
            "acquired": self._acquired,
            "passed_on": self._passed_on,
            "cancelled": self._cancelled,
            "failed": self._failed,
            "check_failed": self._check_failed,
            "released": self._released,
            "leaked": self._note,
            "creating": self._creating,
            "created": self._created,
            "create_failed": self._create_failed,
            "closing": self._closing,
            "closed": self._drop,
            "resized": self._resized,
        }

    def apply(self, event: PoolEvent) -> None:
        """Take in one event."""
        self._fold[event.kind](event)

    @property
    def total(self) -> int:
        """All sessions, in whatever state."""
        return len(self._sessions)

    @property
    def staying(self) -> int:
        """All sessions but those on their way out."""
        return self.total - self.closing

    @property
    def closing(self) -> int:
        """Those on their way out."""
        return self._states["closing"]

    def count(self, language: str, *states: str) -> int:
        """Return how many sessions of a language are in one of the states; in any, if none is named."""
        mine = (entry for entry in self._sessions.values() if entry.language == language)
        return sum(1 for entry in mine if not states or entry.state in states)

    def statistics(self, now: float, sandbox: str = "") -> SessionPoolStatistics:
        """Return all figures at this instant."""
        live = [entry for entry in list(self._sessions.values()) if entry.state in {"idle", "active"}]
        total = len(self._sessions)
        return SessionPoolStatistics(
            total_sessions=total,
            active_sessions=self._states["active"],
            idle_sessions=self._states["idle"],
            creating_sessions=self._states["creating"],
            closing_sessions=self._states["closing"],
            available_slots=max(0, self.max_size - total) + self._states["idle"],
            requests_waiting=self.waiting,
            average_execution_count=sum(entry.uses for entry in live) / len(live) if live else 0.0,
            oldest_session_age_s=max((now - entry.born_at for entry in live), default=0.0),
            sandbox=sandbox,
            **{name: kind(self._counters.get(name, 0)) for name, kind in _COUNTERS.items()},  # type: ignore[arg-type]
            **{f"closed_{reason}": count for reason, count in self._closed.items()},
        )

    # -- the fold -----------------------------------------------------------------------------------------------------

    def _add(self, name: str, amount: float = 1) -> None:
        self._counters[name] = self._counters.get(name, 0) + amount

    def _move(self, event: PoolEvent, state: str) -> None:
        entry = self._sessions[event.session_id]
        self._states[entry.state] -= 1
        self._states[state] += 1
        entry.state = state

    def _drop(self, event: PoolEvent) -> None:
        entry = self._sessions.pop(event.session_id)
        self._states[entry.state] -= 1

    def _creating(self, event: PoolEvent) -> None:
        self._sessions[event.session_id] = _Entry(event.language, "creating", event.at)
        self._states["creating"] += 1

    def _created(self, event: PoolEvent) -> None:
        self._drop_attempt(event)
        self._sessions[event.session_id] = _Entry(event.language, "idle", event.at)
        self._states["idle"] += 1
        self._add("sessions_created")
        self._add("sessions_create_ms", event.ms)

    def _drop_attempt(self, event: PoolEvent) -> None:
        self._sessions.pop(event.reason)
        self._states["creating"] -= 1

    def _create_failed(self, event: PoolEvent) -> None:
        self._drop(event)
        self._add("sessions_create_errors")

    def _acquired(self, event: PoolEvent) -> None:
        self._move(event, "active")
        self._sessions[event.session_id].uses += 1
        if event.reason == "idle":
            self._add("requests_num")
            self._add("taken_idle")
        else:
            self.waiting -= 1
            self._add("handed_off")
        self._add("requests_wait_ms", event.ms)

    def _passed_on(self, event: PoolEvent) -> None:
        self._sessions[event.session_id].uses -= 1
        self._move(event, "idle")
        self._add("handed_off", -1)
        self._add("requests_cancelled")

    def _check_failed(self, event: PoolEvent) -> None:
        self._sessions[event.session_id].uses -= 1
        self._move(event, "idle")
        self._add("requests_num", -1)
        self._add("taken_idle" if event.reason == "idle" else "handed_off", -1)

    def _note(self, _: PoolEvent) -> None:
        """Leave the figures as they are."""

    def _released(self, event: PoolEvent) -> None:
        self._move(event, "idle")
        self._add("usage_ms", event.ms)

    def _queued(self, _: PoolEvent) -> None:
        self.waiting += 1
        self._add("requests_num")
        self._add("requests_queued")

    def _cancelled(self, event: PoolEvent) -> None:
        self.waiting -= 1
        self._add("requests_cancelled")
        self._add("requests_wait_ms", event.ms)

    def _failed(self, event: PoolEvent) -> None:
        self.waiting -= 1
        self._add("requests_errors")
        self._add("requests_wait_ms", event.ms)

    def _closing(self, event: PoolEvent) -> None:
        self._move(event, "closing")
        self._closed[event.reason] = self._closed.get(event.reason, 0) + 1

    def _resized(self, event: PoolEvent) -> None:
        self.max_size = event.size


_COUNTERS: dict[str, Callable[[float], float]] = {
    "requests_num": int,
    "requests_queued": int,
    "requests_wait_ms": float,
    "requests_errors": int,
    "requests_cancelled": int,
    "handed_off": int,
    "taken_idle": int,
    "sessions_created": int,
    "sessions_create_ms": float,
    "sessions_create_errors": int,
    "usage_ms": float,
}
