"""Measuring: arms that take turns, raw rows that are kept, and what a sample says.

Arms take turns (A B A B …) because a shared machine drifts: what is compared was measured seconds apart, and ratios are
taken pair by pair. Every sample is kept; a summary is computed from all of them, never from buckets.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from loopai_lab.errors import InvalidInput
from loopai_lab.models import percentile

Unit = Literal["ms", "µs", "items/s"]
Role = Literal["ours", "floor", "peer", "control"]
RESAMPLES = 1000
DRAWS_AT_ONCE = 1 << 20  # bounds the bootstrap's memory to a few megabytes whatever the sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to do the work, and how to measure it once.

    Args:
        name: what tables call it; unique.
        group: the part of the report that it belongs to: what is compared stands together.
        role: ours, a floor, a peer (another way to run the same work) or a control (ours without the pool).
        unit: of its samples.
        clock: what the clock includes, in words.
        measure: returns the samples of one round.
        beside: the names of what it is shown against; several names in one entry are added up.
    """

    name: str
    group: str
    role: Role
    unit: Unit
    clock: str
    measure: Callable[[], Awaitable[list[float]]]
    beside: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one arm gave in one round.

    Args:
        arm: its name.
        round: from 0.
        began_s: when, in seconds since the first measurement.
        samples: in the arm's unit, in the order they were taken.
        error: why there are none.
    """

    arm: str
    round: int
    began_s: float
    samples: tuple[float, ...] = ()
    error: str | None = None


async def interleave(arms: Sequence[Arm], rounds: int, *, on_round: Callable[[int], None] | None = None) -> list[Row]:
    """Measure all arms in turn, `rounds` times, and return the raw rows in the order they came about.

    An arm that fails gives a row with its error, and the others go on.

    Args:
        arms: each has its turn once a round.
        rounds: how many.
        on_round: is told the number of each round as it begins.
    """
    began = time.perf_counter()
    rows = []
    for number in range(rounds):
        if on_round is not None:
            on_round(number)
        for arm in arms:
            gc.collect()  # no arm pays for the garbage of the one before
            rows.append(await _turn(arm, number, time.perf_counter() - began))
    return rows


async def _turn(arm: Arm, number: int, began_s: float) -> Row:
    try:
        samples = await arm.measure()
    except Exception as failure:  # noqa: BLE001 - a peer that breaks must not take the whole table with it
        return Row(arm=arm.name, round=number, began_s=began_s, error=f"{type(failure).__name__}: {failure}")
    error = None if samples else "it gave no samples"
    return Row(arm=arm.name, round=number, began_s=began_s, samples=tuple(samples), error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a sample says; percentiles are exact, linear between neighbours.

    Args:
        n: how many samples.
        mean: their mean.
        p50: their median; p95 and p99 likewise.
        low: of the 95 % interval of the median, by bootstrap.
        high: its other end.
    """

    n: int
    mean: float
    p50: float
    p95: float
    p99: float
    low: float
    high: float


def summarise(samples: Sequence[float], *, seed: int = 0) -> Summary:
    """Return what all samples say together.

    Args:
        samples: in any order.
        seed: of the bootstrap, so that the same rows give the same table.

    Raises:
        InvalidInput: there are none.
    """
    if not samples:
        raise InvalidInput("summarise: there are no samples")
    low, high = bootstrap_median(samples, seed=seed)
    return Summary(
        n=len(samples),
        mean=math.fsum(samples) / len(samples),
        p50=percentile(samples, 0.50),
        p95=percentile(samples, 0.95),
        p99=percentile(samples, 0.99),
        low=low,
        high=high,
    )


def bootstrap_median(samples: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the median.

    It takes samples as independent. Those of one round are not quite, so trust the range over the rounds more.

    Args:
        samples: at least one.
        resamples: how many times to draw.
        seed: of the draws.
    """
    import numpy as np

    values = np.asarray(samples, dtype=float)
    random = np.random.default_rng(seed)
    at_once = max(1, DRAWS_AT_ONCE // len(values))
    medians = [
        np.median(values[random.integers(0, len(values), (min(at_once, resamples - done), len(values)))], axis=1)
        for done in range(0, resamples, at_once)
    ]
    low, high = np.percentile(np.concatenate(medians), [2.5, 97.5])
    return float(low), float(high)


def figure(value: float) -> str:
    """Return a figure with three significant digits, and thousands set apart."""
    if abs(value) >= 100:  # noqa: PLR2004 - whole numbers from here on
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 10 else 1}f}" if abs(value) >= 1 else f"{value:.3f}"  # noqa: PLR2004
