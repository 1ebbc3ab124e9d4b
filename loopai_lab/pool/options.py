"""What a pool can be told, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from loopai_lab.errors import InvalidOption


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Hold a pool's options, checked; `None` always means no limit.

    Args:
        max_size: how many sessions there may be at once, of all languages together.
        min_size: how many sessions of `language` are made ahead and kept.
        language: the language that `min_size` is about.
        max_idle_s: how long a session above the minimum may lie unused; one is retired at a time, never early.
        max_lifetime_s: how old a session may become, less up to `lifetime_jitter` of it, so that sessions made together
            do not end together.
        lifetime_jitter: a share, 0.0 to 1.0.
        max_uses: how many uses a session is good for.
        max_waiting: how many requests may wait; one more is refused.
        max_creating: how many creations may be under way at once.
        acquire_timeout_s: how long a request waits unless it says otherwise.
    """

    max_size: int = 10
    min_size: int = 0
    language: str = "python"
    max_idle_s: float | None = 1800.0
    max_lifetime_s: float | None = 7200.0
    lifetime_jitter: float = 0.05
    max_uses: int | None = None
    max_waiting: int | None = None
    max_creating: int = 2
    acquire_timeout_s: float | None = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidOption: naming the option, its value and what it may be.
        """
        check_size(self.max_size)
        _whole("min_size", self.min_size, least=0)
        if self.min_size > self.max_size:
            raise InvalidOption(f"min_size={self.min_size} is more than max_size={self.max_size}")
        _whole("max_creating", self.max_creating, least=1)
        for name in ("max_uses", "max_waiting"):
            if (count := getattr(self, name)) is not None:
                _whole(name, count, least=0 if name == "max_waiting" else 1)
        for name in ("max_idle_s", "max_lifetime_s", "acquire_timeout_s"):
            if (seconds := getattr(self, name)) is not None:
                check_seconds(name, seconds)
        if not 0 <= self.lifetime_jitter <= 1:
            raise InvalidOption(f"lifetime_jitter={self.lifetime_jitter!r} is not a share between 0 and 1")


def check_size(size: object) -> None:
    """Refuse a maximum size below 1."""
    _whole("max_size", size, least=1)


def check_seconds(name: str, seconds: object) -> None:
    """Refuse what is not a duration: a negative number, NaN, not a number."""
    fits = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not fits or math.isnan(float(seconds)) or float(seconds) < 0:  # type: ignore[arg-type]
        raise InvalidOption(f"{name}={seconds!r} is not a number of seconds from 0; None is no limit")


def _whole(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOption(f"{name}={value!r} is not a whole number from {least}")
