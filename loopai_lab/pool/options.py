"""What a pool can be told, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from loopai_lab.errors import InvalidOption


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageLimits:
    """Bound one language inside the whole.

    Args:
        min_size: how many sessions of it are made ahead and kept.
        max_size: how many there may be; None is what the pool holds.
    """

    min_size: int = 0
    max_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Hold a pool's options, checked; `None` always means no limit.

    Args:
        max_size: how many sessions there may be at once, of all languages together.
        min_size: how many Python sessions are made ahead and kept; for other languages, `limits`.
        limits: by language, a `LanguageLimits` or a dictionary of its fields.
        max_idle_s: how long a session above the minimum may lie unused; one is retired at a time, never early.
        max_lifetime_s: how old a session may become, less up to `lifetime_jitter` of it, so that sessions made together
            do not end together.
        lifetime_jitter: a share, 0.0 to 1.0.
        max_uses: how many uses a session is good for.
        max_waiting: how many requests may wait; one more is refused.
        max_creating: how many creations may be under way at once.
        acquire_timeout_s: how long a request waits unless it says otherwise.
        check_after_s: a session that lay unused for longer is checked before it is lent.
        leak_after_s: a session that is lent for longer is reported, with the place where it was acquired.
    """

    max_size: int = 10
    min_size: int = 0
    limits: Mapping[str, LanguageLimits] = field(default_factory=dict)
    max_idle_s: float | None = 1800.0
    max_lifetime_s: float | None = 7200.0
    lifetime_jitter: float = 0.05
    max_uses: int | None = None
    max_waiting: int | None = None
    max_creating: int = 2
    acquire_timeout_s: float | None = 30.0
    check_after_s: float | None = 30.0
    leak_after_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidOption: naming the option, its value and what it may be.
        """
        check_size(self.max_size)
        _whole("min_size", self.min_size, least=0)
        _whole("max_creating", self.max_creating, least=1)
        for name, least in (("max_uses", 1), ("max_waiting", 0)):
            if (count := getattr(self, name)) is not None:
                _whole(name, count, least=least)
        for name in ("max_idle_s", "max_lifetime_s", "acquire_timeout_s", "check_after_s", "leak_after_s"):
            if (seconds := getattr(self, name)) is not None:
                check_seconds(name, seconds)
        if not 0 <= self.lifetime_jitter <= 1:
            raise InvalidOption(f"lifetime_jitter={self.lifetime_jitter!r} is not a share between 0 and 1")
        object.__setattr__(self, "limits", _checked_limits(self.limits, self.max_size))
        least_in_all = sum(self.minimums().values())
        if least_in_all > self.max_size:
            raise InvalidOption(f"min_size: {least_in_all} sessions to keep are more than max_size={self.max_size}")

    def minimums(self) -> dict[str, int]:
        """Return how many sessions to keep, by language."""
        least = {language: limit.min_size for language, limit in self.limits.items()}
        return {"python": self.min_size} | least

    def most(self, language: str) -> float:
        """Return how many sessions of a language there may be."""
        limit = self.limits.get(language)
        return math.inf if limit is None or limit.max_size is None else limit.max_size


def _checked_limits(limits: object, max_size: int) -> dict[str, LanguageLimits]:
    if not isinstance(limits, Mapping):
        raise InvalidOption(f"limits={limits!r} is not a dictionary of limits by language")
    checked: dict[str, LanguageLimits] = {}
    for language, limit in limits.items():
        try:
            checked[language] = limit if isinstance(limit, LanguageLimits) else LanguageLimits(**limit)
        except TypeError as error:
            raise InvalidOption(f"limits[{language!r}]={limit!r}: it has min_size and max_size") from error
        _whole(f"limits[{language!r}].min_size", checked[language].min_size, least=0)
        most = max_size if checked[language].max_size is None else checked[language].max_size
        _whole(f"limits[{language!r}].max_size", most, least=max(1, checked[language].min_size))
    return checked


def check_size(size: object) -> None:
    """Refuse a maximum size below 1."""
    _whole("max_size", size, least=1)


def check_seconds(name: str, seconds: object) -> None:
    """Refuse what is not a duration: a negative number, NaN, not a number."""
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0:
        return
    raise InvalidOption(f"{name}={seconds!r} is not a number of seconds from 0; None is no limit")


def _whole(name: str, value: object, *, least: int) -> None:
    if type(value) is not int or value < least:
        raise InvalidOption(f"{name}={value!r} is not a whole number from {least}")
