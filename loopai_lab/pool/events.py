"""What happens in a pool, as events: the one source that statistics, charts, timeline and tests are fed from."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal[
    "queued",  # a request found no session and waits
    "acquired",  # a session was given to a request; reason: "idle" or "handed"
    "passed_on",  # its request was cancelled in the same instant; the session goes on to the next
    "cancelled",  # a waiting request left
    "failed",  # a waiting request was refused: deadline, close, full queue
    "check_failed",  # it did not stand the check before its use, and the request goes on without it
    "released",  # a session came back
    "leaked",  # it has been lent for longer than anything should take; reason: where it was acquired
    "creating",  # a creation began
    "created",  # and made a session
    "create_failed",  # or did not
    "closing",  # a session leaves, reason says why
    "closed",  # and is gone
    "resized",  # the pool has a new maximum
]

CloseReason = Literal["idle", "lifetime", "uses", "evicted", "broken", "timeout", "memory", "shutdown"]


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """One thing that happened.

    Args:
        kind: what.
        at: when, in seconds on the pool's monotonic clock.
        language: of the session or request.
        session_id: the session's id; a creation under way has the id of its attempt.
        item_id: the item that the session was asked for, if the request said.
        reason: why, where there is a choice; the error's text of `failed` and `create_failed`; the attempt's id of
            `created`.
        ms: a span that ended here: the wait of `acquired` and `failed`, the use of `released`, the making of `created`.
        size: the new maximum of `resized`.
    """

    kind: Kind
    at: float
    language: str = ""
    session_id: str = ""
    item_id: str = ""
    reason: str = ""
    ms: float = 0.0
    size: int = 0


class EventLog:
    """Keep the latest events and tell listeners at once.

    Listeners are called inside the pool's change of state: they must be quick and must not call the pool.

    Args:
        keep: how many events to remember.
    """

    def __init__(self, keep: int = 100_000) -> None:
        """Start empty."""
        self._recent: deque[tuple[int, PoolEvent]] = deque(maxlen=keep)
        self._listeners: tuple[Callable[[PoolEvent], None], ...] = ()
        self.total = 0

    def emit(self, event: PoolEvent) -> None:
        """Record an event."""
        number = self.total + 1
        self._recent.append((number, event))
        self.total = number  # after the append: who reads it on another thread finds what it counts
        for listener in self._listeners:
            listener(event)

    def subscribe(self, listener: Callable[[PoolEvent], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; return a function that ends it."""
        self._listeners = (*self._listeners, listener)
        return lambda: self._unsubscribe(listener)

    def _unsubscribe(self, listener: Callable[[PoolEvent], None]) -> None:
        self._listeners = tuple(other for other in self._listeners if other is not listener)

    def since(self, mark: int) -> list[PoolEvent]:
        """Return the events after the first `mark` ones, as far as they are remembered; safe from any thread."""
        return [event for _, event in self.numbered_since(mark)]

    def numbered_since(self, mark: int) -> list[tuple[int, PoolEvent]]:
        """Return the same with their numbers, so that a reader knows where to go on: after the last one's."""
        recent = self._recent.copy()  # one step for the interpreter: nothing is appended meanwhile
        newer = list(itertools.takewhile(lambda entry: entry[0] > mark, reversed(recent)))
        return newer[::-1]
