"""What a batch can be told, and what it refuses before anything starts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import get_args

from loopai_lab.errors import InvalidConcurrency, InvalidOption
from loopai_lab.models import Isolation

MOST_CONCURRENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Hold a batch's options, checked.

    Args:
        max_concurrency: how many items may run at once, 1 to 100.
        stop_on_first_error: start no further item once one has failed; the rest is reported as skipped.
        timeout_ms: how long one item may run; None is no limit.
        sampling_rate: the share of items that is sampled for validation, 0.0 to 1.0.
        isolation: `"item"` starts every item from pristine state; `"session"` keeps state, as a notebook kernel does.
        priority: of the items' requests for sessions; a higher class overtakes, so that an interactive run need not
            wait behind a long batch.
        seed: makes the sampling reproducible; None draws one.
    """

    max_concurrency: int = 10
    stop_on_first_error: bool = False
    timeout_ms: float | None = None
    sampling_rate: float = 0.0
    isolation: Isolation = "item"
    priority: int = 0
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidConcurrency: not a whole number from 1 to 100.
            InvalidOption: any other; the message names it.
        """
        count = self.max_concurrency
        if type(count) is not int or not 1 <= count <= MOST_CONCURRENT:
            raise InvalidConcurrency(f"max_concurrency={count!r} is not a whole number from 1 to {MOST_CONCURRENT}")
        if self.timeout_ms is not None and not (_is_number(self.timeout_ms) and 0 < self.timeout_ms < math.inf):
            raise InvalidOption(
                f"timeout_ms={self.timeout_ms!r} is not a positive number of milliseconds; None is no limit"
            )
        if not (_is_number(self.sampling_rate) and 0 <= self.sampling_rate <= 1):
            raise InvalidOption(f"sampling_rate={self.sampling_rate!r} is not a share between 0.0 and 1.0")
        if self.isolation not in get_args(Isolation):
            raise InvalidOption(
                f"isolation={self.isolation!r} is unknown; choose one of {', '.join(get_args(Isolation))}"
            )
        if type(self.priority) is not int:
            raise InvalidOption(f"priority={self.priority!r} is not a whole number")
        if self.seed is None:
            object.__setattr__(self, "seed", random.randrange(1 << 32))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def samples(options: RunOptions, index: int, *, forced: bool) -> bool:
    """Decide whether an item is sampled: from the seed and its place alone, so the order of completion has no say."""
    if forced or options.sampling_rate >= 1:
        return True
    if options.sampling_rate <= 0:
        return False
    return random.Random(f"{options.seed}:{index}").random() < options.sampling_rate
